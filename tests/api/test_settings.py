"""Settings: what wins over what, where each came from, and every mistake named with its place."""

import inspect
import tomllib
from datetime import date
from pathlib import Path

import pytest

from api.settings import ServeSettings, Settings, SettingsError, load, option_of, shown
from exchange import serve_cli
from settlement.rules import Policy
from tests.system.desk import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "carbonex.toml"


def test_without_anything_given_there_are_the_defaults():
    assert load({}) == (ServeSettings(), {})
    assert ServeSettings().port == 8000


def test_the_environment_wins_over_the_file_and_an_option_over_both(file, monkeypatch):
    file.write_text('port = 1\nhost = "::1"\nspeed = 5\nday = 2026-01-05\nmanual = true\n')
    monkeypatch.setenv("CARBONEX_SERVE_PORT", "2")
    monkeypatch.setenv("CARBONEX_SERVE_HOST", "127.0.0.2")
    values, places = load({"port": "3", "speed": None, "manual": False}, file)
    assert (values.port, values.host, values.speed, values.day) == (3, "127.0.0.2", 5.0, date(2026, 1, 5))
    assert values.manual is False
    assert places == {
        "port": "--port",
        "host": "CARBONEX_SERVE_HOST",
        "speed": f"{file}: speed",
        "day": f"{file}: day",
        "manual": "--manual",
    }


def test_an_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv("CARBONEX_SERVE_RULES", "")
    assert load({}) == (ServeSettings(), {})


def test_what_speaks_to_others_is_no_setting(monkeypatch):
    for name in ("DATA", "URL", "BY", "BANK", "KEY", "SECRET", "CACHE", "PORT"):
        monkeypatch.setenv(f"CARBONEX_{name}", "anything")
    assert load({}) == (ServeSettings(), {})


def test_all_mistakes_are_told_each_with_its_place(file, monkeypatch):
    file.write_text("sped = 5\nspeed = 0\n")
    monkeypatch.setenv("CARBONEX_SERVE_HSOT", "here")
    monkeypatch.setenv("CARBONEX_SERVE_INBOX", "many")
    with pytest.raises(SettingsError) as error:
        load({"clock": "mars"}, file)
    said = str(error.value)
    for place in (f"{file}: speed: ", f"{file}: sped: there is no such", "CARBONEX_SERVE_HSOT: there is no such",
                  "CARBONEX_SERVE_INBOX: ", "--clock: "):  # fmt: skip
        assert place in said
    assert said.count("; ") == 4


def test_settings_that_contradict_one_another_name_all_their_places(monkeypatch):
    monkeypatch.setenv("CARBONEX_SERVE_CLOCK", "real")
    with pytest.raises(SettingsError, match=r"^CARBONEX_SERVE_CLOCK, --speed: the real clock has its own speed"):
        load({"speed": "2"})


@pytest.mark.parametrize(("content", "said"), [(b"port = ", "Invalid value"), (b"\xff", "utf-8")])
def test_a_file_that_is_none_is_named(file, content, said):
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as error:
        load({}, file)
    assert str(error.value).startswith(f"{file}: ")


def test_a_file_that_is_missing_is_named(file):
    with pytest.raises(SettingsError, match=r"carbonex\.toml: No such file"):
        load({}, file)


def test_the_token_is_taken_and_not_shown(file, monkeypatch):
    file.write_text('metrics_token = "0123456789abcdef-secret"\n')
    settings = load({}, file)
    assert settings.values.metrics_token.get_secret_value() == "0123456789abcdef-secret"
    assert f"# metrics_token is set and not shown  # {file}: metrics_token" in shown(settings)
    assert "secret" not in shown(settings) + repr(settings)
    monkeypatch.setenv("CARBONEX_SERVE_METRICS_TOKEN", "short-secret")
    with pytest.raises(SettingsError, match=r"^CARBONEX_SERVE_METRICS_TOKEN: .*at least 16") as error:
        load({}, file)
    assert "short-secret" not in str(error.value)


def test_what_is_shown_is_a_file_that_gives_the_same_settings(file, monkeypatch):
    monkeypatch.setenv("CARBONEX_SERVE_JOURNAL", 'odd "name"\\.journal')
    settings = load({"port": "0", "day": "2026-01-05", "manual": True, "bank": "none", "rules": "generic"})
    file.write_text(shown(settings))
    monkeypatch.undo()
    assert load({}, file).values == settings.values
    assert set(tomllib.loads(shown(settings))) >= set(settings.places)
    assert "port = 0  # --port" in shown(settings)
    assert 'host = "127.0.0.1"  # default' in shown(settings)


def test_every_setting_has_its_option_which_shows_its_default():
    options = inspect.signature(serve_cli.serve).parameters
    assert set(options) - set(ServeSettings.model_fields) == {"config", "show_settings", "example"}
    assert set(ServeSettings.model_fields) - set(options) == {"metrics_token"}  # which others on the machine would see
    for name, field in ServeSettings.model_fields.items():
        if name == "metrics_token":
            continue
        [option] = options[name].annotation.__metadata__
        if field.default is None:
            continue
        shown_default = {"no-manual": "False", "no-behind-tls": "False"}.get(option.show_default, option.show_default)
        assert shown_default == str(field.default), option_of(name)


def test_the_bank_answers_by_every_policy_or_not_at_all():
    assert set(ServeSettings.model_fields["bank"].annotation.__args__) == {*Policy, "none"}


def test_the_command_shows_settings_and_names_mistakes(file):
    file.write_text("speed = 60\n")
    ended = run(f"serve --config {file} --port 8001 --show-settings", CARBONEX_SERVE_HOST="::1")
    assert ended.exit_code == 0
    for line in (f"speed = 60.0  # {file}: speed", "port = 8001  # --port", 'host = "::1"  # CARBONEX_SERVE_HOST'):
        assert line in ended.stdout.splitlines()
    by_variable = run("serve --show-settings", CARBONEX_SERVE_CONFIG=str(file))
    assert "speed = 60.0" in by_variable.stdout

    ended = run(f"serve --config {file} --port x", CARBONEX_SERVE_BNAK="none")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("carbonex: invalid_setting: --port: ")
    assert "CARBONEX_SERVE_BNAK: there is no such setting" in ended.stderr


def test_settings_keep_their_values():
    with pytest.raises(ValueError, match="frozen"):
        Settings(ServeSettings(), {}).values.port = 1
