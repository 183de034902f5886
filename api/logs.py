"""Log lines: an event in words, and its fields.

`_log.info("day settled", extra={"sequence": 17})` is written as one JSON object or one line of text, with the id of the
request in whose name it happened. The standard library's logging is enough for that: the libraries below log through it
already, and what turns a record into a line is this page. Lines go to standard error.
"""

import logging
import re
from contextvars import ContextVar
from datetime import UTC, date, datetime
from typing import Any, Literal

import msgspec

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_PLAIN = re.compile(r"[^\s\"=]+")


def configure(form: Literal["text", "json"], level: str) -> None:
    """Have all loggers write lines of a form to standard error, from a level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("carbonex").setLevel(level.upper())


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says beyond its words."""
    fields = {name: value for name, value in vars(record).items() if name not in _OWN}
    if request_id := REQUEST_ID.get():
        fields.setdefault("request_id", request_id)
    return fields


class JsonLines(logging.Formatter):
    """One JSON object a record; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"at": _at(record), "level": record.levelname.lower(), "logger": record.name}
        said["event"] = record.getMessage()
        fields = {name: value for name, value in fields_of(record).items() if name not in said}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(said | fields, enc_hook=str).decode()


class TextLines(logging.Formatter):
    """One line a record, for people; an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_as_text(value)}" for name, value in fields_of(record).items())
        line = f"{_at(record)} {record.levelname.lower():<8} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_text(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text if _PLAIN.fullmatch(text) else msgspec.json.encode(text).decode()
