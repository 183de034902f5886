"""From the clearing house's state to what goes over the wire: statements as data, tables and pages. Reads only."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from api import schemas
from api.gateway import Gateway
from api.problems import Problem
from api.registry_views import account_id
from api.timers import iso
from api.views import amount, settlement_view
from exchange.reasons import Reason, Refused
from exchange.sessions import CalendarError, next_opening_ns
from registry.accounts import Account
from settlement import statement_files
from settlement.corrections import Correction
from settlement.cycle import Batch, Stage, only
from settlement.default import Case
from settlement.statement_files import Asset, Names, Sheet
from settlement.statements import Statement, as_one
from settlement.totals import totals

_MONEY_DECIMALS = 2


def names(gateway: Gateway) -> Names:
    """What accounts and assets are called."""
    exchange = gateway.exchange
    currencies = {*exchange.currencies.values()}
    return Names(
        {account.number: account.account_id for account in exchange.accounts},
        {
            asset: Asset(name, _MONEY_DECIMALS if asset in currencies else 0)
            for asset, name in enumerate(exchange.asset_names)
        },
    )


# ---------------------------------------------------------------- which


def stated(gateway: Gateway, account: Account, day_or_batch: str) -> list[Batch]:
    """The batches of an account's statement, of a day or by number. Problem 404 if there is no such statement."""
    clearing = gateway.exchange.clearing
    if day_or_batch.isdecimal():
        batch = clearing.batch(int(day_or_batch))
        among = [batch] if batch else []
    else:
        among = clearing.of_day(_day(day_or_batch))
    found = [batch for batch in among if batch.line is not None and batch.line.concerns(account.number)]
    if not found:
        raise Problem(404, "unknown_statement", f"There is no statement of {account.account_id} for {day_or_batch}.")
    return found


def batch_to_answer(gateway: Gateway, account: Account, day_or_batch: str) -> int:
    """The number of the batch that somebody answers, who may name its day if that has no other. Problem otherwise."""
    if day_or_batch.isdecimal():
        return int(day_or_batch)
    of_day = gateway.exchange.clearing.of_day(_day(day_or_batch))
    if not of_day:
        raise Problem(404, "unknown_statement", f"There is no statement of {account.account_id} for {day_or_batch}.")
    if len(of_day) > 1:
        numbers = ", ".join(str(batch.number) for batch in of_day)
        raise Problem(409, "several_batches", f"{day_or_batch} has several batches: name one of {numbers}.")
    return of_day[0].number


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Problem(422, "invalid_request", f"day_or_batch: {text} is not a date.") from error


# ---------------------------------------------------------------- how each stands


def standing(gateway: Gateway, batch: Batch, account: int) -> schemas.StatementStanding:
    """How an account's statement of a batch stands."""
    zone = gateway.exchange.market.timezone
    answer = batch.answers.get(account)
    return schemas.StatementStanding(
        account_id=gateway.exchange.accounts[account].account_id,
        batch=batch.number,
        date=batch.day,
        state=batch.state_of(account),
        issued_at=iso(batch.reached[Stage.STATED], zone),
        object_until=_object_until(gateway, batch),
        answered_at=iso(answer.at_ns, zone) if answer else None,
        objection=answer.objection if answer else "",
        ruled_at=iso(answer.ruled_at_ns, zone) if answer and answer.ruled_by else None,
        ruled_by=account_id(gateway.exchange, answer.ruled_by) if answer else None,
        ruling=answer.ruling if answer else "",
    )


def _object_until(gateway: Gateway, batch: Batch) -> str | None:
    """When the window closed, or will by the timetable; None beyond the calendar's end."""
    rules = gateway.exchange.market
    closed_ns = batch.reached.get(Stage.FINAL)
    if closed_ns is None:
        try:
            closed_ns = next_opening_ns(rules, batch.day, batch.reached[Stage.STATED])
        except CalendarError:
            return None
    return iso(closed_ns, rules.timezone)


def standings(gateway: Gateway, account: Account) -> list[schemas.StatementStanding]:
    """All statements of an account, oldest first."""
    return [standing(gateway, batch, account.number) for batch in gateway.exchange.clearing.stated(account.number)]


# ---------------------------------------------------------------- a statement


def statements(gateway: Gateway, batches: Sequence[Batch], account: Account) -> list[Statement]:
    """An account's statements of batches that have one for it."""
    terms = gateway.exchange.terms
    return [batch.line.statement(account.number, terms) for batch in batches if batch.line is not None]


def statement_view(gateway: Gateway, batches: Sequence[Batch], account: Account) -> schemas.StatementView:
    """An account's statements of batches that follow one another, in one."""
    shown = statement_files.data(as_one(statements(gateway, batches, account)), names(gateway))
    called, zone = names(gateway), gateway.exchange.market.timezone
    return schemas.StatementView.model_validate(
        shown
        | {
            "batches": [standing(gateway, batch, account.number) for batch in batches],
            "failures": [
                {
                    "case": case.number,
                    "batch": case.batch,
                    "is_own": case.account == account.number,
                    "trades": trades,
                    "lacked": {
                        called.assets[asset].name: amount(gateway.exchange, asset, lacked)
                        for asset, lacked in _lacked(case, account).items()
                    },
                    "state": case.state,
                    "ended_at": iso(case.ended_ns, zone) if case.ended_ns else None,
                }
                for batch in batches
                for case, trades in _failures(gateway, batch, account)
            ],
            "corrections": [
                {"trade_id": one.trade_id, "cause": one.cause, "reason": one.reason}
                for batch in batches
                for one in _corrections(gateway, batch, account)
            ],
        }
    )


def _failures(gateway: Gateway, batch: Batch, account: Account) -> Iterator[tuple[Case, list[int]]]:
    """The cases that a batch opened, and which trades of an account failed by each."""
    failed = only(batch.trades, batch.failed)
    own = set(failed["trade_id"][(failed["seller"] == account.number) | (failed["buyer"] == account.number)].tolist())
    defaults = gateway.exchange.clearing.defaults
    for case in (defaults.cases[number - 1] for number in defaults.opened_by(batch.number)):
        trades = own & {*case.trades, *(one.trade for one in case.closed_out)}
        if trades or case.account == account.number:
            yield case, sorted(trades)


def _lacked(case: Case, account: Account) -> dict[int, int]:
    """What an account lacked itself."""
    return case.lacked if case.account == account.number else {}


def _corrections(gateway: Gateway, batch: Batch, account: Account) -> Iterator[Correction]:
    """The trades of an account that were put right after the statements before a batch's, until these."""
    before = gateway.exchange.clearing.batch(batch.number - 1)
    since = before.stated_by if before else 0
    for one in gateway.exchange.clearing.corrections:
        if account.number in (one.seller, one.buyer) and since < one.sequence < batch.stated_by:
            yield one


def statement_csv(gateway: Gateway, batches: Sequence[Batch], account: Account) -> str:
    """An account's statements of batches, one behind the other."""
    return statement_files.csv_of(statements(gateway, batches, account), names(gateway))


def statement_page(gateway: Gateway, batches: Sequence[Batch], account: Account) -> str:
    """An account's statements of batches as a page to be printed."""
    sheets = []
    for batch, drawn in zip(batches, statements(gateway, batches, account), strict=True):
        stands = standing(gateway, batch, account.number)
        sheets.append(
            Sheet(
                drawn,
                _clock(stands.issued_at),
                stands.state,
                f"{_clock(stands.object_until)}, the next opening" if stands.object_until else "the next opening",
                _clock(stands.answered_at or ""),
                stands.objection,
                stands.ruling,
                _clock(stands.ruled_at or ""),
                stands.ruled_by or "",
                [
                    statement_files.Failure(
                        case.number,
                        case.account == account.number,
                        trades,
                        _lacked(case, account),
                        case.state,
                        _clock(iso(case.ended_ns, gateway.exchange.market.timezone)) if case.ended_ns else "",
                    )
                    for case, trades in _failures(gateway, batch, account)
                ],
                [
                    statement_files.Correction(one.trade_id, one.cause, one.reason)
                    for one in _corrections(gateway, batch, account)
                ],
            )
        )
    return statement_files.page(gateway.exchange.market.title, account.name, sheets, names(gateway))


def _clock(at: str) -> str:
    """A time as people read it, by the market's clock."""
    return at[:16].replace("T", " ")


# ---------------------------------------------------------------- all of a batch


def batch_named(gateway: Gateway, number: int) -> Batch:
    """A batch by its number. Refused if there is none."""
    batch = gateway.exchange.clearing.batch(number)
    if batch is None:
        raise Refused(Reason.UNKNOWN_BATCH, f"There is no batch {number}.")
    return batch


def batch_statements(gateway: Gateway, number: int) -> schemas.BatchStatements:
    """All statements of a batch in totals, and how each stands. Refused before they are issued."""
    exchange = gateway.exchange
    batch = batch_named(gateway, number)
    if batch.line is None:
        raise Refused(Reason.TOO_EARLY, f"Batch {number} is {batch.stage}: its statements are still to come.")
    called = names(gateway).assets
    shown = [standing(gateway, batch, account) for account in batch.line.concerned()]
    return schemas.BatchStatements(
        batch=batch.number,
        date=batch.day,
        stage=batch.stage,
        settlement=settlement_view(gateway, batch),
        accounts=len(shown),
        states=Counter(one.state for one in shown),
        totals=[
            schemas.StatementTotal(
                asset=called[one.asset].name,
                cause=one.cause,
                entries=one.entries,
                credited=amount(exchange, one.asset, one.credited),
                debited=amount(exchange, one.asset, one.debited),
            )
            for one in totals(batch.line, exchange.terms)
        ],
        statements=shown,
    )
