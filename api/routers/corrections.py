"""Trades that were wrong: busts, corrections, and the list of both. Lists are put right as a whole or not at all."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import views
from api.gateway import Gateway, TheGateway
from api.paging import ThePage
from api.problems import RESPONSES
from api.schemas import CorrectionView, NewBusts, NewCorrections, TradesPutRight
from exchange.commands import BustTrades, CorrectTrades, NewTerms
from exchange.events import TradesBusted, TradesCorrected
from exchange.instruments import ticks_of

router = APIRouter(prefix="/v1/trades", tags=["operator"], responses=RESPONSES)


@router.post("/busts", status_code=201)
async def bust_trades(new: NewBusts, gateway: TheGateway) -> TradesPutRight:
    """Undo trades, settled or not: what they moved or promised goes back, if all of it can (FIX ExecType H).

    `wrong_state` between the fixing of a batch and its delivery; `insufficient_cash`, `insufficient_units` if somebody
    has spent or sold on what would go back. The trades stay in the list of trades with the status `busted`.
    """
    return await _put_right(gateway, BustTrades(new.by, new.trade_ids, new.reason))


@router.post("/corrections", status_code=201)
async def correct_trades(new: NewCorrections, gateway: TheGateway) -> TradesPutRight:
    """Give trades, settled or not, another price or quantity, if all of them can have it (FIX ExecType G).

    Fees are worked out again at the rates of the trade's day. The price may lie outside the band.
    """
    tick = gateway.exchange.market.tick_size
    asked = [
        NewTerms(one.trade_id, None if one.price is None else ticks_of(one.price, tick), one.quantity)
        for one in new.corrections
    ]
    return await _put_right(gateway, CorrectTrades(new.by, asked, new.reason))


@router.get("/corrections")
async def corrections(
    gateway: TheGateway, page: ThePage, trade_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None
) -> list[CorrectionView]:
    """All trades that were put right, oldest first; or what was put right of one trade."""
    made = gateway.exchange.clearing.corrections
    found = page.of_growing(made if trade_id is None else made.of(trade_id))
    return [views.correction_view(gateway, one) for one in found]


async def _put_right(gateway: Gateway, command: BustTrades | CorrectTrades) -> TradesPutRight:
    sequence, event = await gateway.inbox.ask_numbered(command)
    assert isinstance(event, TradesBusted | TradesCorrected)
    instruments = gateway.exchange.instruments
    return TradesPutRight(
        sequence=sequence,
        corrections=[views.correction_view(gateway, one) for one in event.corrections],
        closes={
            instruments[number].symbol: instruments[number].price(ticks) for number, ticks in event.closes_ticks.items()
        },
    )
