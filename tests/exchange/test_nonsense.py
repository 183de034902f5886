"""Commands of every room with any values at all: huge, zero, negative, unknown, out of turn. None may stop the engine.

Each is built from the types of its fields alone. Whatever comes, it is refused at the door (it could not be read
again), refused with a reason and without a trace, or taken; and now and then all invariants are asked for.
CARBONEX_NONSENSE says how many commands to try instead of the few of the suite.
"""

import enum
import os
import types
import typing
from collections import Counter
from datetime import date, timedelta
from random import Random

import msgspec
import pytest

from exchange import invariants
from exchange.commands import (
    CloseSession,
    Command,
    ConfirmPayments,
    Control,
    DeliverBatch,
    FixObligations,
    FoundExchange,
    InstructBank,
    IssueStatements,
    OpenAccount,
    OpenDay,
    RegisterCurrency,
    StartTrading,
    control,
    row_of,
)
from exchange.reasons import Refused
from exchange.rows import COMMAND, CommandKind
from exchange.rules import RuleSet, load_rule_set
from registry.accounts import ParticipantClass
from settlement.bank import SimulatedBank
from settlement.cycle import Stage
from settlement.rules import ReserveRules
from tests.exchange.cycle import PROVINCE, Cycle, enterprise
from tests.exchange.market import HBEA, cash, units

COMMANDS = int(os.environ.get("CARBONEX_NONSENSE") or 1500)
SEED = int(os.environ.get("CARBONEX_SEED") or 1)
BANK = "bank"
NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    10,
    100,
    1000,
    4200,
    -1,
    -100,
    2024,
    2025,
    2026,
    1 << 31,
    1 << 53,
    (1 << 60) + 1,
    1 << 63,
    10**30,
)
TEXTS = (
    "alice", "bob", "plant", PROVINCE, "inspector", BANK, "EXCHANGE", "RESERVE", HBEA, "HBEA-2026", "CCER", "CNY",
    "EUR", "zoe", "", " ", "\x00", "ä" * 300, "0.5", "1", "-1", "1e99", "nan", "P1", "fuel", "court",
)  # fmt: skip
LIKELY = {  # values of fields by name, so that something is taken too
    "by": (PROVINCE, "EXCHANGE", BANK, "inspector"),
    "account_id": ("alice", "bob", "plant"),
    "seller": ("alice", "bob"),
    "buyer": ("alice", "bob"),
    "symbol": (HBEA,),
    "unit": (HBEA, HBEA, "CCER", "HBEA-2026"),
    "code": (HBEA, "CCER", "M1", "USD"),
    "methodology": ("M1",),
    "project_id": ("P1", "P2"),
    "deal_id": ("D1", "D2", "D3"),
    "scheme": ("CCER",),
    "currency": ("", "EUR"),
    "amount": (1, 100, 5000, 100_000),
    "price_ticks": (4100, 4200, 4300, None),
    "quantity": (1, 5, 20, 100),
    "year": (2025, 2026),
    "vintage": (2025, 2026),
    "case": (1, 2, 3),
    "request_id": (1, 2, 3),
    "lock_id": (1, 2, 3),
    "reduction": (1, 2, 3),
}
DATES = (date.min, date(1969, 12, 31), date(2024, 12, 31), date(2026, 1, 5), date(2149, 6, 7), date.max)


class Nonsense:
    """A market, and somebody who asks it for anything."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        rich = cash("1000000.00") + units(5000)
        hubei = load_rule_set("hubei")
        settlement = msgspec.structs.replace(hubei.settlement, reserve=ReserveRules("0.2", "500", "3000"))
        rules = msgspec.structs.replace(hubei, settlement=settlement)
        self.market = Cycle(rules, plant=enterprise, alice=rich, bob=rich)
        self.market.must(OpenAccount(BANK, "", ParticipantClass.CLEARING_BANK))
        self.market.must(RegisterCurrency("EUR"))
        self.market.register_credit("CCER")
        self.exchange, self.engine = self.market.exchange, self.market.engine
        self.rooms = [kind for kind in typing.get_args(Control) if kind is not FoundExchange]
        self.came: Counter[str] = Counter()

    def value(self, kind: object) -> object:
        """Any value of a type."""
        pick = self.chance.choice
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Annotated:
            return self.value(inner[0])
        if origin is typing.Literal:
            return pick(inner)
        if origin in (typing.Union, types.UnionType):
            return self.value(pick(inner))
        if origin is list:
            return [self.value(inner[0]) for _ in range(self.chance.randint(0, 3))]
        if origin is tuple:
            each = [inner[0]] * self.chance.randint(0, 3) if inner[-1] is ... else inner
            return tuple(self.value(one) for one in each)
        if origin is dict:
            return {self.value(inner[0]): self.value(inner[1]) for _ in range(self.chance.randint(0, 2))}
        if kind is types.NoneType:
            return None
        if kind is bool:
            return pick((True, False))
        if kind is int:
            return pick(NUMBERS) if self.chance.random() < 0.5 else self.chance.randint(0, 30)
        if kind is str:
            return pick(TEXTS[:7]) if self.chance.random() < 0.6 else pick(TEXTS)
        if kind is date:
            near = (self.exchange.date or DATES[3]) + timedelta(days=self.chance.randint(-1, 3))
            return near if self.chance.random() < 0.8 else pick(DATES)
        if kind is RuleSet:
            return load_rule_set("hubei")
        assert isinstance(kind, type), kind
        if issubclass(kind, enum.Enum):
            return pick([*kind])
        return self.struct(kind)

    def struct(self, kind: type) -> object:
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{field.name: self.field(field.name, hints) for field in msgspec.structs.fields(kind)})

    def field(self, name: str, hints: dict[str, object]) -> object:
        likely = LIKELY.get(name, ())
        if name == "batch":
            likely = (len(self.exchange.clearing.batches),)
        if name in ("trade_id", "trade_ids"):
            last = int(self.exchange.path.desk.progress[0].next_trade_id) - 1
            likely = (max(1, last - self.chance.randint(0, 20)),)
            likely = ([likely[0]],) if name == "trade_ids" else likely
        if likely and self.chance.random() < 0.9:
            return self.chance.choice(likely)
        return self.value(hints[name])

    def row(self) -> Command:
        """Any row of the trading path."""
        fields = {}
        for name, (dtype, *_) in COMMAND.fields.items():
            if name not in ("sequence", "now_ns", "kind"):
                bits, signed = dtype.itemsize * 8, dtype.kind == "i"
                low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
                fields[name] = self.chance.choice((0, 0, 1, 1, 2, 3, 4, 10, 4200, low, high, high - 1))
                fields[name] = max(low, min(high, fields[name]))
        return Command(row_of(self.chance.choice([kind for kind in CommandKind if kind]), **fields))

    def order(self) -> Command:
        """An order that may well be taken."""
        name, verb = self.chance.choice(("alice", "bob")), self.chance.choice(("buys", "sells"))
        return self.market.command(f"{name} {verb} {self.chance.randint(1, 9)} @ {self.chance.randint(41, 43)}.00")

    def step(self) -> Command:
        """The next step of the day, so that all its states are seen."""
        batches = self.exchange.clearing.batches
        stage = batches[-1].stage if batches and batches[-1].day == self.exchange.date else None
        if self.exchange.phase:
            return control(self.chance.choice((CloseSession(), StartTrading())))
        if self.exchange.is_settled:
            return control(OpenDay(self.exchange.date + timedelta(days=1)))
        match stage:
            case Stage.FIXED:
                return control(InstructBank())
            case Stage.INSTRUCTED:
                payments = batches[-1].payments
                rejected = self.chance.choice(((), (), ("alice",), ("bob",), ("alice", "bob")))
                half = {"bob": "0.5"} if self.chance.random() < 0.2 else {}
                bank = SimulatedBank(reject=frozenset(rejected), partial=half)
                said = bank.answer(payments.last, 0, payments.answers)
                return control(ConfirmPayments(BANK, said.batch, said.answers_to, said.lines))
            case Stage.CONFIRMED:
                return control(DeliverBatch())
            case Stage.DELIVERED:
                return control(IssueStatements())
        return control(FixObligations())

    def command(self) -> Command:
        chance = self.chance.random()
        if chance < 0.06:
            return self.step()
        if chance < 0.16:
            return self.order()
        if chance < 0.26:
            return self.row()
        return control(self.struct(self.chance.choice(self.rooms)))

    def ask(self, looks_closely: bool) -> None:
        try:
            command = self.command()
        except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
            self.came["at the door"] += 1
            return
        digest = self.exchange.digest() if looks_closely else ""
        self.market.now_ns += 1_000_000_000
        try:
            receipts, outcome = self.engine.submit([command], self.market.now_ns)
        except Exception as error:
            error.add_note(f"after {command.detail.decode() or command.row}")
            raise
        said = next(iter(outcome.events.values()), None)
        refused = isinstance(receipts[0], Refused) or type(said).__name__ == "CommandRefused"
        name = type(said).__name__ if said is not None else "row"
        self.came[name] += 1
        if looks_closely:
            assert not refused or self.exchange.digest() == digest, (
                f"{command.detail!r} was refused and changed something"
            )
            try:
                invariants.check(self.exchange)
            except Exception as error:
                error.add_note(f"after {command.detail.decode() or command.row}")
                raise


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_no_command_stops_the_engine(seed):
    nonsense = Nonsense(seed)
    for number in range(COMMANDS // 3):
        nonsense.ask(looks_closely=COMMANDS < 10_000 or number % 20 == 0)
    assert nonsense.came["CommandRefused"] > COMMANDS // 20
    assert len(nonsense.came) > 12
