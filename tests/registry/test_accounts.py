"""Who takes part, and what is held."""

import pytest

from registry.accounts import Accounts, ParticipantClass
from registry.units import Species, Units


def test_accounts_are_numbered_from_one_in_the_order_of_opening() -> None:
    accounts = Accounts()
    plant = accounts.open("PLANT", "Power plant", ParticipantClass.COVERED_ENTERPRISE)
    fund = accounts.open("FUND", "Carbon fund", ParticipantClass.INSTITUTION)
    assert (plant.number, fund.number) == (1, 2)
    assert accounts[2] is accounts.by_id["FUND"] is fund
    assert list(accounts) == [plant, fund]
    assert len(accounts) == 2


def test_an_account_id_is_given_once() -> None:
    accounts = Accounts()
    accounts.open("PLANT", "Power plant", ParticipantClass.COVERED_ENTERPRISE)
    with pytest.raises(KeyError, match="PLANT"):
        accounts.open("PLANT", "Another plant", ParticipantClass.INDIVIDUAL)
    assert len(accounts) == 1
    assert accounts[1].name == "Power plant"


@pytest.mark.parametrize(
    ("participant_class", "may_trade"),
    [
        (ParticipantClass.COVERED_ENTERPRISE, True),
        (ParticipantClass.INSTITUTION, True),
        (ParticipantClass.INDIVIDUAL, True),
        (ParticipantClass.MARKET_OPERATOR, False),
        (ParticipantClass.REGISTRY_AUTHORITY, False),
        (ParticipantClass.VERIFIER, False),
        (ParticipantClass.CLEARING_BANK, False),
    ],
)
def test_those_who_keep_or_verify_the_accounts_may_not_trade(
    participant_class: ParticipantClass, may_trade: bool
) -> None:
    assert participant_class.may_trade is may_trade


def test_accounts_of_one_beneficial_owner_are_a_group_that_bears_the_number_of_the_first() -> None:
    accounts = Accounts()
    owners = ("", "Li", "Wu", "Li", "", "Li", "Wu", "li")
    for number, owner in enumerate(owners, 1):
        accounts.open(f"account {number}", "", ParticipantClass.INSTITUTION, owner)
    assert [account.beneficial_owner for account in accounts] == list(owners)
    assert [account.group for account in accounts] == [1, 2, 3, 2, 5, 2, 3, 8]


def test_an_account_that_is_not_opened_founds_no_group() -> None:
    accounts = Accounts()
    accounts.open("PLANT", "", ParticipantClass.INSTITUTION)
    with pytest.raises(KeyError):
        accounts.open("PLANT", "", ParticipantClass.INSTITUTION, "Li")
    assert accounts.open("FUND", "", ParticipantClass.INSTITUTION, "Li").group == 2


def test_the_number_zero_is_nobody_and_cash() -> None:
    with pytest.raises(IndexError, match="account 0 is nobody"):
        Accounts()[0]
    with pytest.raises(IndexError, match="asset 0 is cash"):
        Units()[0]


def test_units_are_numbered_from_one_and_a_code_is_given_once() -> None:
    units = Units()
    allowance = units.register("HBEA-2025", Species.ALLOWANCE, 2025)
    credit = units.register("HBCER", Species.CREDIT, 2024)
    assert (allowance.number, credit.number) == (1, 2)
    assert units[2] is units.by_code["HBCER"] is credit
    with pytest.raises(KeyError, match="HBCER"):
        units.register("HBCER", Species.CREDIT, 2025)
    assert list(units) == [allowance, credit]
    assert len(units) == 2
