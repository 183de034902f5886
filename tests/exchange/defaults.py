"""A market in which somebody can fail: deals with a later leg, evenings step by step, the reserve.

market = Failing(alice=cash("5000.00"), bob=units(100))
market.agree("F-1", "bob", "alice", 100, "42.00", due="2026-01-06")
market.next_evening("2026-01-06")
"""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec

from exchange import events as happened
from exchange.commands import (
    AgreeDelivery,
    CloseOutFailure,
    ConfirmPayments,
    CoverFailure,
    CureFailure,
    DeliverBatch,
    FixObligations,
    FundReserve,
    InstructBank,
    IssueStatements,
    NoteLateBank,
)
from exchange.instruments import fen, ticks_of
from exchange.rules import load_rule_set
from exchange.settling import next_of_settlement
from exchange.transition.step import HOUSE
from registry.accounts import ParticipantClass
from settlement.bank import SimulatedBank
from settlement.cycle import Batch, Stage
from settlement.default import Case
from settlement.rules import DefaultRules, Mode, ReserveRules, SettlementRules
from tests.exchange.market import CNY, HBEA, Market, Stake

MODES = ("gross_gross", "gross_net", "net_net")
DUE = "2026-01-06"
BANK = "bank"
ACCEPTING = SimulatedBank()
IN_TIME, DEADLINE, TOO_LATE = "2026-01-07 14:00:00", "2026-01-07 15:00:00", "2026-01-07 15:00:01"


class Failing(Market):
    """Rules of Hubei, fees of 0.5 % a side, orders that may outlive their day, and a reserve."""

    def __init__(
        self,
        mode: str = "gross_gross",
        /,
        reserve: str = "0.00",
        house: str = "0.00",
        house_funds_max: str = "100000.00",
        share: str = "0",
        target: str = "1000000.00",
        bank: bool = False,
        **people: Stake,
    ) -> None:
        settlement = SettlementRules(
            mode=Mode(mode),
            bank=bank,
            confirm_by="17:00" if bank else None,
            reserve=ReserveRules(share, target, house_funds_max),
            defaults=DefaultRules(cure_working_days=1, cure_by="15:00"),
        )
        rules = msgspec.structs.replace(load_rule_set("hubei"), settlement=settlement, carry_over=[])
        if bank:
            people[BANK] = Stake(participant_class=ParticipantClass.CLEARING_BANK)
        super().__init__(rules, **people)
        brought = fen(house) + fen(reserve)
        if brought:
            self.deposit(HOUSE, str(brought / 100))
        if fen(reserve):
            self.must(FundReserve(HOUSE, fen(reserve)))

    # -- doing

    def agree(self, deal: str, seller: str, buyer: str, tonnes: int, price: str, due: str = DUE) -> None:
        ticks = ticks_of(price, self.rules.tick_size)
        self.must(AgreeDelivery(HOUSE, deal, seller, buyer, HBEA, tonnes, ticks, date.fromisoformat(due), "negotiated"))

    def evening(self) -> "happened.BatchDelivered":
        """Close, and take the three steps of the day's settlement; what the delivery said."""
        if self.exchange.phase:
            self.play("close")
        return self.batch()

    def batch(self, bank: SimulatedBank = ACCEPTING) -> "happened.BatchDelivered":
        """The steps of a batch, with or without a bank."""
        self.must(FixObligations())
        said = self.deliver(bank)
        self.must(IssueStatements())
        return said

    def deliver(self, bank: SimulatedBank = ACCEPTING) -> "happened.BatchDelivered":
        """Let the bank answer what it answers at once, if there is one, and deliver the batch that is fixed."""
        if self.rules.settlement.bank:
            self.must(InstructBank())
            if self.last.payments is not None and self.last.payments.file.lines:
                self.answer(bank)
            while self.last.stage == Stage.CONFIRMED and next_of_settlement(self.exchange).command == InstructBank():
                before = self.digest()
                assert self.do(DeliverBatch()) == "refused: wrong_state" and self.digest() == before
                self.must(InstructBank())
                self.answer(bank)
        if self.rules.settlement.bank and self.last.payments is not None and self.last.payments.open_lines:
            self.at(f"{self.exchange.date} 17:00:00")
            self.must(NoteLateBank())
        self.must(DeliverBatch())
        said = self.event
        assert isinstance(said, happened.BatchDelivered)
        return said

    def answer(self, bank: SimulatedBank = ACCEPTING, minutes: int = 0, batch: int = 0) -> None:
        """What the bank says so many minutes after it was told, if it says anything."""
        asked = self.exchange.clearing.batches[batch - 1].payments
        assert asked is not None
        said = bank.answer(asked.last, minutes, asked.answers)
        if said is not None:
            self.must(ConfirmPayments(BANK, said.batch, said.answers_to, said.lines, said.more_follows))

    def next_evening(self, day: str = DUE) -> "happened.BatchDelivered":
        """End this day, and settle the next one."""
        if not self.exchange.is_settled:
            self.evening()
        self.play(f"open {day}\nstart")
        return self.evening()

    def at(self, moment: str) -> None:
        """It is this local time when the next command comes."""
        local = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(self.rules.timezone))
        self.now_ns = int(local.astimezone(UTC).timestamp() - 1) * 1_000_000_000

    def cure(self, number: int = 1, by: str = HOUSE, at: str = IN_TIME) -> str:
        self.at(at)
        return self.do(CureFailure(by, number))

    def cover(self, number: int = 1, at: str = TOO_LATE) -> str:
        self.at(at)
        return self.do(CoverFailure(HOUSE, number))

    def close_out(self, number: int = 1, at: str = TOO_LATE) -> str:
        self.at(at)
        return self.do(CloseOutFailure(HOUSE, number))

    # -- asking

    def case(self, number: int = 1) -> Case:
        found = self.exchange.clearing.defaults.case(number)
        assert found is not None
        return found

    def lacked(self, number: int = 1) -> dict[str, int]:
        """What an account lacked, by name of the asset."""
        names = {0: CNY, self.asset(HBEA): HBEA}
        return {names[asset]: amount for asset, amount in self.case(number).lacked.items()}

    @property
    def last(self) -> Batch:
        return self.exchange.clearing.batches[-1]

    def settled(self, name: str) -> tuple[int, int]:
        """Settled fen and tonnes."""
        return self.holding(name, CNY).settled, self.holding(name, HBEA).settled

    def owed(self, name: str) -> dict[str, int]:
        """What somebody owes, by creditor."""
        owed: dict[str, int] = {}
        for claim in self.exchange.clearing.defaults.owed_by(self.number(name)):
            creditor = self.exchange.accounts[claim.creditor].account_id
            owed[creditor] = owed.get(creditor, 0) + claim.left
        return owed

    def why_restricted(self, name: str) -> str | None:
        return self.exchange.clearing.restriction(self.number(name))
