"""What can have happened. Past participles; amounts in fen, quantities in tCO2e, prices in ticks.

Orders, trades and cancellations are rows (:class:`exchange.rows.EventKind`); the events of all other commands are
structs, a room of them for each part of the exchange.
"""

from exchange.events.allocation import *
from exchange.events.base import *
from exchange.events.compliance import *
from exchange.events.corrections import *
from exchange.events.credits import *
from exchange.events.defaults import *
from exchange.events.emissions import *
from exchange.events.market import *
from exchange.events.money import *
from exchange.events.registry import *
from exchange.events.settlement import *
from exchange.events.treasury import *

Event = (
    CommandRefused
    | MarketEvent
    | RegistryEvent
    | AllocationEvent
    | ComplianceEvent
    | EmissionsEvent
    | CreditsEvent
    | SettlementEvent
    | MoneyEvent
    | CorrectionEvent
    | DefaultsEvent
    | TreasuryEvent
)
