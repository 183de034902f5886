"""`carbonex serve`: the settings, the way from them to a running exchange, and what may go wrong on it.

Options are texts here: what they may be says the model of the settings, as it does for the file and the environment.
"""

import errno
import gc
import ipaddress
import signal
import sqlite3
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exchange.console import fail, load_compiled, say

if TYPE_CHECKING:
    from socket import socket
    from types import FrameType

    from api.access.guard import Access
    from api.gateway import Gateway
    from api.idempotency import RequestFile
    from api.settings import ServeSettings


class Example(StrEnum):
    """A file to begin with, by what it is for."""

    CONFIG = "config"
    SYSTEMD = "systemd"
    CONTAINER = "container"
    PROXY = "proxy"


EXAMPLES = {
    Example.CONFIG: "carbonex.toml",
    Example.SYSTEMD: "carbonex.service",
    Example.CONTAINER: "Containerfile",
    Example.PROXY: "nginx.conf",
}

INVALID = 2  # exit code of settings that can't be


def _option(metavar: str, default: str, help_: str) -> Any:
    """An option of a setting; not given, it is None, and the default is the model's."""
    return typer.Option(metavar=metavar, show_default=default, help=help_)


def serve(
    journal: Annotated[
        str | None, _option("FILE", "var/exchange.journal", "Where the exchange remembers: one file, made if missing.")
    ] = None,
    rules: Annotated[
        str | None, _option("NAME", "the journal's", "Rule set by name (hubei, national, generic) or a .toml file.")
    ] = None,
    host: Annotated[
        str | None, _option("ADDRESS", "127.0.0.1", "Address to listen on; without keys loopback only.")
    ] = None,
    port: Annotated[str | None, _option("PORT", "8000", "TCP port; 0 takes a free one.")] = None,
    clock: Annotated[
        str | None, _option("simulated|real", "simulated", "Simulated time, or the real time of the market.")
    ] = None,
    speed: Annotated[str | None, _option("NUMBER", "1.0", "Market seconds a second, simulated.")] = None,
    day: Annotated[str | None, _option("DATE", "today", "First trading day of a new journal, e.g. 2026-01-05.")] = None,
    manual: Annotated[
        bool | None,
        typer.Option("--manual/--no-manual", show_default="no-manual", help="Leave the trading day to the operator."),
    ] = None,
    bank: Annotated[
        str | None,
        _option(
            "accept|reject|partial|late|none",
            "accept",
            "How a simulated settlement bank answers, where the rules want one: it accepts all, rejects what the "
            "first participant has to pay in, pays half of it, or answers half an hour late; none: somebody else "
            "answers, as `carbonex bank` does.",
        ),
    ] = None,
    inbox: Annotated[str | None, _option("NUMBER", "8192", "Commands that may wait before the inbox is full.")] = None,
    keys: Annotated[
        str | None, _option("FILE", "the journal's name and .keys", "File of keys (`carbonex keys`).")
    ] = None,
    behind_tls: Annotated[
        bool | None,
        typer.Option(
            "--behind-tls/--no-behind-tls",
            show_default="no-behind-tls",
            help="A proxy in front speaks TLS: browsers send the cookie of a session over that alone.",
        ),
    ] = None,
    log_format: Annotated[str | None, _option("text|json", "text", "Lines of the log, on standard error.")] = None,
    log_level: Annotated[
        str | None, _option("debug|info|warning|error", "warning", "From which level on there are lines.")
    ] = None,
    shutdown_seconds: Annotated[
        str | None, _option("NUMBER", "10.0", "How long the end may take, from the signal on.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="CARBONEX_SERVE_CONFIG", help="TOML file of settings; options win over it.")
    ] = None,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print all settings and where each came from, and end.")
    ] = False,
    example: Annotated[
        Example | None,
        typer.Option(help="Print a file to begin with (settings, systemd unit, container, proxy) and end."),
    ] = None,
) -> None:
    """Run the exchange alone, until Ctrl-C.

    Settings come from options, variables CARBONEX_SERVE_<NAME> and the file of --config, in this order.
    """
    if example is not None:
        typer.echo(resources.files("api.deploy").joinpath(EXAMPLES[example]).read_text("utf-8"), nl=False)
        return
    from api.settings import SettingsError, load, shown

    options = {
        "journal": journal, "rules": rules, "host": host, "port": port, "clock": clock, "speed": speed, "day": day,
        "manual": manual, "bank": bank, "inbox": inbox, "keys": keys, "behind_tls": behind_tls,
        "log_format": log_format, "log_level": log_level, "shutdown_seconds": shutdown_seconds,
    }  # fmt: skip
    try:
        settings = load(options, config)
    except SettingsError as error:
        fail("invalid_setting", str(error), INVALID)
    if show_settings:
        typer.echo(shown(settings))
        return
    _run(settings.values)


class EndingSignal:
    """SIGINT or SIGTERM while the process still starts: interrupts it, and is remembered besides.

    An exception alone can be lost: where C has called Python, as where compiled code is loaded, nobody takes it.
    """

    def __init__(self) -> None:
        self._has_come = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: "FrameType | None") -> None:
        self._has_come = True
        raise KeyboardInterrupt

    def heed(self) -> None:
        """KeyboardInterrupt if one has come."""
        if self._has_come:
            raise KeyboardInterrupt


def _run(values: "ServeSettings") -> None:
    from api.logs import configure
    from api.serving import Serving
    from api.starting import answering

    access = _access(values)
    ending = EndingSignal()  # until the server takes it
    try:
        with _listening(values) as listening:
            with answering(listening):
                load_compiled("trading")
                ending.heed()
                gateway = _gateway(values)
            gc.freeze()  # what a journal has brought stays: the garbage collector need not look at it again and again
            configure(values.log_format, values.log_level)
            serving = Serving(gateway, access, listening, values.shutdown_seconds)
            title = gateway.exchange.market.title
            say(f"serving {title} on {serving.url} - API pages at {serving.url}/docs - Ctrl-C ends")
            say("every request needs a key" if access.is_on else "no keys: everybody on this machine may do everything")
            ending.heed()
            serving.run()
    except KeyboardInterrupt:
        say("stopped before it had begun")
        return
    if gateway.inbox.broken not in (None, "stopping"):
        fail(gateway.inbox.broken, "the exchange broke and stopped; the journal holds what happened", 2)
    say("stopped; the journal holds everything")


def _listening(values: "ServeSettings") -> "socket":
    from api.serving import bound

    try:
        return bound(values.host, values.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fail("address_in_use", f"{values.host}:{values.port} is taken; choose another with --port")
        fail("address_unusable", f"{values.host}:{values.port}: {error.strerror}")


def _access(values: "ServeSettings") -> "Access":
    """Who may ask; fails where others could reach an exchange without keys."""
    from api.access.guard import Access
    from api.access.keys import KeyFile, KeyProblem
    from api.timers import real_now_ns

    key_file = values.keys or values.journal.with_name(values.journal.name + ".keys")
    if values.keys and not values.keys.exists():
        fail("no_key_file", f"{values.keys} does not exist; `carbonex keys create --file {values.keys}` makes it")
    token = values.metrics_token.get_secret_value() if values.metrics_token else ""
    try:
        access = Access(
            KeyFile(key_file, real_now_ns) if key_file.exists() else None,
            path=key_file,
            metrics_token=token,
            behind_tls=values.behind_tls,
        )
    except KeyProblem as error:
        fail(error.code, error.detail)
    if not (_is_loopback(values.host) or access.is_on):
        said = f"{values.host} can be reached by others, and without keys everybody may do everything"
        fail(
            "address_needs_keys",
            f"{said}; make one: carbonex keys create operator --account EXCHANGE --file {key_file}",
        )
    return access


def _gateway(values: "ServeSettings") -> "Gateway":
    """The exchange of the journal, with its timers set."""
    from api.gateway import Gateway
    from api.timers import Clock, real_now_ns, simulated_clock
    from exchange.journal import JournalError, SqliteJournal
    from exchange.reasons import Refused
    from exchange.rules import RuleSetError, load_rule_set
    from exchange.sessions import CalendarError
    from settlement.rules import Policy

    journal, is_simulated = values.journal, values.clock == "simulated"
    answers = None if values.bank == "none" else Policy(values.bank)
    try:
        rule_set = load_rule_set(values.rules) if values.rules else None
        opened = SqliteJournal(journal)
        started_ns = real_now_ns()
        runs = Clock(0, values.speed) if is_simulated else Clock.real()
        requests = _requests(journal.with_name(journal.name + ".requests"))
        gateway = Gateway(opened, rule_set, runs, values.inbox, answers, requests)
        if is_simulated:
            gateway.clock.advance_to(simulated_clock(gateway.exchange, values.day, values.manual))
    except JournalError as error:
        fail(error.code, error.detail)
    except RuleSetError as error:
        fail("invalid_rule_set", str(error))
    except CalendarError as error:
        fail("calendar_ends", f"{error}; choose an earlier --day for a new journal, or --manual")
    except Refused as error:
        fail("rule_set_differs", error.detail)
    took_s = (real_now_ns() - started_ns) / 1e9
    commands = gateway.exchange.sequence
    say(f"journal {journal}: {f'{commands:,} commands, read in {took_s:.1f} s' if commands > 1 else 'new'}")
    if not values.manual:
        gateway.timers.start(days=None, skip_idle=is_simulated)
        if not len(gateway.exchange.instruments):
            say("nothing is listed yet: the first trading day begins when an instrument is (POST /v1/instruments)")
    return gateway


def _requests(path: Path) -> "RequestFile":
    """What was asked under keys, beside the journal."""
    from api.idempotency import RequestFile

    try:
        return RequestFile(path)
    except sqlite3.Error as error:
        fail("requests_unusable", f"{path}: {error}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return False
