"""Channels that tell how something stands: the newest state whenever it has changed, looked at once for each tick.

`seq` is the number of the last command before, the one that all reads of the API carry; states that came and went
between two looks were never told to anybody.
"""

from typing import Any

from api.gateway import Gateway
from api.stream import messages
from api.stream.channels import Channel, Key
from api.stream.messages import Told
from api.timers import iso
from api.views import account_view, indicative_auction
from exchange.instruments import Instrument
from exchange.sessions import CalendarError, Phase
from registry.accounts import Account


class StateChannel(Channel):
    """Tells `state()` when it is another than it was."""

    shape: type[Told]

    def __init__(self, gateway: Gateway, key: Key, session_id: str) -> None:
        super().__init__(gateway, key, session_id, gateway.exchange.sequence)
        self._looked_at: Any = None
        self._told: dict[str, Any] | None = None

    def snapshot(self) -> list[str]:
        assert self._told is not None, "a channel catches up before it shows how things stand"
        return [self.written(self.shape, self.last_seq, self.last_seq, **self._told)]

    def _listen(self) -> None:
        seen = self.signs()
        if seen == self._looked_at:
            return
        self._looked_at = seen
        state = self.state()
        if self._told is None:
            self.last_seq = self.floor = self.gateway.exchange.sequence
        elif state != self._told:
            self.tell(self.shape, self.gateway.exchange.sequence, **state)
        self._told = state

    def signs(self) -> Any:
        """Something cheap that changes whenever the state may have."""
        return self.gateway.exchange.sequence

    def state(self) -> dict[str, Any]:
        """What the messages say."""
        raise NotImplementedError


class StatusChannel(StateChannel):
    """Where an instrument stands in its day, why, until when and what ends it."""

    shape = messages.StatusTold

    def __init__(self, gateway: Gateway, key: Key, session_id: str, listed: Instrument) -> None:
        self.listed = listed
        super().__init__(gateway, key, session_id)

    def signs(self) -> Any:
        return self.gateway.exchange.sequence, self.gateway.timers.running

    def state(self) -> dict[str, Any]:
        exchange = self.gateway.exchange
        reason = exchange.halts.get(self.listed.number)
        try:
            step = self.gateway.timers.due()
        except CalendarError:  # the calendar ends here, and with it what is known
            step = None
        until, ends = None, type(step.command).__name__ if step else None
        if reason is not None:
            ends = "ResumeTrading"
        elif step:
            until = iso(step.at_ns, exchange.market.timezone)
        return {
            "phase": _phase(self.gateway, self.listed).label,
            "reason": reason,
            "date": exchange.date.isoformat() if exchange.date else None,
            "session": exchange.session,
            "until": until,
            "exit_condition": ends,
        }


class AuctionChannel(StateChannel):
    """What the call auction of an instrument would come to now."""

    shape = messages.AuctionTold

    def __init__(self, gateway: Gateway, key: Key, session_id: str, listed: Instrument) -> None:
        self.listed = listed
        super().__init__(gateway, key, session_id)

    def signs(self) -> Any:
        phase = _phase(self.gateway, self.listed)
        return phase, self.gateway.history.events.size if phase == Phase.CALL else 0

    def state(self) -> dict[str, Any]:
        phase = _phase(self.gateway, self.listed)
        if phase != Phase.CALL:
            return {"phase": phase.label, "price": None, "volume": 0, "imbalance": 0}
        return {"phase": phase.label} | indicative_auction(self.gateway, self.listed).model_dump(exclude={"symbol"})


class BalancesChannel(StateChannel):
    """What an account holds."""

    shape = messages.BalancesTold

    def __init__(self, gateway: Gateway, key: Key, session_id: str, account: Account) -> None:
        self.account = account
        super().__init__(gateway, key, session_id)

    def signs(self) -> Any:
        exchange = self.gateway.exchange
        return len(exchange.asset_names), exchange.path.desk.balances[self.account.number].tobytes()

    def state(self) -> dict[str, Any]:
        return {"holdings": account_view(self.gateway, self.account).holdings}


class SettlementChannel(StateChannel):
    """How far the last batch has come, and what of an account is in it."""

    shape = messages.SettlementTold

    def __init__(self, gateway: Gateway, key: Key, session_id: str, account: Account) -> None:
        self.account = account
        super().__init__(gateway, key, session_id)

    def signs(self) -> Any:
        batches = self.gateway.exchange.clearing.batches
        return (len(batches), batches[-1].stage, len(batches[-1].failed)) if batches else ()

    def state(self) -> dict[str, Any]:
        batches = self.gateway.exchange.clearing.batches
        if not batches:
            return {"batch": None, "date": None, "stage": None, "trade_ids": [], "failed": []}
        batch, number = batches[-1], self.account.number
        mine = batch.trades[(batch.trades["buyer"] == number) | (batch.trades["seller"] == number)]
        trade_ids = sorted(mine["trade_id"].tolist())
        return {
            "batch": batch.number,
            "date": batch.day.isoformat(),
            "stage": batch.stage,
            "trade_ids": trade_ids,
            "failed": [one for one in trade_ids if one in batch.failed],
        }


def _phase(gateway: Gateway, listed: Instrument) -> Phase:
    return Phase(int(gateway.exchange.path.desk.instruments[listed.number].phase))
