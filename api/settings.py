"""What `carbonex serve` is told: one model, filled from a TOML file, the environment and the command line.

    default  <  key of the file that --config names  <  variable CARBONEX_SERVE_<NAME>  <  option --<name>

What stands further right wins. The variables have a prefix of their own because others that begin with CARBONEX_ speak
to the clients (CARBONEX_BANK is an account there); so an unknown one can be refused like an unknown key of the file.
Everything wrong is told at once, each with the place it came from. Paths are taken from the current folder.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "CARBONEX_SERVE_"
CONFIG = "CONFIG"  # behind the prefix: where the file is, which is no setting
DEFAULT = "default"


class ServeSettings(BaseSettings):
    """The settings of a serving process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    journal: Path = Field(
        Path("var/exchange.journal"), description="Where the exchange remembers: one file, made if missing"
    )
    rules: str | None = Field(
        None, description="Rule set by name (hubei, national, generic) or a .toml file; unset: the journal's"
    )
    host: str = Field("127.0.0.1", description="Address to listen on; without keys loopback only")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one")
    clock: Literal["simulated", "real"] = Field("simulated", description="Simulated time, or the market's real time")
    speed: float = Field(
        1.0, ge=0.001, le=100_000, allow_inf_nan=False, description="Market seconds a second, simulated"
    )
    day: date | None = Field(
        None, description="First trading day of a new journal, e.g. 2026-01-05; unset: today, or the next"
    )
    manual: bool = Field(False, description="Leave the trading day to the operator")
    bank: Literal["accept", "reject", "partial", "late", "none"] = Field(
        "accept", description="How a simulated settlement bank answers; none: somebody else does, as `carbonex bank`"
    )
    inbox: int = Field(8192, ge=1, description="Commands that may wait before the inbox is full")
    keys: Path | None = Field(
        None, description="File of keys (`carbonex keys`); unset: the journal's name and .keys, if there is one"
    )
    behind_tls: bool = Field(
        False, description="A proxy in front speaks TLS: browsers send the cookie of a session over that alone"
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token that `GET /metrics` takes instead of a signature; no option, which others would see",
    )
    log_format: Literal["text", "json"] = Field("text", description="Lines of the log, on standard error")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="From which level on there are lines"
    )
    shutdown_seconds: float = Field(
        10.0, ge=1, le=600, allow_inf_nan=False, description="How long the end may take, from the signal on"
    )

    @model_validator(mode="after")
    def _real_time_is_as_it_is(self) -> Self:
        if self.clock == "real" and (self.speed != 1.0 or self.day):
            said = "the real clock has its own speed and date"
            raise PydanticCustomError("contradiction", said, {"names": ["clock", "speed", "day"]})
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: :func:`load` asks the other sources itself, to know what came from where."""
        return (init_settings,)


class SettingsError(Exception):
    """Settings that can't be; says all that is wrong, each with its place."""


class Settings(NamedTuple):
    """Settings, and where each that is not the default came from."""

    values: ServeSettings
    places: dict[str, str]


def load(options: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of a file, the environment and options (None: not given). SettingsError if they can't be."""
    given: dict[str, Any] = {}
    places: dict[str, str] = {}
    for values, place in (
        (_of_file(config), lambda name: f"{config}: {name}"),
        (_of_environment(), lambda name: f"{PREFIX}{name.upper()}"),
        ({name: value for name, value in options.items() if value is not None}, option_of),
    ):
        given |= values
        places |= {name: place(name) for name in values}
    try:
        return Settings(ServeSettings(**given), places)
    except ValidationError as error:
        raise SettingsError("; ".join(_said(one, places) for one in error.errors(include_url=False))) from None


def option_of(name: str) -> str:
    """How the command line spells a setting."""
    return f"--{name.replace('_', '-')}"


def _of_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        config.read_bytes()  # which the source takes for empty if it is not there
        return TomlConfigSettingsSource(ServeSettings, config)()
    except OSError as error:
        raise SettingsError(f"{config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: {error}") from None


def _of_environment() -> dict[str, Any]:
    """What variables say; those that name no setting too, which the model then refuses."""
    named = {name.removeprefix(PREFIX).lower(): text for name, text in os.environ.items() if name.startswith(PREFIX)}
    unknown = {name: text for name, text in named.items() if name not in (*ServeSettings.model_fields, CONFIG.lower())}
    return unknown | EnvSettingsSource(ServeSettings)()


def _said(error: Any, places: dict[str, str]) -> str:
    """One thing that is wrong, with its place."""
    names = error["ctx"]["names"] if error["type"] == "contradiction" else [str(error["loc"][0])]
    at = ", ".join(places[name] for name in names if name in places)
    said = "there is no such setting" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{at}: {said[0].lower()}{said[1:]}"


# ---------------------------------------------------------------- as text


def shown(settings: Settings) -> str:
    """The settings as a TOML file that would give them again, each with its place; secrets are left out."""
    lines = []
    for name in ServeSettings.model_fields:
        value, place = getattr(settings.values, name), settings.places.get(name, DEFAULT)
        if isinstance(value, SecretStr):
            lines.append(f"# {name} is set and not shown  # {place}")
        elif value is None:
            lines.append(f"# {name} is not set  # {place}")
        else:
            lines.append(f"{name} = {as_toml(value)}  # {place}")
    return "\n".join(lines)


def as_toml(value: str | Path | int | float | date) -> str:
    """A value as TOML writes it."""
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)  # a JSON string is a basic string of TOML
    return str(value).lower()
