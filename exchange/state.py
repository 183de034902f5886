"""Everything the exchange remembers. Only :mod:`exchange.transition` changes it.

`digest` condenses what matters into one hash that depends on nothing but meaning: not on where an
order's slot lies, how wide a ladder's window is, how the journal was cut into batches, or how often a
refused command came by. Two exchanges with the same digest answer every future command alike.
"""

import hashlib
from collections import Counter
from datetime import date

import msgspec
import numpy as np

from exchange.client_orders import ClientOrders
from exchange.instruments import Instruments, terms_of_instruments
from exchange.rows import TRADE, joined, type_of_rows
from exchange.rules import RuleSet
from exchange.sessions import Phase
from exchange.trading import TradingPath
from matching.ladder import orders_of, price_at
from registry.accounts import Accounts
from registry.compliance import Compliance
from registry.credits import Credits
from registry.emissions import Emissions
from registry.locks import Locks
from registry.serials import Serials
from registry.units import Units
from settlement.clearing import Terms
from settlement.cycle import ClearingHouse, Stage, seal_of
from settlement.netting import Positions, positions

CASH_MAX = 1 << 60  # fen; all cash of a currency deposited, so that no sum of balances can wrap
UNITS_MAX = 1 << 53  # tonnes of a unit issued, exact as a JSON number everywhere


class DayFigures(msgspec.Struct, frozen=True):
    """What an instrument did on a day that is closed: tonnes, fen, ticks."""

    date: date
    instrument: int
    volume: int
    turnover: int
    close_ticks: int
    previous_ticks: int  # the close before


class Exchange:
    """The state of one market. Empty until it is founded with a rule set."""

    def __init__(self) -> None:
        self.rules: RuleSet | None = None
        self.sequence = 0  # of the last command
        self.now_ns = 0  # of the last command

        self.accounts = Accounts()
        self.units = Units()
        self.currencies: dict[str, int] = {}  # asset number by code: CASH of the rule set's, the others among the units
        self.serials = Serials()
        self.locks = Locks()
        self.compliance = Compliance()
        self.emissions = Emissions()
        self.credits = Credits()
        self.clearing = ClearingHouse()
        self.instruments = Instruments()
        self.path = TradingPath()

        self.date: date | None = None  # the last trading day opened
        self.phase = Phase.CLOSED
        self.session = 0  # continuous sessions begun today
        self.is_interrupted = False  # a call auction interrupts a continuous session, which will go on
        self.halts: dict[int, str] = {}  # reason by number of a halted instrument

        self.days: list[DayFigures] = []  # oldest first

        self.client_orders = ClientOrders()  # today's
        self.unsettled_trades: list[type_of_rows] = []  # today's, until their batch is fixed
        self.cash_deposited: Counter[int] = Counter()  # fen by asset number of the currency
        self.cash_withdrawn: Counter[int] = Counter()

    @property
    def market(self) -> RuleSet:
        """The rule set of a founded exchange."""
        assert self.rules is not None, "the exchange has not been founded"
        return self.rules

    @property
    def account_ids(self) -> list[str]:
        """Whose a row of the balances is, by account number; the first is nobody's."""
        return ["", *(account.account_id for account in self.accounts)]

    @property
    def asset_names(self) -> list[str]:
        """What a column of the balances stands for, by asset number: code of a currency or of a unit."""
        coded = {number: code for code, number in self.currencies.items()}
        coded |= {unit.number: unit.code for unit in self.units}
        return [coded[number] for number in range(self.units.last_number + 1)]

    @property
    def is_settled(self) -> bool:
        """Whether the last day's settlement has come to its statements."""
        if self.date is None:
            return True
        batches = self.clearing.batches
        return bool(batches) and batches[-1].day == self.date and batches[-1].has_reached(Stage.STATED)

    @property
    def house(self) -> int:
        """Number of the account that earns the fees."""
        return int(self.path.desk.progress[0].house)

    @property
    def terms(self) -> Terms:
        """What a trade of each instrument moves."""
        return terms_of_instruments(self.path.desk.instruments)

    def positions(self, trades: type_of_rows) -> Positions:
        """What trades come to for each account and asset."""
        accounts, assets = self.path.desk.balances.shape
        return positions(trades, self.terms, accounts - 1, assets - 1, self.house)

    def owing(self) -> type_of_rows:
        """All trades that are backed, reserved and claimed, and not yet settled; others: `clearing.unbacked`."""
        return joined([self.trades_today(), *self.clearing.owing()])

    def trades_today(self) -> type_of_rows:
        """The trades of today that no batch has taken up yet, oldest first."""
        if len(self.unsettled_trades) != 1:
            self.unsettled_trades = [joined([np.zeros(0, TRADE), *self.unsettled_trades])]
        return self.unsettled_trades[0]

    def digest(self) -> str:
        """SHA-256 of everything remembered but the sequence and time of the last command."""
        desk = self.path.desk
        content = hashlib.sha256()

        def add(*values: object) -> None:
            content.update(msgspec.json.encode(values) + b"\n")

        add("rules", self.rules)
        add("day", self.date, self.phase, self.session)
        for code, asset in self.currencies.items():
            add("cash", code, asset, self.cash_deposited[asset], self.cash_withdrawn[asset])
        add("interrupted", self.is_interrupted)
        add("halts", sorted(self.halts.items()))
        add("counters", int(desk.progress[0].next_trade_id), self.house)
        add("orders", int(desk.ladder.pool[0].next_order_id))
        held = desk.balances[:, : self.units.last_number + 1].tolist()  # its buckets, then what is unsettled
        for account in self.accounts:
            add("account", account)
            for asset, balance in enumerate(held[account.number]):
                if any(balance):
                    add("balance", asset, *balance)
        for unit in self.units:
            add("unit", unit)
        for number, blocks in self.serials.content():
            add("blocks", number, len(blocks))
            content.update(blocks.tobytes())
        add("days", self.days)
        for values in self.compliance.content():
            add(*values)
        add("locks", self.locks.next_id, [*self.locks])
        add("emissions", [*self.emissions.content()])
        for values in self.credits.content():
            add("credits", *values)
        for instrument in self.instruments:
            add("instrument", instrument, *(int(value) for value in desk.instruments[instrument.number]))
            for order in orders_of(desk.ladder, instrument.number):
                stands_at = price_at(desk.ladder.queues[order.queue], int(order.level))
                add("order", stands_at, *(int(order[name]) for name in _ORDER_FIELDS))
        for (account_number, client_order_id), row in self.client_orders:
            add("client order", account_number, client_order_id, row)
        for values in self.clearing.content():
            add("clearing", *values)
        add("trades", seal_of(self.trades_today()))
        return content.hexdigest()


_ORDER_FIELDS = (
    "order_id", "price_ticks", "shown", "hidden", "display", "fee_rest", "owner", "last_day", "side",
    "time_in_force", "self_trade", "terms",
)  # fmt: skip
