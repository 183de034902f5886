"""A statement as a file: data for programs, CSV for spreadsheets, a page for the file.

The same figures in all three. Money is a decimal text of as many digits as its currency has, units are whole tonnes;
what accounts and assets are called comes from the caller (:class:`Names`).

CSV has a row for each asset's opening and closing and one for each movement, in their order:

    date,batch,account,asset,kind,amount,cause,reference,quantity,price
    2026-01-05,1,MILL,CNY,opening,10000.00,,,,
    2026-01-05,1,MILL,CNY,movement,-4200.00,purchase,17,100,42.00
    2026-01-05,1,MILL,CNY,movement,-21.00,fee,17,,
    2026-01-05,1,MILL,CNY,closing,5779.00,,,,

What a trade cost or brought is its price times its quantity, which stand beside it.

`read_csv` gives back the very statements that were written; a file that says anything else is refused.

The page is one HTML file for screen and paper (A4): no script, nothing from elsewhere, and a policy that lets a
browser fetch nothing. On paper every table says on each sheet whose statement it belongs to.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from html import escape
from typing import Any, NamedTuple, NoReturn

import msgspec

from settlement.answers import StatementState
from settlement.statements import CASH, Entry, Statement

COLUMNS = ("date", "batch", "account", "asset", "kind", "amount", "cause", "reference", "quantity", "price")
OPENING, MOVEMENT, CLOSING = "opening", "movement", "closing"


class Asset(NamedTuple):
    """What an asset is called, and how many decimals its amounts have: 2 of money in fen, 0 of whole tonnes."""

    name: str
    decimals: int


class Names(NamedTuple):
    """What numbers are called outside."""

    accounts: Mapping[int, str]
    assets: Mapping[int, Asset]


class StatementFileError(ValueError):
    """A CSV file that is not one of statements; `line` counts from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}")
        self.line = line
        self.detail = detail


def text_of(amount: int, decimals: int) -> str:
    """An amount as decimal text, exact."""
    return f"{Decimal(amount).scaleb(-decimals):.{decimals}f}" if decimals else str(amount)


def amount_of(text: str, decimals: int) -> int:
    """The amount that `text_of` writes so. ValueError of any other text."""
    amount = int(text.replace(".", "", 1))
    if text_of(amount, decimals) != text:
        raise ValueError(f"{text!r} is no amount with {decimals} decimals")
    return amount


# ---------------------------------------------------------------- data


def data(statement: Statement, names: Names) -> dict[str, Any]:
    """A statement as JSON has it: money as text, tonnes as numbers."""

    def shown(asset: int, amount: int) -> str | int:
        decimals = names.assets[asset].decimals
        return text_of(amount, decimals) if decimals else amount

    def named(amounts: dict[int, int]) -> dict[str, str | int]:
        return {names.assets[asset].name: shown(asset, amount) for asset, amount in amounts.items()}

    return {
        "date": statement.date,
        "batch": statement.batch,
        "account_id": names.accounts[statement.account],
        "opening": named(statement.opening),
        "entries": [
            {
                "asset": names.assets[entry.asset].name,
                "amount": shown(entry.asset, entry.amount),
                "cause": entry.cause,
                "reference": entry.reference,
                "quantity": entry.quantity or None,
                "price": shown(entry.asset, entry.price) if entry.quantity else None,
            }
            for entry in statement.entries
        ],
        "closing": named(statement.closing),
    }


# ---------------------------------------------------------------- CSV


def csv_of(statements: Iterable[Statement], names: Names) -> str:
    """Statements as one CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in statements:
        writer.writerows(_rows(one, names))
    return text.getvalue()


def _rows(one: Statement, names: Names) -> Iterable[tuple[object, ...]]:
    account = names.accounts[one.account]

    def row(asset: int, kind: str, amount: int, *further: object) -> tuple[object, ...]:
        name, decimals = names.assets[asset]
        return one.date, one.batch, account, name, kind, text_of(amount, decimals), *(further or ("",) * 4)

    for asset in _assets(one):
        yield row(asset, OPENING, one.opening.get(asset, 0))
    for entry in one.entries:
        decimals = names.assets[entry.asset].decimals
        terms = (entry.quantity, text_of(entry.price, decimals)) if entry.quantity else ("", "")
        yield row(entry.asset, MOVEMENT, entry.amount, entry.cause, entry.reference, *terms)
    for asset in _assets(one):
        yield row(asset, CLOSING, one.closing.get(asset, 0))


def _assets(statement: Statement) -> list[int]:
    """What a statement is about, by number; cash if it is about nothing."""
    moved = {entry.asset for entry in statement.entries}
    return sorted({*statement.opening, *moved, *statement.closing}) or [CASH]


def read_csv(text: str, names: Names) -> list[Statement]:
    """The statements in a CSV file, which add up. StatementFileError if it is not as `csv_of` writes it."""
    reader = csv.reader(io.StringIO(text), strict=True)
    reading = _Reading(names)
    try:
        for row in reader:
            if reader.line_num == 1:
                if tuple(row) != COLUMNS:
                    raise ValueError(f"the columns are not {', '.join(COLUMNS)}")
            else:
                reading.take(row)
        reading.end()
    except (ValueError, KeyError, AssertionError, csv.Error) as error:
        said = f"{error} is unknown" if isinstance(error, KeyError) else str(error)
        raise StatementFileError(reader.line_num, said) from error
    found = reading.statements
    if csv_of(found, names) != text:
        _differs(text, csv_of(found, names))
    return found


def _differs(text: str, written: str) -> NoReturn:
    """StatementFileError at the first line that would be written otherwise."""
    lines, others = text.split("\n"), written.split("\n")
    same = next((at for at, (one, other) in enumerate(zip(lines, others, strict=False)) if one != other), len(lines))
    raise StatementFileError(same + 1, "the rows are not in their order, or not written as they should be")


class _Reading:
    """Statements as their rows come by."""

    def __init__(self, names: Names) -> None:
        self.statements: list[Statement] = []
        self._account = {name: number for number, name in names.accounts.items()}
        self._asset = {asset.name: (number, asset.decimals) for number, asset in names.assets.items()}
        self._at: tuple[str, str, str] | None = None  # date, batch, account
        self._one = Statement("", 0, 0, {}, [], {})

    def take(self, row: list[str]) -> None:
        if len(row) != len(COLUMNS):
            raise ValueError(f"{len(row)} cells instead of {len(COLUMNS)}")
        at, (name, kind, text, cause, reference, quantity, _) = (row[0], row[1], row[2]), row[3:]
        if at != self._at:
            self.end()
            self._at = at
            number = self._account[at[2]]
            self._one = Statement(str(date.fromisoformat(at[0])), int(at[1]), number, {}, [], {})
        asset, decimals = self._asset[name]
        amount = amount_of(text, decimals)
        if kind == MOVEMENT:
            self._one.entries.append(Entry(asset, amount, cause, int(reference), int(quantity or 0)))
        elif kind in (OPENING, CLOSING):
            amounts = self._one.opening if kind == OPENING else self._one.closing
            if asset in amounts:
                raise ValueError(f"a second {kind} of {name}")
            amounts[asset] = amount
        else:
            raise ValueError(f"a row is no {kind!r}")

    def end(self) -> None:
        """The statement under way is complete: it must add up."""
        if self._at is None:
            return
        one = msgspec.structs.replace(
            self._one, opening=_without_zeros(self._one.opening), closing=_without_zeros(self._one.closing)
        )
        one.check()
        self.statements.append(one)


def _without_zeros(amounts: dict[int, int]) -> dict[int, int]:
    return {asset: amount for asset, amount in amounts.items() if amount}


# ---------------------------------------------------------------- a page


class Failure(NamedTuple):
    """Trades of an account that a batch was to settle and did not."""

    case: int
    is_own: bool  # the account itself failed, and not the other side
    trades: Sequence[int]
    lacked: Mapping[int, int]  # by asset; of what somebody else lacked nothing is said
    state: str  # of the case
    ended: str


class Correction(NamedTuple):
    """A trade of an account that was put right."""

    trade: int
    cause: str
    reason: str


class Sheet(msgspec.Struct, frozen=True):
    """A statement with what stands around it on paper. Times are texts of the market's clock."""

    statement: Statement
    issued: str
    state: StatementState
    deadline: str  # until when it can be objected to
    answered: str = ""  # when it was confirmed, or objected to
    objection: str = ""
    ruling: str = ""
    ruled: str = ""
    ruled_by: str = ""  # account id
    failures: Sequence[Failure] = ()
    corrections: Sequence[Correction] = ()


_STANDS = {
    StatementState.ISSUED: "Not answered yet.",
    StatementState.CONFIRMED: "Confirmed by the participant.",
    StatementState.ACCEPTED: "Accepted by silence: no objection was made in time.",
    StatementState.OBJECTED: "Objected to by the participant; the objection is not decided yet.",
    StatementState.UPHELD: "Objected to by the participant; the objection is upheld and put right by new entries.",
    StatementState.DISMISSED: "Objected to by the participant; the objection is dismissed.",
}
_CAUSES = {  # what an entry's cause means, and what its reference counts
    "sale": ("trade", "Units delivered, or the price received for them"),
    "purchase": ("trade", "Units received, or the price paid for them"),
    "fee": ("trade", "Trading fee of the participant's side"),
    "fee_income": ("batch", "Trading fees of all participants, earned by the market operator"),
    "deposit": ("command", "Cash paid in"),
    "withdrawal": ("command", "Cash paid out"),
    "issuance": ("command", "Units created by the registry"),
    "allocation": ("command", "Allowances handed over that the authority had kept"),
    "surrender": ("command", "Units surrendered for emissions"),
    "retirement": ("command", "Units given up by their holder's own will"),
    "cancellation": ("command", "Units cancelled by the authority"),
    "inheritance": ("command", "Units that changed hands by inheritance"),
    "merger": ("command", "Units that changed hands by merger"),
    "enforcement": ("command", "Units that changed hands by court order, or as a pledge realised"),
    "correction": ("command", "Units that changed hands to correct an earlier entry"),
    "trade_bust": ("trade", "Given or got back of a trade that was undone, or its fee"),
    "trade_correction": ("trade", "Given or got of a trade that has other terms since, or its fee"),
    "conversion": ("command", "Cash given for, or got for, cash of another currency"),
    "fee_rebate": ("command", "Trading fees of a year paid back to a participant that traded much"),
    "fine": ("command", "Fine for a shortfall of surrendered units"),
}


def _in_words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _number(amount: int, decimals: int) -> str:
    """An amount for people: thousands marked, with a true minus."""
    return f"{Decimal(amount).scaleb(-decimals):,.{decimals}f}".replace("-", "−")


def page(market: str, holder: str, sheets: Sequence[Sheet], names: Names) -> str:
    """Statements of one account and day as an HTML page; `holder` is the participant's name."""
    first = sheets[0].statement
    account = names.accounts[first.account]
    batches = ", ".join(str(sheet.statement.batch) for sheet in sheets)
    whose = f"{account} · {holder} · {first.date}"
    facts = {
        "Participant": holder,
        "Account": account,
        "Trading day": first.date,
        "Settlement batch": batches,
        "Issued": ", ".join(sheet.issued for sheet in sheets),
    }
    body = [
        f"<header><p>{escape(market)}</p><h1>Settlement statement</h1></header>",
        '<dl class="facts">',
        *(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()),
        "</dl>",
    ]
    for sheet in sheets:
        body.append(_section(sheet, names, whose, is_one_of_many=len(sheets) > 1))
    body.append(_legend(sorted({entry.cause for sheet in sheets for entry in sheet.statement.entries})))
    body.append("<footer>Opening and closing are settled holdings: what was delivered and paid.</footer>")
    title = escape(f"Statement {account} {first.date}")
    head, _, tail = _FRAME.partition("{body}")
    return head.replace("{title}", title) + "\n".join(body) + tail


def _section(sheet: Sheet, names: Names, whose: str, is_one_of_many: bool) -> str:
    one = sheet.statement
    parts = [f"<h2>Batch {one.batch}</h2>"] if is_one_of_many else []
    parts.append(_standing(sheet))
    parts.append(_summary(one, names))
    for asset in _assets(one):
        parts.append(_movements(one, asset, names.assets[asset], whose))
    parts += [_failures(sheet.failures, names)] if sheet.failures else []
    parts += [_corrections(sheet.corrections)] if sheet.corrections else []
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _standing(sheet: Sheet) -> str:
    """What was said to the statement, or may still be said."""
    said = [f"<p><strong>{_in_words(sheet.state)}.</strong> {_STANDS[sheet.state]}</p>"]
    if sheet.state == StatementState.CONFIRMED:
        said.append(f"<p>Confirmed on {escape(sheet.answered)}.</p>")
    if sheet.state == StatementState.ISSUED:
        said.append(
            f"<p>Objections are made in writing until {escape(sheet.deadline)}; "
            "silence is acceptance (settlement rules, art. 11).</p>"
        )
    objected, ruled = f"Objection of {sheet.answered}", f"Answer of {sheet.ruled} by {sheet.ruled_by}"
    for name, text in ((objected, sheet.objection), (ruled, sheet.ruling)):
        if text:
            said.append(f"<p>{escape(name)}:</p><blockquote>{escape(text)}</blockquote>")
    return f'<div class="standing {sheet.state}">{"".join(said)}</div>'


def _cells(*cells: str, tag: str = "td") -> str:
    return "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)


def _summary(one: Statement, names: Names) -> str:
    rows = []
    for asset in _assets(one):
        name, decimals = names.assets[asset]
        credited, debited = _sums(one, asset)
        amounts = one.opening.get(asset, 0), credited, debited, one.closing.get(asset, 0)
        cells = _cells(*(_number(amount, decimals) for amount in amounts))
        measure = escape(name) if decimals else "tCO₂e"
        rows.append(f'<tr><th scope="row">{escape(name)}</th><td>{measure}</td>{cells}</tr>')
    heads = ("Asset", "In", "Opening", "+ Credits", "− Debits", "= Closing")
    return _table("summary", "Summary", heads, rows)


def _sums(one: Statement, asset: int) -> tuple[int, int]:
    """What an asset was credited and debited with, neither below zero."""
    amounts = [entry.amount for entry in one.entries if entry.asset == asset]
    return sum(amount for amount in amounts if amount > 0), -sum(amount for amount in amounts if amount < 0)


def _movements(one: Statement, asset: int, called: Asset, whose: str) -> str:
    """Opening, every movement with the balance after it, closing."""
    decimals = called.decimals
    entries = [entry for entry in one.entries if entry.asset == asset]
    balance = one.opening.get(asset, 0)
    rows = [f'<tr class="balance"><td></td><td>Opening</td><td></td><td></td><td></td>{_balance(balance, decimals)}']
    for number, entry in enumerate(entries, 1):
        balance += entry.amount
        kind, _ = _CAUSES.get(entry.cause, ("command", ""))
        credit = _number(entry.amount, decimals) if entry.amount >= 0 else ""
        debit = _number(-entry.amount, decimals) if entry.amount < 0 else ""
        terms = f", {entry.quantity:,} t × {_number(entry.price, decimals)}" if entry.quantity else ""
        what = escape(_in_words(entry.cause)), f"{kind} {entry.reference}{terms}"
        rows.append(f"<tr>{_cells(str(number), *what, credit, debit)}{_balance(balance, decimals)}")
    assert balance == one.closing.get(asset, 0), f"the statement does not add up in {called.name}"
    sums = _cells(*(_number(amount, decimals) for amount in _sums(one, asset)))
    rows.append(f'<tr class="balance"><td></td><td>Closing</td><td></td>{sums}{_balance(balance, decimals)}')
    heads = _cells("No.", "Cause", "Reference", "Credit", "Debit", "Balance", tag="th")
    movements = f"{len(entries):,} movement{'s' * (len(entries) != 1)}" if entries else "no movements"
    repeated = f"{whose} · batch {one.batch} · {called.name}"
    return (
        f'<table class="movements"><caption>{escape(called.name)}, {movements}</caption>'
        f'<thead><tr class="whose"><th colspan="6">{escape(repeated)}</th></tr>'
        f"<tr>{heads}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"
    )


def _failures(failures: Sequence[Failure], names: Names) -> str:
    """What was to settle and did not: by whose failure, and what has become of it."""
    rows = []
    for one in failures:
        lacked = ", ".join(_lacked(names.assets[asset], amount) for asset, amount in one.lacked.items())
        who = f"this account lacked {lacked}" if one.is_own else "the other side"
        ended = f"{one.state}, {one.ended}" if one.ended else one.state
        trades = ", ".join(map(str, one.trades))
        rows.append(f"<tr>{_cells(*map(escape, (str(one.case), trades, who, ended)))}</tr>")
    return _table("failures", "Not settled with this batch", ("Case", "Trades", "Who failed", "The case is"), rows)


def _lacked(called: Asset, amount: int) -> str:
    return f"{_number(amount, called.decimals)} {'' if called.decimals else 't '}{called.name}"


def _corrections(corrections: Sequence[Correction]) -> str:
    rows = [f"<tr>{_cells(str(one.trade), _in_words(one.cause), escape(one.reason))}</tr>" for one in corrections]
    return _table("corrections", "Trades put right", ("Trade", "How", "Why"), rows)


def _table(kind: str, caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    return (
        f'<table class="{kind}"><caption>{caption}</caption><thead><tr>{_cells(*heads, tag="th")}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _balance(balance: int, decimals: int) -> str:
    return f"<td>{_number(balance, decimals)}</td></tr>"


def _legend(causes: Sequence[str]) -> str:
    if not causes:
        return ""
    rows = []
    for cause in causes:
        kind, meaning = _CAUSES.get(cause, ("command", "See the command of this number in the journal"))
        rows.append(f"<tr>{_cells(escape(_in_words(cause)), meaning, f'number of the {kind}')}</tr>")
    return _table("legend", "Causes", ("Cause", "Meaning", "Reference"), rows)


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root { --ink: #1b2430; --quiet: #5b6673; --line: #c9d0d8; --tint: #f3f5f7; --mark: #1f4e79; }
  * { box-sizing: border-box; }
  body { font: 14px/1.4 "Source Sans 3", "Noto Sans", "Noto Sans CJK SC", "Segoe UI", Arial, sans-serif;
    color: var(--ink); max-width: 190mm; margin: 2rem auto; padding: 0 1rem; }
  header { border-bottom: 2px solid var(--mark); padding-bottom: .4rem; margin-bottom: 1rem; }
  header p { margin: 0; color: var(--quiet); }
  h1 { font-size: 1.5rem; margin: 0; color: var(--mark); }
  h2 { font-size: 1.15rem; margin: 1.6rem 0 .5rem; color: var(--mark); }
  dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .15rem 2rem; margin: 0; }
  dl.facts div { display: grid; grid-template-columns: 8.5rem 1fr; }
  dt { color: var(--quiet); }
  dd { margin: 0; overflow-wrap: anywhere; }
  .standing { border-left: 3px solid var(--mark); background: var(--tint); padding: .5rem .9rem; margin: 1rem 0; }
  .standing.objected, .standing.upheld, .standing.dismissed { border-color: #9a3412; }
  .standing p { margin: .15rem 0; }
  blockquote { margin: .2rem 0 .5rem; padding-left: .8rem; border-left: 1px solid var(--line);
    white-space: pre-wrap; overflow-wrap: anywhere; }
  table { width: 100%; border-collapse: collapse; margin: 1.1rem 0 0; font-variant-numeric: tabular-nums; }
  caption { text-align: left; font-weight: 600; padding-bottom: .25rem; overflow-wrap: anywhere; }
  th { text-align: left; font-weight: 600; color: var(--quiet); }
  thead th { border-bottom: 1px solid var(--ink); }
  th, td { padding: .14rem .5rem; vertical-align: top; overflow-wrap: anywhere; }
  tbody tr { border-bottom: 1px solid var(--line); break-inside: avoid; }
  tbody th { color: var(--ink); }
  .summary :is(th, td):nth-child(n + 3) { text-align: right; }
  .movements tr:not(.whose) :is(th, td):nth-child(n + 4) { text-align: right; }
  .movements :is(th, td):nth-child(1) { width: 3.2rem; color: var(--quiet); }
  .movements tr.balance td { font-weight: 600; background: var(--tint); color: var(--ink); }
  .summary td, .movements td:nth-child(n + 4) { white-space: nowrap; }
  .whose { display: none; }
  footer { margin-top: 1.1rem; color: var(--quiet); }
  @page { size: A4; margin: 16mm 14mm 18mm;
    @bottom-right { content: "Page " counter(page) " of " counter(pages); font: 9pt Arial, sans-serif; } }
  @media print {
    body { font-size: 9.5pt; line-height: 1.3; margin: 0; padding: 0; max-width: none; }
    th, td { padding: .08rem .4rem; }
    .standing, .movements tr.balance td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    .whose { display: table-row; }
    .whose th { border: 0; font-weight: 400; font-size: 9pt; width: auto; }
    caption, h2 { break-after: avoid; }
    .summary, .standing, .legend, .failures, .corrections { break-inside: avoid; }
  }
</style>
</head>
<body>
{body}
</body>
</html>
"""
