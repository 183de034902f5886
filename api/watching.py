"""What is noted of each group of commands once it has been answered: how long it took, and what it came to.

The log has the steps of the market's day and of settlement, failures and corrections at level info, refused commands
likewise; all other commands off the trading path, each group and each refused order at level debug. As long as nobody
wants that, no line is put together.
"""

import logging
from datetime import date
from typing import Any, get_args

import msgspec

from api.gateway import Gateway
from api.inbox import Passed
from api.metrics import Metrics
from exchange.events import (
    CommandRefused,
    CorrectionEvent,
    DefaultsEvent,
    Event,
    MarketEvent,
    SettlementEvent,
)
from exchange.reasons import Reason
from exchange.rows import EventKind, told
from registry.accounts import Account

_log = logging.getLogger("carbonex.exchange")

_STEPS = frozenset(
    kind for room in (MarketEvent, SettlementEvent, DefaultsEvent, CorrectionEvent) for kind in get_args(room)
)
_PLAIN = (int, str, bool, date)


class Watch:
    """Looks at each group that has gone through the inbox."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._accounts = gateway.exchange.accounts.by_number
        self._observe = metrics.observe

    def __call__(self, passed: Passed) -> None:
        try:
            self._observe(passed)
            if passed.outcome.events:
                self._log_events(passed)
            if _log.isEnabledFor(logging.DEBUG) and passed.batch.rows.size:
                self._log_rows(passed)
        except Exception:  # which must not stop an exchange that is well
            _log.exception("a group could not be noted")

    def _log_events(self, passed: Passed) -> None:
        asked_by = {
            receipt: waiting.request_id
            for receipt, waiting in zip(passed.receipts, passed.group, strict=False)
            if isinstance(receipt, int) and waiting.request_id
        }
        for sequence, event in passed.outcome.events.items():
            about: dict[str, Any] = {"sequence": sequence}
            if sequence in asked_by:
                about["request_id"] = asked_by[sequence]
            if isinstance(event, CommandRefused):
                _log.info("command refused", extra=about | {"code": event.reason.code, "detail": event.detail})
                continue
            level = logging.INFO if type(event) in _STEPS else logging.DEBUG
            if _log.isEnabledFor(level):
                _log.log(level, in_words(event), extra=about | self._fields_of(event))

    def _log_rows(self, passed: Passed) -> None:
        rows = passed.batch.rows
        refused = [one for one in told(passed.outcome.rows) if one.kind == EventKind.REFUSED]
        fields = {
            "first_sequence": int(rows[0].sequence),
            "last_sequence": int(rows[-1].sequence),
            "commands": rows.size,
            "refused": len(refused),
            "seconds": round(passed.answered - passed.group[0].at, 6),
        }
        _log.debug("batch", extra=fields)
        for one in refused:
            account = self._accounts[one.account] if one.account < len(self._accounts) else None
            about = {"sequence": one.sequence, "order_id": one.order_id, "account_id": account and account.account_id}
            _log.debug("order refused", extra=about | {"code": Reason(one.reason).code})

    def _fields_of(self, event: Event) -> dict[str, Any]:
        """The plain fields of an event, an account by its id; nobody's name."""
        fields = {}
        for name, value in msgspec.structs.asdict(event).items():
            if name == "account":
                found = value if isinstance(value, Account) else self._accounts[value]
                fields["account_id"] = found.account_id if found else None
            elif name != "name" and type(value) in _PLAIN:
                fields[name] = value
        return fields


def in_words(event: Event) -> str:
    """The name of an event, e.g. `day opened`."""
    name = type(event).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
