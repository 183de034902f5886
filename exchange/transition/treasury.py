"""Money between accounts: conversions (:mod:`settlement.conversions`) and rebates of fees (:mod:`exchange.rebates`)."""

from fractions import Fraction
from typing import assert_never

from exchange import events as happened
from exchange.commands import ConvertCash, ElectCurrency, PayFeeRebates, SetExchangeRate, TreasuryCommand
from exchange.instruments import money
from exchange.reasons import Reason, Refused
from exchange.rebates import has_rebates, rebates_of, still_to_settle
from exchange.state import Exchange
from exchange.transition.failing import may_spare, require_not_due
from exchange.transition.step import (
    Step,
    account_named,
    acting,
    currency_named,
    date_of,
    move_cash,
    require,
    require_right,
    require_unrestricted,
)
from registry import holdings
from registry.accounts import Account, Right
from settlement.conversions import Conversion, Election, Rate, converted
from settlement.cycle import Batch
from settlement.statements import CASH, Entry


def handle(step: Step, command: TreasuryCommand) -> happened.TreasuryEvent:
    match command:
        case SetExchangeRate():
            return set_exchange_rate(step, command)
        case ConvertCash():
            return convert_cash(step, command)
        case ElectCurrency():
            return elect_currency(step, command)
        case PayFeeRebates():
            return pay_fee_rebates(step, command)
        case _:
            assert_never(command)


# ---------------------------------------------------------------- rates and conversions


def set_exchange_rate(step: Step, command: SetExchangeRate) -> happened.ExchangeRateSet:
    exchange = step.exchange
    by = acting(exchange, command.by, Right.CLEAR)
    asset = currency_named(exchange, command.currency)
    day = date_of(exchange)
    require(Fraction(command.rate) > 0, Reason.INVALID_NUMBER, "a rate must be positive")
    require(asset != CASH, Reason.NOT_ELIGIBLE, f"rates are quoted in {exchange.market.currency}")

    exchange.clearing.conversions.set_rate(Rate(asset, command.rate, day, by.number, step.sequence))
    return happened.ExchangeRateSet(asset, command.rate, day)


def convert_cash(step: Step, command: ConvertCash) -> happened.CashConverted:
    exchange = step.exchange
    account, bank = account_named(exchange, command.account_id), account_named(exchange, command.bank)
    _require_rights(account, bank)
    gives, takes = (currency_named(exchange, code) for code in (command.from_currency, command.to_currency))
    conversion = _drawn_up(step, account, bank, gives, takes, command.amount)
    free = holdings.withdrawable(exchange.path.desk.balances[account.number, gives])
    enough = conversion.given <= free
    require(enough, Reason.INSUFFICIENT_CASH, f"{money(free)} of {account.account_id} is settled and available")
    require_not_due(exchange, account.number, gives, conversion.given)
    _require_bank_has(exchange, bank, conversion)

    exchange.path.desk.balances[account.number, gives].available -= conversion.given
    _carry_out(exchange, conversion, "available")
    return happened.CashConverted(conversion)


def elect_currency(step: Step, command: ElectCurrency) -> happened.CurrencyElected:
    exchange, elected = step.exchange, step.exchange.clearing.conversions.elected
    account = account_named(exchange, command.account_id)
    if command.currency is None:
        require_right(account, Right.MOVE)
        has_elected = account.number in elected
        require(has_elected, Reason.WRONG_STATE, f"{account.account_id} takes its proceeds as they come")

        del elected[account.number]
        return happened.CurrencyElected(account.number, None, 0)

    bank = account_named(exchange, command.bank)
    _require_rights(account, bank)
    asset = currency_named(exchange, command.currency)
    require(account != bank, Reason.NOT_ELIGIBLE, f"{bank.account_id} does not deal with itself")

    elected[account.number] = Election(asset, bank.number)
    return happened.CurrencyElected(account.number, asset, bank.number)


def convert_proceeds(step: Step, batch: Batch) -> list[happened.CurrencyLeg]:
    """What a batch that is delivered has brought in other currencies than elected, converted where it can be.

    By account, then currency. An account whose proceeds have been spent since they were a claim, or are needed for
    what is still to settle, converts what is left.
    """
    exchange, elected = step.exchange, step.exchange.clearing.conversions.elected
    if not elected or not batch.settled.size:
        return []
    net, legs = exchange.positions(batch.settled).net, []
    for number, election in sorted(elected.items()):
        for asset in sorted(set(exchange.currencies.values()) - {election.asset}):
            proceeds = int(net[number, asset])
            if proceeds > 0:
                legs.append(_leg(step, batch, number, election, asset, proceeds))
    return legs


def _leg(step: Step, batch: Batch, number: int, election: Election, asset: int, proceeds: int) -> happened.CurrencyLeg:
    exchange = step.exchange
    account, bank = exchange.accounts[number], exchange.accounts[election.bank]
    balance = exchange.path.desk.balances[number, asset]
    amount = min(proceeds, may_spare(exchange, number, asset))
    try:
        _require_rights(account, bank)
        conversion = _drawn_up(step, account, bank, asset, election.asset, amount, batch.number)
        _require_bank_has(exchange, bank, conversion)
    except Refused as refused:
        return happened.CurrencyLeg(number, asset, proceeds, None, refused.reason)

    waiting = int(balance.incoming)
    holdings.take_back(balance, amount)
    # What may be spent tomorrow may be spent tomorrow in any currency.
    _carry_out(exchange, conversion, "incoming" if balance.incoming < waiting else "available")
    return happened.CurrencyLeg(number, asset, amount, conversion)


def _require_rights(account: Account, bank: Account) -> None:
    require_right(account, Right.MOVE)
    require_right(bank, Right.PAY)


def _drawn_up(
    step: Step, account: Account, bank: Account, gives: int, takes: int, amount: int, batch: int = 0
) -> Conversion:
    """A conversion on paper, at the rates in force. Who is in default must not turn cash into what is not claimed."""
    require_unrestricted(step.exchange, account)
    exchange, conversions = step.exchange, step.exchange.clearing.conversions
    codes = {asset: code for code, asset in exchange.currencies.items()}
    require(account != bank, Reason.NOT_ELIGIBLE, f"{bank.account_id} does not deal with itself")
    require(gives != takes, Reason.NOT_ELIGIBLE, f"{codes[gives]} need not be converted into itself")
    rates = {asset: conversions.rate(asset) for asset in (gives, takes)}
    for asset, rate in rates.items():
        require(rate is not None, Reason.NO_RATE, f"nobody has set a rate for {codes[asset]}")
    gives_rate, takes_rate = str(rates[gives]), str(rates[takes])
    require(amount > 0, Reason.AMOUNT_NOT_POSITIVE, "an amount to convert must be positive")
    taken = converted(amount, gives_rate, takes_rate)
    require(taken > 0, Reason.AMOUNT_NOT_POSITIVE, f"{money(amount)} {codes[gives]} comes to nothing in {codes[takes]}")
    assert exchange.date is not None
    return Conversion(
        number=len(conversions.made) + 1,
        day=exchange.date,
        batch=batch,
        account=account.number,
        bank=bank.number,
        gives=gives,
        takes=takes,
        given=amount,
        taken=taken,
        gives_rate=gives_rate,
        takes_rate=takes_rate,
        sequence=step.sequence,
    )


def _require_bank_has(exchange: Exchange, bank: Account, conversion: Conversion) -> None:
    free = holdings.withdrawable(exchange.path.desk.balances[bank.number, conversion.takes])
    enough = conversion.taken <= free
    require(enough, Reason.INSUFFICIENT_CASH, f"{bank.account_id} has {money(free)} to give for it")


def _carry_out(exchange: Exchange, conversion: Conversion, bucket: str) -> None:
    """All but what the account gives, which has been taken from it; what it takes goes into a bucket."""
    balances = exchange.path.desk.balances
    balances[conversion.bank, conversion.gives].available += conversion.given
    balances[conversion.bank, conversion.takes].available -= conversion.taken
    balances[conversion.account, conversion.takes][bucket] += conversion.taken
    exchange.clearing.conversions.made.append(conversion)
    exchange.clearing.entries += [
        (account, Entry(asset, amount, "conversion", conversion.sequence))
        for account, asset, amount in conversion.entries()
    ]


# ---------------------------------------------------------------- rebates


def pay_fee_rebates(step: Step, command: PayFeeRebates) -> happened.FeeRebatesPaid:
    exchange, year = step.exchange, command.year
    acting(exchange, command.by, Right.CLEAR)
    is_over = date_of(exchange).year > year
    require(is_over, Reason.TOO_EARLY, f"the year {year} is not over")
    require(year not in exchange.clearing.rebates, Reason.REBATES_PAID, f"the rebates of {year} are paid")
    waits = still_to_settle(exchange, year)
    require(waits is None, Reason.WRONG_STATE, f"trade {waits} of {year} is still to settle")
    speaks = has_rebates(exchange.market, year)
    require(speaks, Reason.NO_BASIS, f"{exchange.market.name} pays back nothing of the fees of {year}")
    rebates = rebates_of(exchange, year, step.sequence)
    house = exchange.house
    for code, asset in exchange.currencies.items():
        due = sum(one.amount for one in rebates if one.asset == asset)
        free = holdings.withdrawable(exchange.path.desk.balances[house, asset])
        require(due <= free, Reason.INSUFFICIENT_CASH, f"{money(due)} {code} is due, the house has {money(free)}")

    exchange.clearing.rebates[year] = rebates
    for one in rebates:
        move_cash(step, house, one.account, one.asset, one.amount, "fee_rebate")
    return happened.FeeRebatesPaid(year, rebates)
