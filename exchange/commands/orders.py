"""Builders of the rows by which orders come, change and go: they come by the million."""

from datetime import date
from enum import StrEnum

import msgspec

from exchange.commands.base import Command, row_of
from exchange.rows import CommandKind, InBatch
from matching.orders import EITHER_SIDE, OrderType, SelfTradePrevention, Side, TimeInForce


class OnError(StrEnum):
    """What becomes of a batch when one of its orders is refused."""

    CONTINUE = "continue"  # the others are placed
    STOP = "stop"  # those behind it are not tried
    ROLLBACK = "rollback"  # nor those, and what is left of those before it is cancelled; what has traded has


class OrderBatch(msgspec.Struct, frozen=True):
    """Orders that are placed together, one after another and nothing between them."""

    packed: bytes  # their COMMAND rows; sequence, time and batch are still 0
    details: list[bytes]  # their client order ids, empty where they have none
    on_error: OnError = OnError.STOP


UNDO_BATCH = row_of(CommandKind.CANCEL_ORDERS, side=EITHER_SIDE, batch=InBatch.NEXT)
"""The row behind a batch that is rolled back: takes out what rests of its orders, if one of them was refused."""


def place_order(
    account: int,
    instrument: int,
    side: Side,
    price_ticks: int,
    quantity: int,
    time_in_force: TimeInForce = TimeInForce.DAY,
    client_order_id: str = "",
    *,
    order_type: OrderType = OrderType.LIMIT,
    stop_ticks: int = 0,
    display_quantity: int = 0,
    last_day: date | None = None,
    post_only: bool = False,
    self_trade: SelfTradePrevention = SelfTradePrevention.BY_RULES,
) -> Command:
    """A new order. `price_ticks` is 0 of a market or stop order; `last_day` belongs to GTD."""
    row = row_of(
        CommandKind.PLACE_ORDER,
        account=account,
        instrument=instrument,
        side=side,
        price_ticks=price_ticks,
        quantity=quantity,
        time_in_force=time_in_force,
        order_type=order_type,
        stop_ticks=stop_ticks,
        display_quantity=display_quantity,
        last_day=day_number(last_day) if last_day else 0,
        post_only=post_only,
        self_trade=self_trade,
    )
    return Command(row, client_order_id.encode())


def amend_order(account: int, order_id: int, price_ticks: int, leaves: int, stop_ticks: int = 0) -> Command:
    """Give an order another price or quantity; a limit or stop price of 0 stays as it is."""
    return Command(
        row_of(
            CommandKind.AMEND_ORDER,
            account=account,
            order_id=order_id,
            price_ticks=price_ticks,
            quantity=leaves,
            stop_ticks=stop_ticks,
        )
    )


def cancel_order(account: int, order_id: int) -> Command:
    """Take an order out of the book."""
    return Command(row_of(CommandKind.CANCEL_ORDER, account=account, order_id=order_id))


def cancel_orders(account: int, instrument: int = 0, side: int = EITHER_SIDE) -> Command:
    """Take all orders of an account out of the books, or those of an instrument or side; account 0: everybody's."""
    return Command(row_of(CommandKind.CANCEL_ORDERS, account=account, instrument=instrument, side=side))


def day_number(day: date) -> int:
    """A date as rows carry it: days since 1970-01-01."""
    return day.toordinal() - date(1970, 1, 1).toordinal()
