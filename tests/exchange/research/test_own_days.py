"""Our own days again: any past state, and the same flow under other rules, worked by hand."""

import json

import pyarrow.parquet
import pytest

from exchange import invariants
from exchange.commands import (
    BustTrades,
    ConfirmPayments,
    DeliverBatch,
    FixObligations,
    InstructBank,
    IssueStatements,
    LockUnits,
    ReconcileBank,
    ReleaseUnits,
    TransferUnits,
)
from exchange.engine import exchange_of, read_exchange
from exchange.journal import SqliteJournal
from exchange.payments import closing_balances
from exchange.research.history import History, NoSuchMoment, moments
from exchange.research.past import state_of
from exchange.research.rule_change import RuleChangeError, under
from exchange.rules import RuleSetError, load_rule_set
from registry.accounts import ParticipantClass
from registry.locks import LockKind
from settlement.bank import SimulatedBank
from settlement.bank_files import BankBalance
from simulation.studies.market import write_day
from tests.exchange.market import HBEA, Market, Stake, cash, units
from tests.system.desk import run


def market(folder, rules="hubei", **people):
    """A market whose journal is a file: alice has money, bob and carol have units."""
    journal = SqliteJournal(folder / "own.journal", durable=False)
    stakes = {"alice": cash("100000.00"), "bob": units(1000), "carol": units(1000)}
    made = Market(rules, journal=journal, **(stakes | people))
    made.file = folder / "own.journal"
    made.history = History.of(made.file)
    return made


def other_rules(folder, text, base="hubei"):
    file = folder / "other.toml"
    file.write_text(f'base = "{base}"\n{text}')
    return load_rule_set(str(file))


MAKERS_PRICE = """
[[execution_prices]]
effective_from = 2016-12-24
rule = "maker"
"""
NARROW = """
[[price_bands]]
effective_from = 2016-12-24
up = "0.01"
down = "0.01"
"""


# ---------------------------------------------------------------- past states


def test_the_state_after_every_command_is_what_it_was_then(tmp_path):
    made = market(tmp_path)
    digests = {made.exchange.sequence: made.digest()}
    for line in ("bob sells 100 @ 42.00", "alice buys 60 @ 42.00", "bob cancels order 1", "close", "settle"):
        made.play(line)
        digests[made.exchange.sequence] = made.digest()

    for sequence, digest in digests.items():
        seen = json.loads(run(f"replay {made.file} --at-seq {sequence} --json").stdout)
        assert (seen["sequence"], seen["state"]) == (sequence, digest)
    assert json.loads(run(f"replay {made.file} --json").stdout)["state"] == made.digest()


def test_a_moment_is_local_and_takes_in_all_that_came_by_then(tmp_path):
    made = market(tmp_path)
    made.play("bob sells 100 @ 42.00")
    then, sequence = state_of(made.exchange)["time"], made.exchange.sequence
    made.play("alice buys 60 @ 42.00")

    for moment in (then, then.removesuffix("+08:00")):
        said = run(f"replay {made.file} --until {moment} --json")
        state = json.loads(said.stdout)
        assert state["sequence"] == sequence
        assert state["instruments"]["HBEA-2025"]["ask_quantity"] == 100
        assert state["assets"]["HBEA-2025"]["reserved"] == 100
    shown = run(f"replay {made.file} --until {then}").stdout
    assert f"after command {sequence}" in shown and "day 2026-01-05, continuous, session 1" in shown


def test_a_part_of_a_journal_is_written_as_one_or_as_a_table(tmp_path):
    made = market(tmp_path)
    made.play("bob sells 100 @ 42.00\nalice buys 60 @ 42.00")
    sequence, digest = made.exchange.sequence, made.digest()
    made.play("alice buys 40 @ 42.00")

    early, table = tmp_path / "early.journal", tmp_path / "trades.parquet"
    assert run(f"replay {made.file} --at-seq {sequence} -o {early}").exit_code == 0
    assert run(f"replay {made.file} --at-seq {sequence} --what trades -o {table}").exit_code == 0

    assert read_exchange(early).digest() == digest
    assert pyarrow.parquet.read_table(table)["qty"].to_pylist() == [60]
    again = run(f"replay {made.file} -o {early} --force")
    assert again.exit_code == 1 and "output_exists: " in again.stderr
    assert not [*tmp_path.glob("*.unfinished*")]


# ---------------------------------------------------------------- other rules


def test_under_its_own_rules_nothing_differs(tmp_path):
    made = market(tmp_path)
    made.play(
        """bob sells 100 @ 42.00 show 10
        carol sells 50 @ 41.90
        alice buys 120 @ 42.00 as first
        alice buys 10 @ 99.00
        bob amends order 1 to 20 @ 42.10
        bob cancels order 1
        bob cancels order 77
        close
        settle
        open 2026-01-06"""
    )

    compared = under(made.history, made.rules)

    assert compared.day.exchange.digest() == made.digest()
    assert compared.otherwise == compared.let_in == compared.kept_out == compared.without_counterpart == 0
    assert all(one.difference == 0 or one.original != one.original for one in compared.measures())
    assert compared.reasons() == [] and compared.richer() == {}


def test_a_whole_day_under_its_own_rules_is_answered_alike(tmp_path):
    write_day(tmp_path / "day.journal", seed=3, orders=2000, swing=0.004)

    compared = under(History.of(tmp_path / "day.journal"), load_rule_set("hubei"))

    assert compared.original.trades.size > 300 and compared.otherwise == 0


@pytest.mark.parametrize("change", [MAKERS_PRICE, NARROW])
def test_the_other_day_is_as_sound_as_any(tmp_path, change):
    write_day(tmp_path / "day.journal", seed=3, orders=2000, swing=0.004)

    compared = under(History.of(tmp_path / "day.journal"), other_rules(tmp_path, change))

    invariants.check(compared.day.exchange)
    assert compared.otherwise > 0 and compared.day.exchange.is_settled
    assert exchange_of(compared.other()).digest() == compared.day.exchange.digest()


def test_the_makers_price_instead_of_the_median_of_three(tmp_path):
    made = market(tmp_path)
    # last price 42.00: the median of bid 42.50, ask 41.00 and last is 42.00, the maker's price is 41.00
    made.play("bob sells 100 @ 41.00\nalice buys 100 @ 42.50\nclose\nsettle")

    compared = under(made.history, other_rules(tmp_path, MAKERS_PRICE))

    assert compared.original.trades["price_ticks"].tolist() == [4200]
    assert compared.day.trades["price_ticks"].tolist() == [4100]
    measures = {one.name: (one.original, one.other) for one in compared.measures()}
    assert measures["turnover"] == (420_000, 410_000)
    assert measures["fees"] == (4_200, 4_100)  # 0.5 % of it from each side
    assert measures["HBEA-2025: mean price"] == (4200, 4100)
    assert compared.richer()["alice"] == {"CNY": 10_000 + 50}
    assert compared.richer()["bob"] == {"CNY": -10_000 + 50}
    first = compared.answered[0]
    assert first.original.endswith("traded 100 @ 4200") and first.other.endswith("traded 100 @ 4100")


def test_orders_are_followed_by_who_placed_them_and_not_by_number(tmp_path):
    made = market(tmp_path)
    # a band of 1 % about 42.00 ends at 42.42: the first order is refused, so that the others have other numbers
    made.play("bob sells 10 @ 43.00\nbob sells 20 @ 42.10\nbob sells 30 @ 42.20")
    made.play("bob cancels order 2\nbob cancels order 1\nbob amends order 3 to 25 @ 42.20")

    compared = under(made.history, other_rules(tmp_path, NARROW))

    assert (compared.kept_out, compared.let_in, compared.without_counterpart) == (1, 0, 1)
    told = state_of(compared.day.exchange)["instruments"]["HBEA-2025"]
    assert (told["orders"], told["ask_ticks"], told["ask_quantity"]) == (1, 4220, 25)
    assert {one.name: (one.original, one.other) for one in compared.reasons()} == {
        "price_outside_band": (0, 1),
        "unknown_order": (0, 1),
    }


def test_orders_and_their_cancels_in_one_block_are_followed_too(tmp_path):
    made = market(tmp_path)
    lines = ("bob sells 10 @ 43.00", "bob sells 20 @ 42.10", "bob cancels order 2", "bob sells 5 @ 42.10")
    made.submit(*map(made.command, lines))

    compared = under(made.history, other_rules(tmp_path, NARROW))

    assert state_of(compared.day.exchange)["instruments"]["HBEA-2025"]["ask_quantity"] == 5


def test_what_only_the_other_rules_let_in_is_counted(tmp_path):
    made = market(tmp_path, other_rules(tmp_path, NARROW))
    made.play("bob sells 10 @ 43.00\nalice buys 10 @ 42.00")

    compared = under(made.history, load_rule_set("hubei"))

    assert (compared.let_in, compared.kept_out) == (1, 0)
    assert state_of(compared.day.exchange)["instruments"]["HBEA-2025"]["ask_ticks"] == 4300


def test_netting_moves_less_and_leaves_everybody_with_the_same(tmp_path):
    made = market(tmp_path, "generic", bob=units(1000) + cash("100000.00"))
    # bob sells 100 and buys 60: net he gives 40, and gets the difference
    made.play(
        "bob sells 100 @ 42.00\nalice buys 100 @ 42.00\ncarol sells 60 @ 42.00\nbob buys 60 @ 42.00\nclose\nsettle"
    )

    compared = under(made.history, other_rules(tmp_path, '[settlement]\nmode = "net_net"', "generic"))

    measures = {one.name: (one.original, one.other) for one in compared.measures()}
    assert measures["settlement: units moved"] == (160, 100)  # bob gives 40 and carol 60
    assert measures["settlement: cash moved"] == (6_720_00 + 0, 4_200_00)
    assert measures["trades"] == (2, 2)
    assert compared.richer() == {}
    assert [one.command for one in compared.answered] == ["SettleDay"] and compared.otherwise == 1


def test_a_busted_trade_is_the_same_trade_under_the_other_rules(tmp_path):
    made = market(tmp_path, clerk=Stake(participant_class=ParticipantClass.MARKET_OPERATOR))
    made.play("bob sells 10 @ 43.00\nalice buys 10 @ 43.00\nbob sells 20 @ 42.00\nalice buys 20 @ 42.00")
    said = made.do(BustTrades("clerk", [2], "typed wrongly"))
    assert "refused" not in said

    compared = under(made.history, other_rules(tmp_path, NARROW))

    # the first trade, outside the narrow band, has not come about: the second is the other day's first, and is undone
    assert compared.day.trades["quantity"].tolist() == [20]
    assert compared.day.exchange.trades_today().size == 0
    assert compared.without_counterpart == 0


@pytest.mark.parametrize(("rules", "released", "lost"), [(NARROW, 0, 1), (MAKERS_PRICE, 10, 0)])
def test_a_lock_is_named_by_its_number_while_there_are_as_many(tmp_path, rules, released, lost):
    made = market(tmp_path, authority=Stake(participant_class=ParticipantClass.REGISTRY_AUTHORITY))
    # what alice buys at 43.00 she has not under the narrow band, so that her units can't be locked there
    made.play("bob sells 10 @ 43.00\nalice buys 10 @ 43.00\nclose\nsettle\nopen 2026-01-06")
    made.must(TransferUnits("alice", HBEA, 10, to_trading=False))
    made.must(LockUnits("authority", "alice", HBEA, 10, LockKind.JUDICIAL, "file 1"))
    made.must(TransferUnits("bob", HBEA, 10, to_trading=False))
    made.must(LockUnits("authority", "bob", HBEA, 10, LockKind.JUDICIAL, "file 2"))
    made.must(ReleaseUnits("authority", 2, 10))  # bob's, the first one under the narrow band

    compared = under(made.history, other_rules(tmp_path, rules))

    assert compared.without_counterpart == lost
    bobs = compared.day.exchange.path.desk.balances[made.number("bob"), made.asset(HBEA)]
    assert (bobs.registry, bobs.judicial) == (released, 10 - released)


@pytest.mark.parametrize("who_is_rejected", [(), ("alice",)])
def test_the_bank_answers_other_payments_as_it_answered_these(tmp_path, who_is_rejected):
    made = market(tmp_path, bank=Stake(participant_class=ParticipantClass.CLEARING_BANK))
    made.play("bob sells 100 @ 41.00\nalice buys 100 @ 42.50\nclose")
    made.must(FixObligations())
    made.must(InstructBank())
    file = made.exchange.clearing.batches[-1].payments.file
    said = SimulatedBank(reject=frozenset(who_is_rejected)).answer(file)
    made.must(ConfirmPayments("bank", 1, said.answers_to, said.lines))
    made.must(DeliverBatch())
    made.must(IssueStatements())
    balances = closing_balances(made.exchange, made.exchange.date)
    lines = tuple(BankBalance(*key, fen + (key[0] == "bob")) for key, fen in sorted(balances.items()))
    made.must(ReconcileBank("bank", made.exchange.date, lines))  # the bank has a fen more than we think for bob

    compared = under(made.history, other_rules(tmp_path, MAKERS_PRICE))

    measures = {one.name: (one.original, one.other) for one in compared.measures()}
    paid = (0, 0) if who_is_rejected else (422_100, 412_050)  # with the buyer's fee
    assert measures["settlement: cash moved"] == paid
    assert len(compared.day.exchange.clearing.defaults.cases) == len(who_is_rejected)
    last = [*moments(compared.other(), one_by_one=True)][-1].outcome.events
    [breaks] = [event.breaks for event in last.values()]
    bobs = 0 if who_is_rejected else 410_000 - 2_050
    assert [(one.account_id, one.ours, one.banks) for one in breaks] == ([("bob", bobs, bobs + 1)] if bobs else [])


def test_the_other_day_is_a_journal_like_any(tmp_path):
    made = market(tmp_path)
    made.play("bob sells 100 @ 41.00\nalice buys 100 @ 42.50\nclose\nsettle")
    (tmp_path / "other.toml").write_text(f'base = "journal"\n{MAKERS_PRICE}')

    out, report = tmp_path / "other.journal", tmp_path / "compared.json"
    said = run(f"replay {made.file} --rules {tmp_path / 'other.toml'} -o {out} --report {report}")

    assert said.exit_code == 0, said.output
    assert "3 commands are answered otherwise" in said.stdout  # the order that trades, the close and the settlement
    told = json.loads(report.read_text("utf-8"))
    assert read_exchange(out).digest() == told["other_state"] != told["state"] == made.digest()
    assert [row["qty"] for row in exported(out, tmp_path / "trades.parquet")] == [100]


def exported(journal, out):
    assert run(f"export {journal} --what trades -o {out}").exit_code == 0
    return pyarrow.parquet.read_table(out).to_pylist()


def test_rules_that_the_timetable_follows_can_not_be_compared(tmp_path):
    made = market(tmp_path)
    with pytest.raises(RuleChangeError, match=r"rest on pre_open, settlement\.bank: these must stay"):
        under(made.history, other_rules(tmp_path, 'pre_open = "09:00"\n[settlement]\nbank = false'))


# ---------------------------------------------------------------- what can't be done


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("--at-seq 3 --until 2026-01-05T09:31", "invalid_option"),
        ("--at-seq 999", "no_such_moment"),
        ("--until 2025-01-05T09:31", "no_such_moment"),
        ("--until yesterday", "invalid_time"),
        ("--what trades", "invalid_option"),
        ("-o out.parquet", "invalid_option"),
        ("--what trades -o out.journal", "invalid_option"),
        ("--rules nowhere", "invalid_rule_set"),
        ("--rules national", "not_comparable"),
        ("--mode rematched --at-seq 3", "invalid_option"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(tmp_path, monkeypatch, options, code):
    made = market(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    said = run(f"replay {made.file} {options}")
    assert said.exit_code == 1 and said.stderr.startswith(f"carbonex: {code}: "), said.output
    assert said.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_first_commands_may_be_all_there_is(tmp_path):
    with pytest.raises(NoSuchMoment, match="nothing had happened yet"):
        [*market(tmp_path).history.until(until_ns=5)()]


def test_a_rule_file_says_only_what_it_changes(tmp_path):
    rules = other_rules(tmp_path, 'title = "Another"\n[settlement]\nmode = "net_net"')
    hubei = load_rule_set("hubei")
    assert rules.title == "Another" and rules.settlement.mode == "net_net"
    assert rules.settlement.bank and rules.sessions == hubei.sessions and rules.fees == hubei.fees

    (tmp_path / "second.toml").write_text('base = "other.toml"\nlot = 10\n')
    second = load_rule_set(str(tmp_path / "second.toml"))
    assert (second.lot, second.title) == (10, "Another")


def test_a_rule_file_is_not_its_own_base(tmp_path):
    file = tmp_path / "one.toml"
    for text, fault in (
        ('base = "one.toml"', "is its own base"),
        ("base = 3", "must be a name or a file"),
        ('base = "x"', "no rule set 'x'"),
    ):
        file.write_text(text)
        with pytest.raises(RuleSetError, match=fault):
            load_rule_set(str(file))
