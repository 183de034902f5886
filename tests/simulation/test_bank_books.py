"""The bank beside the exchange keeps its own books: they agree day by day, and what is wrong in them comes to light."""

from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import msgspec
import pytest

from api.client import ApiError
from api.schemas import NewTradeTerms
from exchange.commands import FixObligations
from exchange.journal import MemoryJournal
from exchange.rules import load_rule_set
from exchange.settling import next_of_settlement
from settlement.bank import SimulatedBank
from settlement.bank_files import read_balances, read_bookings
from settlement.rules import Mode, Policy, ReserveRules
from simulation.bank import SettlementBank
from simulation.sub_ledgers import SubLedgers
from tests.api.test_settling import desk_on

pytestmark = pytest.mark.anyio
HOUSE, BANK = "EXCHANGE", "BANK"
MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynccontextmanager
async def market(rules="hubei", **options):
    """S has 1,000 t, B 100,000.00; a bank looks on, and everything that it says is kept."""
    async with desk_on(MemoryJournal(), None, rules) as desk:
        await desk.enrol()
        said = []
        bank = SettlementBank(desk.client, BANK, Policy.ACCEPT, said.append, **options)
        await bank.enrol()
        yield desk, bank, said


def hubei(**changes):
    """Hubei's rules, which settle otherwise."""
    rules = load_rule_set("hubei")
    return msgspec.structs.replace(rules, settlement=msgspec.structs.replace(rules.settlement, **changes))


async def settle(desk, bank):
    """Take the steps of the next batch; the bank looks on behind each."""
    exchange, command = desk.gateway.exchange, FixObligations()
    while True:
        await desk.gateway.inbox.ask(command)
        await bank.look()
        if exchange.clearing.under_way is None:
            return exchange.clearing.batches[-1]
        command = next_of_settlement(exchange).command


async def trade(desk, day, quantity=100, price="40.00"):
    """S sells to B on a day, which closes."""
    await desk.open(day)
    await desk.sell(price, quantity)
    await desk.buy(price, quantity)
    await desk.client.set_phase("closed")


async def whole_day(desk, bank, day):
    await trade(desk, day)
    await settle(desk, bank)


async def last_report(desk):
    return (await desk.client.reconciliations())[-1]


async def breaks(desk):
    """What differs in the last comparison: the account, and the bank's fen less ours."""
    return [(one.account_id, one.difference) for one in (await last_report(desk)).breaks]


# ---------------------------------------------------------------- they agree


async def test_its_books_agree_day_by_day_whatever_moves_money():
    async with market() as (desk, bank, said):
        client = desk.client
        await client.deposit(BANK, "50000.00")
        await client.register_currency("USD")
        await client.deposit("B", "1000.00", "USD")

        bank.policy = Policy.REJECT
        await trade(desk, MONDAY)
        await client.set_exchange_rate(HOUSE, "USD", "7.10")
        assert (await settle(desk, bank)).failed == {1}  # the bank did not pay for B
        bank.policy = Policy.ACCEPT
        assert await breaks(desk) == [] and len(said) == 2
        await client.deposit("B", "4020.00")
        assert (await client.cure_failure("B", 1)).state == "cured"
        assert (await settle(desk, bank)).failed == frozenset()  # on the same day: the file of bookings goes on
        assert await breaks(desk) == [] and len(await client.reconciliations()) == 2

        await trade(desk, TUESDAY)
        await client.withdraw("S", "1000.00")
        await client.convert_cash("B", BANK, "USD", "CNY", "100.00")
        await settle(desk, bank)
        assert await breaks(desk) == []

        await trade(desk, WEDNESDAY)
        await client.correct_trades(HOUSE, [NewTradeTerms(trade_id=2, price="39.00")], "mistyped")
        await client.bust_trades(HOUSE, [1], "not meant")
        await settle(desk, bank)
        assert await breaks(desk) == [] and await client.withdrawal_blocks() == []

        booked = [read_bookings(await client.bookings_file(day)) for day in (MONDAY, TUESDAY, WEDNESDAY)]
        causes = [{line.cause for line in file.lines} for file in booked]
        assert causes[0] == {"deposit", "final_payment"}
        assert causes[1] == {"withdrawal", "conversion", "final_payment"}
        assert causes[2] == {"trade_bust", "trade_correction", "final_payment"}
        assert {line.batch for line in booked[0].lines} == {1, 2}
        bank.books.check()
        assert bank.books.balances(booked[2].day) == read_balances(await client.balances_file(WEDNESDAY))
        assert not [told for told in said if "not booked" in told]


async def test_a_batch_that_was_fixed_while_it_looked_is_reported_behind_its_statements(monkeypatch):
    async with market() as (desk, bank, _):
        client = desk.client
        bank.policy = Policy.REJECT
        await whole_day(desk, bank, MONDAY)
        bank.policy = Policy.ACCEPT
        seen = await client.market()  # the day is settled
        await client.deposit("B", "4020.00")
        await client.cure_failure("B", 1)
        await client.fix_obligations()
        with monkeypatch.context() as patch:
            patch.setattr(client, "market", AsyncMock(return_value=seen))
            assert await bank.look() == 0 and len(await client.reconciliations()) == 1

        exchange = desk.gateway.exchange
        while exchange.clearing.under_way is not None:
            await desk.gateway.inbox.ask(next_of_settlement(exchange).command)
            await bank.look()
        assert len(await client.reconciliations()) == 2 and await breaks(desk) == []


async def test_what_a_reserve_pays_for_who_failed_and_gets_back_is_booked():
    reserve = ReserveRules(share="0", target="100000", house_funds_max="1000")
    async with market(hubei(reserve=reserve)) as (desk, bank, _):
        client = desk.client
        await client.deposit(HOUSE, "60000.00")
        await client.fund_reserve(HOUSE, "50000.00")
        bank.policy = Policy.REJECT
        await whole_day(desk, bank, MONDAY)
        bank.policy = Policy.ACCEPT
        deadline = desk.gateway.exchange.clearing.defaults.cases[0].deadline_ns
        desk.gateway.clock.advance_to(deadline + 1)
        await client.cover_failure(HOUSE, 1)
        await desk.open("2026-01-12")
        await client.set_phase("closed")
        await settle(desk, bank)
        await client.deposit("B", "50000.00")
        await client.pay_recourse("B", "4000.00")
        await desk.open("2026-01-13")
        await client.set_phase("closed")
        await settle(desk, bank)

        causes = {line.cause for day in ("2026-01-12", "2026-01-13") for line in (await client.bookings(day)).lines}
        assert causes >= {"cover", "recourse", "deposit"}
        assert all(report.matched for report in await client.reconciliations())
        bank.books.check()


# ---------------------------------------------------------------- they do not


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        pytest.param(
            "DELETE FROM bookings WHERE account_id = 'B' AND cause = 'final_payment'", "4020.00", id="left out"
        ),
        pytest.param("UPDATE bookings SET fen = fen - 1 WHERE account_id = 'B' AND line = 1", "-0.01", id="altered"),
        pytest.param(
            "INSERT INTO bookings SELECT day, 99, batch, account_id, currency, reach, cause, reference, fen "
            "FROM bookings WHERE account_id = 'B' AND line = 1",
            "100000.00",
            id="doubled",
        ),
    ],
)
async def test_what_is_wrong_in_its_books_is_a_break_of_that_account_and_amount(change, difference):
    async with market(hubei(block_on_break=True)) as (desk, bank, said):
        await whole_day(desk, bank, MONDAY)
        kept = [*bank.books.db.execute("SELECT * FROM bookings")]
        bank.books.db.execute(change)
        await whole_day(desk, bank, TUESDAY)

        assert await breaks(desk) == [("B", difference)] and said[-1].endswith("1 differ")
        assert (await last_report(desk)).blocked == ["B"]
        with pytest.raises(ApiError, match="withdrawal_blocked"):
            await desk.client.withdraw("B", "1.00")
        await desk.client.withdraw("S", "1.00")

        bank.books.db.execute(f"DELETE FROM bookings WHERE day = '{MONDAY}'")
        bank.books.db.executemany("INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)
        await whole_day(desk, bank, WEDNESDAY)
        assert (await last_report(desk)).matched
        await desk.client.withdraw("B", "1.00")


async def test_a_sub_ledger_that_is_overdrawn_can_not_be_sent():
    async with market() as (desk, bank, said):
        await whole_day(desk, bank, MONDAY)
        bank.books.db.execute("DELETE FROM bookings WHERE cause = 'deposit'")
        await whole_day(desk, bank, TUESDAY)
        assert said[-1].startswith("balances of 2026-01-06: ") and len(await desk.client.reconciliations()) == 1


def tampered(text):
    return text.replace("deposit", "Deposit")


def made_up(text):
    """A file that is well formed, and moves a fen from nowhere."""
    file = read_bookings(text)
    last = msgspec.structs.replace(file.lines[-1], fen=file.lines[-1].fen + 1)
    return msgspec.structs.replace(file, lines=(*file.lines[:-1], last)).text()


@pytest.mark.parametrize(("spoil", "says"), [(tampered, "is not as it was written"), (made_up, "leave 1 fen of CNY")])
async def test_a_file_that_was_tampered_with_is_not_booked_and_nothing_is_sent(spoil, says, monkeypatch):
    async with market() as (desk, bank, said):
        whole = desk.client.bookings_file

        async def altered(day):
            return spoil(await whole(day))

        monkeypatch.setattr(desk.client, "bookings_file", altered)
        await whole_day(desk, bank, MONDAY)
        assert said[-1].startswith("bookings of 2026-01-05 are not booked: ") and says in said[-1]
        assert await desk.client.reconciliations() == [] and bank.books.last is None
        assert not await bank.look() and len(said) == 2  # once is enough

        monkeypatch.undo()
        await whole_day(desk, bank, TUESDAY)  # both days are booked
        assert str(bank.books.last.day) == TUESDAY and (await last_report(desk)).matched


async def test_a_day_that_is_missing_is_noticed():
    async with market() as (desk, bank, said):
        await whole_day(desk, bank, MONDAY)
        bank.books.db.execute(f"DELETE FROM files WHERE day = '{MONDAY}'")
        bank.books.db.execute(f"INSERT INTO files VALUES ('{MONDAY}', NULL, '', '{'0' * 64}', 4)")
        await whole_day(desk, bank, TUESDAY)
        assert said[-1] == (
            "bookings of 2026-01-05 are not booked: the file of 2026-01-05 does not go on where its bookings ended"
        )
        assert len(await desk.client.reconciliations()) == 1


async def test_the_books_of_another_exchange_are_not_gone_on_with():
    books = SubLedgers()
    async with market(books=books) as (desk, bank, _):
        await desk.client.deposit("S", "1.00")
        await whole_day(desk, bank, MONDAY)
    before = [*books.db.iterdump()]
    async with market(books=books) as (desk, bank, said):
        await whole_day(desk, bank, TUESDAY)
        assert said[-1].startswith("bookings of 2026-01-06 are not booked: the file of 2026-01-06 follows on nothing")
        assert "the books end with 2026-01-05" in said[-1] and await desk.client.reconciliations() == []
    assert [*books.db.iterdump()] == before


# ---------------------------------------------------------------- it comes back


async def test_a_bank_that_comes_back_goes_on_with_its_books(tmp_path):
    books = SubLedgers(tmp_path / "books")
    async with market(books=books) as (desk, bank, said):
        await whole_day(desk, bank, MONDAY)
        books.close()
        asked = []
        whole = desk.client.bookings_file

        async def counted(day):
            asked.append(day)
            return await whole(day)

        desk.client.bookings_file = counted
        await trade(desk, TUESDAY)
        again = SettlementBank(desk.client, BANK, Policy.ACCEPT, said.append, books=SubLedgers(tmp_path / "books"))
        await again.enrol()
        await settle(desk, again)
        await whole_day(desk, again, WEDNESDAY)
        assert [report.matched for report in await desk.client.reconciliations()] == [True] * 3
        assert asked == [MONDAY, MONDAY, TUESDAY, TUESDAY, WEDNESDAY]  # the last day may have gone on
        again.books.check()
        again.books.close()


async def test_a_bank_without_a_file_books_every_day_anew():
    async with market() as (desk, bank, said):
        for day in (MONDAY, TUESDAY):
            await whole_day(desk, bank, day)
        again = SettlementBank(desk.client, BANK, Policy.ACCEPT, said.append)
        await again.enrol()
        assert [*again.books.db.iterdump()] == [*bank.books.db.iterdump()]
        await whole_day(desk, again, WEDNESDAY)
        assert (await last_report(desk)).matched and len(await desk.client.reconciliations()) == 3


async def test_while_nothing_changes_it_asks_for_little(monkeypatch):
    async with market() as (desk, bank, _):
        await whole_day(desk, bank, MONDAY)
        await trade(desk, TUESDAY)
        bank.policy = Policy.LATE
        await desk.gateway.inbox.ask(FixObligations())
        await desk.gateway.inbox.ask(next_of_settlement(desk.gateway.exchange).command)
        await bank.look()
        asked = []
        send = desk.client._send

        async def counted(method, path, **request):
            asked.append((method, path, request.get("params")))
            return await send(method, path, **request)

        monkeypatch.setattr(desk.client, "_send", counted)
        await bank.look()
        assert asked == [("GET", "/v1/market", None), ("GET", "/v1/settlement/batches", {"day": TUESDAY})]


# ---------------------------------------------------------------- somebody is asked for more


class Answering:
    """Rejects P in the first file; what another is asked for besides it accepts, or rejects."""

    def __init__(self, rejects_more):
        self.rejects_more = rejects_more

    def answer(self, file, minutes, answered):
        is_first = file.lines[0].line == 1
        reject = {"P"} if is_first else {"B"} if self.rejects_more else set()
        return SimulatedBank(reject=frozenset(reject)).answer(file, minutes, answered)


@pytest.mark.parametrize("mode", [Mode.GROSS_NET, Mode.NET_NET])
@pytest.mark.parametrize(("rejects_more", "failed"), [(False, {1}), (True, {1, 2})])
async def test_who_is_asked_for_more_since_another_did_not_pay_is_asked_by_the_bank(
    mode, rejects_more, failed, monkeypatch, tmp_path
):
    """B sells 60 t to P and buys 40 t of S: netted it pays nothing in, unless P does not pay."""
    monkeypatch.setattr("simulation.bank.bank_by", lambda *_: Answering(rejects_more))
    async with market(hubei(mode=mode), files=tmp_path) as (desk, bank, said):
        await desk.client.open_account("P", "Power")
        await desk.client.deposit("P", "5000.00")
        await desk.client.issue("B", "HBEA-2025", 60)
        await desk.client.transfer("B", "HBEA-2025", 60)
        await desk.open(MONDAY)
        await desk.sell("40.00", 60, "B")
        await desk.buy("40.00", 60, "P")
        await desk.sell("40.00", 40, "S")
        await desk.buy("40.00", 40, "B")
        await desk.client.set_phase("closed")
        batch = await settle(desk, bank)

        (more,) = batch.payments.more
        assert [(line.account_id, line.direction) for line in more.lines] == [("B", "debit")]
        assert len(said) == 3 and "1 lines answered" in said[1]
        assert ("not in full" in said[1]) == rejects_more
        assert set(batch.failed) == failed
        assert (await last_report(desk)).matched and await breaks(desk) == []
        assert {path.name for path in tmp_path.iterdir()} >= {
            "payments-1.csv", f"answers-1-from-{more.lines[0].line}.csv", f"bookings-{MONDAY}.csv",
        }  # fmt: skip
