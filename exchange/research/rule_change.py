"""The same flow under other rules: what a day of our own would have been, and what differs.

    compared = under(History.of(journal), rules)
    compared.measures()            each figure under both rules, and the difference
    compared.other                 the other day, as a history: tables, states and measures of it are made as of any

Every command comes at the moment at which it came, and keeps its sequence number, so that the two days can be laid
beside each other command by command. What a command says is kept too, but where it repeats an answer that it had got:

    orders        who cancels or amends an order means the order that the same command placed under the other rules
    trades        who busts or corrects a trade means the same trade between the same two orders
    the bank      rejects or pays in part what it rejected or paid in part on the day as it was, and accepts all else;
                  its balances differ from ours by as much as they did
    locks, surrenders, failures   are named by number, which stays as long as there are as many of them

What has no counterpart (the order was refused, the trade has not come about) names 0, is refused, and is counted in
`Comparison.without_counterpart`.

That nobody behaves otherwise is what the answer rests on: nobody sees another price and orders something else, nobody
withdraws an order that was refused in truth and is not under the other rules (`let_in`). And no step of a day comes at
another time: rules that only the timetable follows can't be compared (:func:`not_comparable`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np

from exchange import events as happened
from exchange.commands import (
    BustTrades,
    ConfirmPayments,
    Control,
    CorrectTrades,
    FoundExchange,
    ReconcileBank,
    decode_control,
)
from exchange.commands import control as command_of
from exchange.engine import read_batches, replayed
from exchange.instruments import money
from exchange.journal import Batch, MemoryJournal
from exchange.payments import closing_balances
from exchange.reasons import Reason
from exchange.research.history import History, Moment, moments, parts
from exchange.rows import EVENT, TRADE, CommandKind, EventKind, joined, type_of_rows
from exchange.rules import RuleSet
from exchange.state import Exchange
from exchange.transition import Outcome
from registry import holdings
from settlement.bank_files import BankBalance, LineAnswer, Reply
from settlement.batch import BatchReport

NOBODYS = 0  # the number of no order, no trade, no lock
EXAMPLES = 20  # commands that are answered otherwise, of which both answers are kept
NAMES_AN_ORDER = (int(CommandKind.CANCEL_ORDER), int(CommandKind.AMEND_ORDER))
_NUMBERS: dict[str, Callable[[Exchange], int]] = {
    "lock_id": lambda exchange: exchange.locks.next_id,
    "request_id": lambda exchange: exchange.compliance.next_request,
    "case": lambda exchange: len(exchange.clearing.defaults.cases),
}  # what commands name by number, and how many there have been


class RuleChangeError(ValueError):
    """Rules under which the flow can't be played; says which and why."""


def not_comparable(ours: RuleSet, theirs: RuleSet) -> list[str]:
    """Names of the rules that differ although the journal's commands rest on them.

    Prices are ticks, the steps of a day came at the times of the timetable, payments went to a bank or did not.
    """
    return [name for name, of in _KEPT.items() if of(ours) != of(theirs)]


_KEPT: dict[str, Callable[[RuleSet], object]] = {
    "calendar": lambda rules: rules.calendar,
    "timezone": lambda rules: rules.timezone,
    "pre_open": lambda rules: rules.pre_open,
    "sessions": lambda rules: rules.sessions,
    "settle_at": lambda rules: rules.settle_at,
    "opening_call": lambda rules: rules.opening_call,
    "closing_call": lambda rules: rules.closing_call,
    "currency": lambda rules: rules.currency,
    "tick": lambda rules: rules.tick,
    "settlement.bank": lambda rules: rules.settlement.bank,
    "settlement.confirm_by": lambda rules: rules.settlement.confirm_by,
    "settlement.reserve": lambda rules: rules.settlement.reserve is None,  # it has an account
    "compliance.calendar": lambda rules: rules.compliance.calendar,
}


class Answered(NamedTuple):
    """A command that is answered otherwise: its sequence number and time, what it asked, both answers in words."""

    sequence: int
    now_ns: int
    command: str
    original: str
    other: str


class Measure(NamedTuple):
    """A figure of both days; money in fen, prices in ticks."""

    name: str
    original: float
    other: float
    unit: str = ""

    @property
    def difference(self) -> float:
        return self.other - self.original


class Day:
    """What one of the two runs comes to."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.kinds: Counter[int] = Counter()  # events of the trading path, by kind
        self.reasons: Counter[Reason] = Counter()  # why something was refused, off the trading path too
        self.trades = np.zeros(0, TRADE)
        self.reports: list[BatchReport] = []
        self._parts: list[type_of_rows] = []

    def take(self, outcome: Outcome) -> None:
        rows = outcome.rows
        self.kinds.update(rows["kind"].tolist())
        is_refused = np.isin(rows["kind"], _REFUSALS)
        self.reasons.update(map(Reason, rows["reason"][is_refused].tolist()))
        self._parts.append(outcome.trades)
        for event in outcome.events.values():
            if isinstance(event, happened.CommandRefused):
                self.reasons[event.reason] += 1
            elif isinstance(event, happened.DaySettled | happened.BatchDelivered):
                self.reports.append(event.report)

    def close(self) -> None:
        self.trades = joined([self.trades, *self._parts])
        self._parts = []

    @property
    def turnover(self) -> int:
        """Fen, whatever the currency."""
        fen_per_tick = self.exchange.path.desk.instruments["fen_per_tick"][self.trades["instrument"]]
        return int((self.trades["price_ticks"] * self.trades["quantity"] * fen_per_tick).sum())


_REFUSALS = [int(EventKind.REFUSED), int(EventKind.CANCEL_REFUSED), int(EventKind.AMEND_REFUSED)]


@dataclass
class Comparison:
    """A history as it was and under other rules."""

    original: Day
    day: Day  # under the other rules
    other: History  # the other day's commands
    answered: list[Answered] = field(default_factory=list)  # the first of those that are answered otherwise
    otherwise: int = 0  # commands that are
    without_counterpart: int = 0  # commands that name what the other day has not
    let_in: int = 0  # orders that only the other rules accept
    kept_out: int = 0  # orders that only the original ones do

    def measures(self) -> list[Measure]:
        """Figures of both days, those of each instrument with its symbol."""
        days = self.original, self.day

        def both(name: str, of: Callable[[Day], float], unit: str = "") -> Measure:
            first, second = map(of, days)
            return Measure(name, first, second, unit)

        found = [
            both("orders accepted", lambda day: day.kinds[EventKind.ACCEPTED]),
            both("orders refused", lambda day: day.kinds[EventKind.REFUSED]),
            both("cancels and amends refused", lambda day: sum(day.kinds[kind] for kind in _REFUSALS[1:])),
            both("trades", lambda day: day.trades.size),
            both("volume", lambda day: int(day.trades["quantity"].sum()), "t"),
            both("turnover", lambda day: day.turnover, "fen"),
            both("fees", lambda day: int((day.trades["buyer_fee"] + day.trades["seller_fee"]).sum()), "fen"),
        ]
        for instrument in self.original.exchange.instruments:
            for name, of in _PRICES.items():
                found.append(both(f"{instrument.symbol}: {name}", _of_instrument(instrument.number, of), "ticks"))
        found += [
            both("settlement: deliveries", lambda day: sum(one.deliveries for one in day.reports)),
            both("settlement: payments", lambda day: sum(one.payments for one in day.reports)),
            both("settlement: units moved", lambda day: _moved(one.units for one in day.reports), "t"),
            both("settlement: cash moved", lambda day: _moved(one.cash for one in day.reports), "fen"),
        ]
        return found

    def reasons(self) -> list[Measure]:
        """How often each reason refused something, the reasons that differ."""
        ours, theirs = self.original.reasons, self.day.reasons
        return [
            Measure(reason.code, ours[reason], theirs[reason])
            for reason in sorted(ours.keys() | theirs.keys())
            if ours[reason] != theirs[reason]
        ]

    def richer(self) -> dict[str, dict[str, int]]:
        """By account and asset, what it has more at the end of the other day (settled), where that is not nothing."""
        ours, theirs = (
            holdings.settled(day.exchange.path.desk.balances).astype(np.int64) for day in (self.original, self.day)
        )
        differs = theirs - ours
        account_ids, names = self.day.exchange.account_ids, self.day.exchange.asset_names
        found: dict[str, dict[str, int]] = {}
        for account, asset in zip(*np.nonzero(differs), strict=True):
            found.setdefault(account_ids[account], {})[names[asset]] = int(differs[account, asset])
        return found


_PRICES: dict[str, Callable[[type_of_rows], float]] = {
    "mean price": lambda trades: float((trades["price_ticks"] * trades["quantity"]).sum() / trades["quantity"].sum()),
    "lowest price": lambda trades: int(trades["price_ticks"].min()),
    "highest price": lambda trades: int(trades["price_ticks"].max()),
    "last price": lambda trades: int(trades["price_ticks"][-1]),
}


def _of_instrument(number: int, of: Callable[[type_of_rows], float]) -> Callable[[Day], float]:
    def measured(day: Day) -> float:
        trades = day.trades[day.trades["instrument"] == number]
        return of(trades) if trades.size else float("nan")

    return measured


def _moved(amounts: Iterable[dict[int, Any]]) -> int:
    return sum(one.moved for assets in amounts for one in assets.values())


# ---------------------------------------------------------------- playing the other day


def under(history: History, rules: RuleSet) -> Comparison:
    """Play a history under other rules, beside the history as it was.

    RuleChangeError if it can't be; JournalError if the journal can't be read.
    """
    journal = MemoryJournal()
    compared = Comparison(Day(), Day(), History(lambda: read_batches(journal.blocks())))
    follower = _Follower(compared, rules)
    for moment in moments(history()):
        compared.original.exchange = moment.exchange
        compared.original.take(moment.outcome)
        told: list[Outcome] = []
        for batch in follower.meant(moment):
            journal.append(batch.encode())
            told.append(replayed(compared.day.exchange, batch))
            follower.learn(batch, told[-1])
            compared.day.take(told[-1])
        follower.compare(moment, told)
    if compared.day.exchange.rules is None:
        raise RuleChangeError("the journal holds nothing: no exchange has been founded in it")
    compared.original.close()
    compared.day.close()
    return compared


class _Follower:
    """Who says under the other rules what was said under the first, and notes what came of it."""

    def __init__(self, compared: Comparison, rules: RuleSet) -> None:
        self.compared = compared
        self.rules = rules
        self._ids = np.zeros(1 << 12, np.int64)  # the other day's order by order of the day as it was; 0: none
        self._first = 1  # the id of the first order that this stretch has placed
        self._placed = np.zeros(0, np.int64)  # sequence numbers of commands that placed orders, from that one on
        self._trades: dict[tuple[int, int], list[list[int]]] = {}  # ids of both days' trades, by their two orders there

    # -- what is said

    def meant(self, moment: Moment) -> Iterator[Batch]:
        """The commands of a stretch as they have to be said, each part once the one before has been applied."""
        batch = moment.batch
        if batch.rows["kind"][0] == CommandKind.CONTROL:
            yield self._control(moment)
            return
        accepted = moment.outcome.rows[moment.outcome.rows["kind"] == EventKind.ACCEPTED]
        self._placed = accepted["sequence"].copy()
        self._first = int(accepted["order_id"][0]) if accepted.size else self._last_id(moment) + 1
        while self._first + accepted.size >= self._ids.size:
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
        for part in parts(batch, self._cuts(batch.rows)):
            rows = part.rows
            names = np.isin(rows["kind"], NAMES_AN_ORDER)
            known = rows["order_id"][names]
            is_known = (known > 0) & (known < self._first + accepted.size)
            theirs = np.where(is_known, self._ids[np.where(is_known, known, 0)], NOBODYS)
            self.compared.without_counterpart += int((is_known & (theirs == NOBODYS)).sum())
            rows["order_id"][names] = theirs
            yield part

    def _last_id(self, moment: Moment) -> int:
        return int(moment.exchange.path.desk.ladder.pool[0].next_order_id) - 1

    def _cuts(self, rows: type_of_rows) -> Iterator[int]:
        """Where to stop, so that no row names an order that its own part places."""
        start = int(rows["sequence"][0])
        for index in np.flatnonzero(np.isin(rows["kind"], NAMES_AN_ORDER)).tolist():
            place = int(rows["order_id"][index]) - self._first
            if 0 <= place < self._placed.size and self._placed[place] >= start:
                start = int(rows["sequence"][index])
                yield index

    def _control(self, moment: Moment) -> Batch:
        """The one command of a stretch off the trading path."""
        rows, detail = moment.batch.rows.copy(), moment.batch.details[0]
        [event] = moment.outcome.events.values()
        was = decode_control(detail)
        said = self._said(was, event, moment.exchange)
        return moment.batch if said is was else Batch(rows, [command_of(said).detail])

    def _said(self, command: Control, event: happened.Event, exchange: Exchange) -> Control:
        match command:
            case FoundExchange():
                if differ := not_comparable(command.rules, self.rules):
                    raise RuleChangeError(f"the journal's commands rest on {', '.join(differ)}: these must stay")
                return FoundExchange(self.rules)
            case BustTrades():
                return msgspec.structs.replace(command, trade_ids=[*map(self._trade, command.trade_ids)])
            case CorrectTrades():
                corrections = [
                    msgspec.structs.replace(one, trade_id=self._trade(one.trade_id)) for one in command.corrections
                ]
                return msgspec.structs.replace(command, corrections=corrections)
            case ConfirmPayments() if isinstance(event, happened.PaymentsConfirmed):
                return self._payments(command)
            case ReconcileBank() if isinstance(event, happened.BankReconciled):
                return self._balances(command, exchange)
        for name, count in _NUMBERS.items():
            if hasattr(command, name) and count(exchange) != count(self.compared.day.exchange):
                self.compared.without_counterpart += 1
                return msgspec.structs.replace(command, **{name: NOBODYS})
        return command

    def _trade(self, trade_id: int) -> int:
        found = next((theirs for ours, theirs in self._all_trades() if ours == trade_id), NOBODYS)
        self.compared.without_counterpart += found == NOBODYS
        return found

    def _all_trades(self) -> Iterator[tuple[int, int]]:
        for ours, theirs in self._trades.values():
            yield from zip(ours, theirs, strict=False)

    def _payments(self, command: ConfirmPayments) -> ConfirmPayments:
        """The bank's answer to the file that it gets under the other rules."""
        batch = self.compared.day.exchange.clearing.batch(command.batch)
        if batch is None or batch.payments is None:
            return command
        said = {(one.account_id, one.currency, one.direction): one for one in command.lines}
        answers = []
        for line in batch.payments.last.lines:
            told = said.get((line.account_id, line.currency, line.direction))
            if line.line in batch.payments.answers or (told is None and command.more_follows):
                continue
            repeated = LineAnswer(line.line, line.account_id, line.currency, line.direction, line.fen, Reply.ACCEPTED)
            if told is not None and told.reply == Reply.REJECTED:
                repeated = msgspec.structs.replace(repeated, reply=Reply.REJECTED, reason=told.reason)
            elif told is not None and told.reply == Reply.PARTIAL and told.paid < line.fen:
                repeated = msgspec.structs.replace(repeated, reply=Reply.PARTIAL, paid=told.paid, reason=told.reason)
            answers.append(repeated)
        checksum = batch.payments.last.checksum
        return msgspec.structs.replace(command, answers_to=checksum, lines=tuple(answers))

    def _balances(self, command: ReconcileBank, exchange: Exchange) -> ReconcileBank:
        """What the bank has at the end of the other day: off ours by as much as it was."""
        ours = closing_balances(exchange, command.date) or {}
        theirs = closing_balances(self.compared.day.exchange, command.date) or {}
        said = {(line.account_id, line.currency): line.fen for line in command.lines}
        lines = []
        for key in sorted(said.keys() | (theirs.keys() - ours.keys())):
            fen = said.get(key, 0) + theirs.get(key, 0) - ours.get(key, 0)
            lines.append(BankBalance(*key, fen))
        return msgspec.structs.replace(command, lines=tuple(lines))

    # -- what came of it

    def learn(self, batch: Batch, outcome: Outcome) -> None:
        """Which orders of the other day are those of the day as it was."""
        accepted = outcome.rows[outcome.rows["kind"] == EventKind.ACCEPTED]
        if accepted.size and self._placed.size:
            places = np.searchsorted(self._placed, accepted["sequence"])
            has_one = self._placed[np.minimum(places, self._placed.size - 1)] == accepted["sequence"]
            self._ids[self._first + places[has_one]] = accepted["order_id"][has_one]

    def compare(self, moment: Moment, told: list[Outcome]) -> None:
        """Lay both answers to a stretch beside each other."""
        original, day = moment.exchange, self.compared.day.exchange
        sizes = [(len(one.account_ids), len(one.instruments), one.units.last_number) for one in (original, day)]
        if sizes[0] != sizes[1]:
            sequence = int(moment.batch.rows["sequence"][0])
            raise RuleChangeError(f"under the other rules command {sequence} opens or lists something else")
        rows = joined([np.zeros(0, EVENT), *(one.rows for one in told)])
        self._note_trades(moment.outcome.trades, joined([np.zeros(0, TRADE), *(one.trades for one in told)]))
        if any(isinstance(event, happened.ExchangeFounded) for event in moment.outcome.events.values()):
            return
        events = {sequence: event for one in told for sequence, event in one.events.items()}
        ours, theirs = (_answers(some) for some in (moment.outcome.rows, rows))
        if np.array_equal(ours, theirs) and events == moment.outcome.events:
            return
        placed, let = (
            set(some["sequence"][some["kind"] == EventKind.ACCEPTED].tolist()) for some in (moment.outcome.rows, rows)
        )
        self.compared.kept_out += len(placed - let)
        self.compared.let_in += len(let - placed)
        self._note_answers(moment, (moment.outcome.rows, moment.outcome.events), (rows, events))

    def _note_trades(self, ours: type_of_rows, theirs: type_of_rows) -> None:
        """Trades by their orders; those of the day as it was by the numbers of the other day's orders."""
        for which, rows in enumerate((ours, theirs)):
            buys, sells = rows["buy_order_id"], rows["sell_order_id"]
            if which == 0:
                buys, sells = (self._ids[np.clip(one, 0, self._ids.size - 1)] for one in (buys, sells))
            for buy, sell, trade in zip(buys.tolist(), sells.tolist(), rows["trade_id"].tolist(), strict=True):
                if buy and sell:
                    self._trades.setdefault((buy, sell), [[], []])[which].append(trade)

    def _note_answers(self, moment: Moment, ours: "_Told", theirs: "_Told") -> None:
        both = _by_sequence(*ours), _by_sequence(*theirs)
        commands = moment.batch.rows
        for sequence in sorted(both[0].keys() | both[1].keys()):
            first, second = (one.get(sequence, ([], b"", None)) for one in both)
            if first[1:] == second[1:]:
                continue
            self.compared.otherwise += 1
            if len(self.compared.answered) < EXAMPLES:
                index = sequence - int(commands["sequence"][0])
                kind = CommandKind(int(commands["kind"][index]))
                asked = kind.name.lower()
                if kind == CommandKind.CONTROL:
                    asked = type(decode_control(moment.batch.details[index])).__name__
                self.compared.answered.append(
                    Answered(sequence, int(commands["now_ns"][index]), asked, _in_words(first), _in_words(second))
                )


_Told = tuple[type_of_rows, dict[int, happened.Event]]
_Answer = tuple[list[Any], bytes, happened.Event | None]  # event rows, these without the ids, the event


_SAID = np.dtype(
    [(name, EVENT[name]) for name in EVENT.names or () if name not in ("order_id", "maker_order_id", "trade_id")]
)  # without the numbers of orders and trades, which the two days count by themselves, and without padding


def _answers(rows: type_of_rows) -> type_of_rows:
    """What event rows say, a row of bytes each."""
    said = np.zeros(rows.size, _SAID)
    for name in _SAID.names or ():
        said[name] = rows[name]
    return said.view(np.uint8).reshape(rows.size, _SAID.itemsize)


def _by_sequence(rows: type_of_rows, events: dict[int, happened.Event]) -> dict[int, _Answer]:
    found: dict[int, _Answer] = {sequence: ([], b"", event) for sequence, event in events.items()}
    for sequence, row, what in zip(rows["sequence"].tolist(), rows, _answers(rows), strict=True):
        lines, said, event = found.get(sequence, ([], b"", None))
        found[sequence] = [*lines, row], said + what.tobytes(), event
    return found


def _in_words(answer: _Answer) -> str:
    rows, _, event = answer
    said = [_row_in_words(row) for row in rows]
    if isinstance(event, happened.CommandRefused):
        said.append(f"refused: {event.reason.code}")
    elif event is not None:
        said.append(type(event).__name__)
    return ", ".join(said) or "nothing"


def _row_in_words(row: Any) -> str:
    match EventKind(int(row["kind"])):
        case EventKind.TRADED:
            return f"traded {row['quantity']} @ {row['price_ticks']}"
        case EventKind.REFUSED | EventKind.CANCEL_REFUSED | EventKind.AMEND_REFUSED as kind:
            return f"{kind.label}: {Reason(int(row['reason'])).code}"
        case kind:
            return f"{kind.label} {row['quantity']} @ {row['price_ticks']}"


def amount(measure: Measure, value: float) -> str:
    """A measure's value for people: fen as money, whole numbers with their thousands marked; a dash for none."""
    if value != value:
        return "–"
    if measure.unit == "fen":
        return money(int(value))
    return f"{int(value):,}" if value == int(value) else f"{value:,.2f}"
