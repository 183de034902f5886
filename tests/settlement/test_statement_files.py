"""A statement as data, as CSV that can be read back, and as a page that can be printed."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.answers import StatementState
from settlement.statement_files import (
    _CAUSES,
    Asset,
    Correction,
    Failure,
    Names,
    Sheet,
    StatementFileError,
    amount_of,
    csv_of,
    data,
    page,
    read_csv,
    text_of,
)
from settlement.statements import CASH, Entry, Statement

DAY = "2026-01-05"
HOUSE, MILL, FUND = 1, 2, 3
HBEA, EURO, YEN = 1, 2, 3
NAMES = Names(
    {HOUSE: "EXCHANGE", MILL: "MILL", FUND: 'F"&<und>, 1'},
    {CASH: Asset("CNY", 2), HBEA: Asset("HBEA-2025", 0), EURO: Asset("EUR", 2), YEN: Asset("JPY", 3)},
)


def statement_of(
    opening: dict[int, int], entries: list[Entry], account: int = MILL, batch: int = 1, day: str = DAY
) -> Statement:
    """A statement that adds up."""
    closing = dict(opening)
    for entry in entries:
        closing[entry.asset] = closing.get(entry.asset, 0) + entry.amount
    return Statement(day, batch, account, opening, entries, {asset: held for asset, held in closing.items() if held})


BOUGHT = statement_of(
    {CASH: 10_000_05},
    [Entry(HBEA, 100, "purchase", 17), Entry(CASH, -4200_00, "purchase", 17, 100), Entry(CASH, -21_00, "fee", 17)],
)
IDLE = statement_of({HBEA: 7}, [], FUND)
TERMS = {"quantity": 100, "price": "42.00"}
NO_TERMS = {"quantity": None, "price": None}

amounts = st.integers(-(2**62), 2**62)
statements = st.builds(
    statement_of,
    st.dictionaries(st.integers(0, 3), amounts.filter(bool)),
    st.lists(
        st.one_of(
            st.builds(Entry, st.integers(0, 3), amounts, st.sampled_from([*_CAUSES, "a, strange\ncause"]), amounts),
            st.builds(
                lambda price, quantity: Entry(CASH, price * quantity, "sale", 17, abs(quantity)),
                st.integers(0, 2**30),
                st.integers(-(2**30), 2**30),
            ),
        ),
        max_size=5,
    ),
    st.sampled_from([HOUSE, MILL, FUND]),
    st.integers(1, 10**6),
    st.dates().map(str),
)  # fmt: skip


def test_data_has_money_as_text_and_tonnes_as_numbers():
    assert data(BOUGHT, NAMES) == {
        "date": DAY,
        "batch": 1,
        "account_id": "MILL",
        "opening": {"CNY": "10000.05"},
        "entries": [
            {"asset": "HBEA-2025", "amount": 100, "cause": "purchase", "reference": 17, **NO_TERMS},
            {"asset": "CNY", "amount": "-4200.00", "cause": "purchase", "reference": 17, **TERMS},
            {"asset": "CNY", "amount": "-21.00", "cause": "fee", "reference": 17, **NO_TERMS},
        ],
        "closing": {"CNY": "5779.05", "HBEA-2025": 100},
    }


# ---------------------------------------------------------------- CSV


def test_csv_has_a_row_for_each_movement_between_opening_and_closing():
    assert csv_of([BOUGHT], NAMES).splitlines() == [
        "date,batch,account,asset,kind,amount,cause,reference,quantity,price",
        "2026-01-05,1,MILL,CNY,opening,10000.05,,,,",
        "2026-01-05,1,MILL,HBEA-2025,opening,0,,,,",
        "2026-01-05,1,MILL,HBEA-2025,movement,100,purchase,17,,",
        "2026-01-05,1,MILL,CNY,movement,-4200.00,purchase,17,100,42.00",
        "2026-01-05,1,MILL,CNY,movement,-21.00,fee,17,,",
        "2026-01-05,1,MILL,CNY,closing,5779.05,,,,",
        "2026-01-05,1,MILL,HBEA-2025,closing,100,,,,",
    ]


@given(amounts, st.integers(0, 4))
def test_an_amount_is_read_as_it_is_written(amount, decimals):
    assert amount_of(text_of(amount, decimals), decimals) == amount


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "1.000", "01.00", "+1.00", "-0.00", "1e2", "1_0.00", " 1.00", "１.00"]
)
def test_an_amount_is_written_in_one_way_only(text):
    with pytest.raises(ValueError):
        amount_of(text, 2)


@given(st.lists(statements, max_size=4, unique_by=lambda one: (one.date, one.batch, one.account)))
def test_what_is_read_back_is_what_was_written(written):
    assert read_csv(csv_of(written, NAMES), NAMES) == written


def test_a_statement_of_nothing_at_all_is_kept_too():
    nothing = statement_of({}, [])
    assert read_csv(csv_of([nothing], NAMES), NAMES) == [nothing]


def without(row):
    return lambda lines: lines[:row] + lines[row + 1 :]


def doubled(row):
    return lambda lines: lines[: row + 1] + lines[row:]


def replaced(row, old, new):
    return lambda lines: [line.replace(old, new) if at == row else line for at, line in enumerate(lines)]


DAMAGES = {
    "no header": (without(0), 1),
    "another header": (replaced(0, "kind", "type"), 1),
    "a movement is missing": (without(4), 7),
    "a movement comes twice": (doubled(4), 9),
    "a sale of what was not there": (replaced(3, "100", "101"), 8),
    "an opening is missing, of nothing": (without(2), 3),
    "an opening comes twice": (doubled(1), 3),
    "a closing is missing": (without(7), 7),
    "a closing of something else": (replaced(7, "100", "99"), 8),
    "an amount with a decimal too few": (replaced(5, "-21.00", "-21.0"), 6),
    "tonnes with decimals": (replaced(3, "100", "100.00"), 4),
    "an unknown account": (replaced(1, "MILL", "PLANT"), 2),
    "an unknown asset": (replaced(4, "CNY", "USD"), 5),
    "an unknown kind": (replaced(4, "movement", "guess"), 5),
    "a date that is none": (replaced(1, DAY, "2026-02-30"), 2),
    "a batch that is no number": (replaced(1, ",1,", ",one,"), 2),
    "a reference that is no number": (replaced(4, "17", "x"), 5),
    "a cell too many": (replaced(4, "17", "17,"), 5),
    "a quote that does not end": (replaced(4, "purchase", '"purchase'), 8),
    "rows in another order": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
    "a number written otherwise": (replaced(4, "17", "017"), 5),
}


@pytest.mark.parametrize(("damage", "line"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_of_anything_else_is_refused_with_its_line(damage, line):
    lines = csv_of([BOUGHT], NAMES).splitlines()
    with pytest.raises(StatementFileError) as refused:
        read_csv("\n".join(damage(lines)) + "\n", NAMES)
    assert refused.value.line == line, str(refused.value)


def test_an_empty_file_is_refused():
    with pytest.raises(StatementFileError, match="line 1"):
        read_csv("", NAMES)


# ---------------------------------------------------------------- the page


class Read(HTMLParser):
    """What a page says: tables as rows of cells, all its text, the tags and what they ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.open: list[str] = []
        self.wanted: list[str] = []
        self.text = ""
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.wanted += [value for name, value in attributes if name in ("src", "href", "action", "background")]
        if tag != "meta":
            self.open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} ends what is still open"
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, text):
        if "style" in self.open:
            assert "url(" not in text and "@import" not in text
            return
        self.text += text
        if "caption" in self.open:
            self._caption += text
        elif {"td", "th"} & set(self.open):
            self._rows[-1][-1] += text


def sheet(statement=BOUGHT, state=StatementState.ISSUED, **texts):
    return Sheet(statement, "2026-01-05 16:30", state, "2026-01-06 09:00, the next opening", **texts)


def test_a_page_shows_every_figure_of_the_statement():
    read = Read(page("Market & Co", "Mill Ltd", [sheet()], NAMES))

    assert not read.open
    assert read.tables["Summary"][1:] == [
        ["CNY", "CNY", "10,000.05", "0.00", "4,221.00", "5,779.05"],
        ["HBEA-2025", "tCO₂e", "0", "100", "0", "100"],
    ]
    whose, heads, *rows = read.tables["CNY, 2 movements"]
    assert whose == ["MILL · Mill Ltd · 2026-01-05 · batch 1 · CNY"]
    assert heads == ["No.", "Cause", "Reference", "Credit", "Debit", "Balance"]
    assert rows == [
        ["", "Opening", "", "", "", "10,000.05"],
        ["1", "Purchase", "trade 17, 100 t × 42.00", "", "4,200.00", "5,800.05"],
        ["2", "Fee", "trade 17", "", "21.00", "5,779.05"],
        ["", "Closing", "", "0.00", "4,221.00", "5,779.05"],
    ]
    assert "HBEA-2025, 1 movement" in read.tables
    assert [row[0] for row in read.tables["Causes"]] == ["Cause", "Fee", "Purchase"]
    for said in ("Market & Co", "Mill Ltd", "MILL", DAY, "2026-01-05 16:30", "2026-01-06 09:00, the next opening"):
        assert said in read.text


def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing():
    html = page("Market", "Mill", [sheet(objection="x", state=StatementState.OBJECTED)], NAMES)
    read = Read(html)
    assert not read.wanted
    assert not {"script", "link", "img", "iframe", "form", "object"} & set(read.tags)
    assert "default-src 'none'" in html and "://" not in html


def test_what_others_wrote_is_text_and_never_markup():
    evil = "<script>alert('x')</script> & \"quotes\" {body} {title}"
    html = page(evil, evil, [sheet(IDLE, StatementState.UPHELD, objection=evil, ruling=evil)], NAMES)
    read = Read(html)
    assert "script" not in read.tags and not read.open
    assert read.text.count(evil) >= 4
    assert 'F"&<und>, 1' in read.text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (StatementState.ISSUED, "silence is acceptance"),
        (StatementState.CONFIRMED, "Confirmed by the participant"),
        (StatementState.ACCEPTED, "Accepted by silence"),
        (StatementState.OBJECTED, "not decided yet"),
        (StatementState.UPHELD, "is upheld"),
        (StatementState.DISMISSED, "is dismissed"),
    ],
)
def test_a_page_says_how_the_statement_stands(state, said):
    answered = {"objection": "trade 17\nwas mine"} if state in ("objected", "upheld", "dismissed") else {}
    text = Read(page("Market", "Mill", [sheet(state=state, **answered)], NAMES)).text
    assert said in text and ("Objections are made in writing until" in text) == (state == StatementState.ISSUED)
    assert ("trade 17\nwas mine" in text) == bool(answered)


def test_a_page_says_when_and_by_whom_an_objection_was_answered():
    said = {"answered": "2026-01-05 17:00", "objection": "not mine", "ruling": "it was"}
    text = Read(
        page(
            "Market",
            "Mill",
            [sheet(state=StatementState.DISMISSED, ruled="2026-01-06 10:00", ruled_by="CLEAR", **said)],
            NAMES,
        )
    ).text
    assert "Objection of 2026-01-05 17:00:not mine" in text
    assert "Answer of 2026-01-06 10:00 by CLEAR:it was" in text
    confirmed = sheet(state=StatementState.CONFIRMED, answered="2026-01-05 17:00")
    assert "Confirmed on 2026-01-05 17:00." in Read(page("Market", "Mill", [confirmed], NAMES)).text


def test_an_empty_day_has_its_holdings_and_no_causes():
    read = Read(page("Market", "Fund", [sheet(IDLE)], NAMES))
    assert read.tables["HBEA-2025, no movements"][2:] == [
        ["", "Opening", "", "", "", "7"],
        ["", "Closing", "", "0", "0", "7"],
    ]
    assert "Causes" not in read.tables


def test_other_currencies_have_their_own_decimals_and_tables():
    held = statement_of({EURO: -5, YEN: 1_234_567}, [Entry(EURO, 10**9, "fx_leg", 88)])
    read = Read(page("Market", "Mill", [sheet(held)], NAMES))
    assert read.tables["Summary"][1:] == [
        ["EUR", "EUR", "−0.05", "10,000,000.00", "0.00", "9,999,999.95"],
        ["JPY", "JPY", "1,234.567", "0.000", "0.000", "1,234.567"],
    ]
    assert read.tables["EUR, 1 movement"][3][1:3] == ["Fx leg", "command 88"]
    assert read.tables["Causes"][1][0] == "Fx leg"


def test_a_day_of_two_batches_has_a_part_for_each():
    later = statement_of(BOUGHT.closing, [Entry(CASH, 5, "deposit", 90)], batch=2)
    html = page("Market", "Mill", [sheet(state=StatementState.CONFIRMED), sheet(later)], NAMES)
    read = Read(html)
    assert read.tags.count("section") == 2 and read.tags.count("h2") == 2
    assert "Batch 1" in read.text and "Batch 2" in read.text
    assert read_csv(csv_of([BOUGHT, later], NAMES), NAMES) == [BOUGHT, later]


def test_a_statement_that_does_not_add_up_is_not_drawn():
    wrong = Statement(DAY, 1, MILL, {CASH: 1}, [], {CASH: 2})
    with pytest.raises(AssertionError, match="does not add up in CNY"):
        page("Market", "Mill", [sheet(wrong)], NAMES)


LONG = "an objection of many words " * 60 + "x" * 2000
MANY = statement_of({CASH: 10**9}, [Entry(CASH, -number, "purchase", number) for number in range(1, 1001)])
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_a_page_says_what_failed_and_what_was_put_right():
    own = Failure(3, True, [18, 19], {CASH: 1_234_50, HBEA: 7}, "covered", "2026-01-07 15:00")
    others = Failure(4, False, [20], {}, "notified", "")
    busted = Correction(11, "trade_bust", "<twice>")
    told = msgspec.structs.replace(sheet(), failures=[own, others], corrections=[busted])
    read = Read(page("Market", "Mill", [told], NAMES))

    assert read.tables["Not settled with this batch"][1:] == [
        ["3", "18, 19", "this account lacked 1,234.50 CNY, 7 t HBEA-2025", "covered, 2026-01-07 15:00"],
        ["4", "20", "the other side", "notified"],
    ]
    assert read.tables["Trades put right"][1:] == [["11", "Trade bust", "<twice>"]]
    assert (
        not {"Not settled with this batch", "Trades put right"} & Read(page("M", "H", [sheet()], NAMES)).tables.keys()
    )


@pytest.mark.parametrize("quantity", [-100, 99])
def test_a_price_times_a_quantity_that_is_not_the_amount_is_no_statement(quantity):
    with pytest.raises(AssertionError, match="do not make its amount"):
        statement_of({}, [Entry(CASH, -4200_00, "purchase", 17, quantity)]).check()
    with pytest.raises(StatementFileError):
        read_csv(csv_of([BOUGHT], NAMES).replace("17,100,42.00", f"17,{quantity},42.00"), NAMES)
    with pytest.raises(StatementFileError):
        read_csv(csv_of([BOUGHT], NAMES).replace("17,100,42.00", "17,100,42.01"), NAMES)


def test_a_thousand_movements_are_all_there():
    read = Read(page("Market", "Mill", [sheet(MANY, StatementState.OBJECTED, objection=LONG)], NAMES))
    rows = read.tables["CNY, 1,000 movements"]
    assert [row[0] for row in rows[3:-1]] == [str(number) for number in range(1, 1001)]
    assert rows[-1][-1] == "9,994,995.00"
    assert LONG in read.text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_thousand_movements_are_printed_on_as_many_sheets_as_they_need(tmp_path: Path):
    sheets = {}
    for name, statement in (("few", BOUGHT), ("many", MANY)):
        file, printed = tmp_path / f"{name}.html", tmp_path / f"{name}.pdf"
        file.write_text(page("Market", "Mill", [sheet(statement)], NAMES), encoding="utf-8")
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer", f"--print-to-pdf={printed}",
            file.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        content = printed.read_bytes()
        sheets[name] = len(re.findall(rb"/Type\s*/Page\b", content))
        boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([\d. ]+)\]", content)}
        assert [(round(width), round(height)) for _, _, width, height in boxes] == [(595, 842)]  # A4 in points
    assert sheets["few"] == 1
    assert 1000 / 60 < sheets["many"] < 1000 / 30
