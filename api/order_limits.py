"""Limits of a key on the orders that it places: against fingers that slip, and against robots that run away."""

from api.access.guard import Access, Caller
from api.gateway import Gateway
from api.problems import Problem
from exchange.instruments import Instrument, money
from matching.ladder import is_resting
from registry.accounts import Account


def require_alive(access: Access, account: Account) -> None:
    """Problem 403 while the kill switch of an account is on."""
    if access.keys is not None and account.account_id in access.keys.killed:
        raise Problem(403, "kill_switch_on", f"The kill switch of {account.account_id} is on: it places no orders.")


def require_within(
    caller: Caller,
    gateway: Gateway,
    account: Account,
    listed: Instrument,
    price_ticks: int,
    quantity: int,
    opens: bool,
) -> None:
    """Problem 403 if an order is larger than the key's limits allow, or one more than they do.

    An order without a price counts with the highest that the band allows, or the last close where there is no band.
    """
    if caller.key is None:
        return
    limits = caller.key.limits
    if limits.order_quantity is not None and quantity > limits.order_quantity:
        raise Problem(403, "order_too_large", f"The key places orders of {limits.order_quantity} t at most.")
    if limits.order_notional is not None:
        market = gateway.exchange.market
        notional = (price_ticks or _highest(gateway, listed)) * quantity * market.fen_per_tick
        if notional > limits.order_notional:
            said = f"The order comes to {money(notional)}; the key places up to {money(limits.order_notional)}."
            raise Problem(403, "order_too_large", said)
    if opens:
        require_room(caller, gateway, account, 1)


def require_room(caller: Caller, gateway: Gateway, account: Account, more: int) -> None:
    """Problem 403 if the key may not have so many more orders open."""
    most = caller.key.limits.open_orders if caller.key else None
    if most is None:
        return
    ladder = gateway.exchange.path.desk.ladder
    resting = sum(is_resting(ladder, one) for one in gateway.history.orders_of(account.number))
    if resting + more > most:
        raise Problem(403, "too_many_open_orders", f"{resting} orders of {account.account_id} are open.")


def _highest(gateway: Gateway, listed: Instrument) -> int:
    day = gateway.exchange.date
    band = gateway.exchange.market.band_ticks(day, listed.close_ticks) if day else None
    return band[1] if band else listed.close_ticks
