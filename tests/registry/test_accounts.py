"""Who takes part, and what is held."""

import pytest

from registry.accounts import NEXT_STATUS, RIGHTS, Accounts, AccountStatus, ParticipantClass, Right
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
    assert Accounts().open("A", "", participant_class).may(Right.TRADE) is may_trade


def test_the_life_of_an_account_goes_only_where_the_table_leads() -> None:
    for start in AccountStatus:
        for end in AccountStatus:
            accounts = Accounts()
            account = accounts.open("A", "", ParticipantClass.INSTITUTION, status=start)
            if end in NEXT_STATUS[start]:
                assert accounts.change_status(account, end, "so decided").status == accounts[1].status == end
                assert accounts.by_id["A"].status_reason == "so decided"
            else:
                with pytest.raises(ValueError, match=f"{start} does not become {end}"):
                    accounts.change_status(account, end, "")
                assert accounts[1] is account


def test_every_status_but_the_last_can_be_left_and_every_one_but_the_first_be_reached() -> None:
    reached = set().union(*NEXT_STATUS.values())
    assert reached == set(AccountStatus) - {AccountStatus.PENDING}
    assert [status for status in AccountStatus if not NEXT_STATUS[status]] == [AccountStatus.CLOSED]


@pytest.mark.parametrize(
    ("status", "rights"),
    [
        (AccountStatus.PENDING, set()),
        (AccountStatus.ACTIVE, RIGHTS[ParticipantClass.COVERED_ENTERPRISE]),
        (AccountStatus.RESTRICTED, {Right.HOLD, Right.REPORT, Right.SURRENDER}),
        (AccountStatus.FROZEN, {Right.HOLD, Right.REPORT}),
        (AccountStatus.CLOSED, set()),
    ],
)
def test_a_status_leaves_an_enterprise_these_rights(status: AccountStatus, rights: set[Right]) -> None:
    account = Accounts().open("A", "", ParticipantClass.COVERED_ENTERPRISE, status=status)
    assert {right for right in Right if account.may(right)} == rights


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


def test_a_number_passed_over_is_no_unit() -> None:
    units = Units()
    first = units.register("HBEA-2025", Species.ALLOWANCE, 2025)
    assert units.pass_over() == units.last_number == 2
    second = units.register("HBEA-2026", Species.ALLOWANCE, 2026)
    assert second.number == units.last_number == 3
    assert list(units) == [first, second]
    assert len(units) == 2
    with pytest.raises(IndexError, match="asset 2 is cash"):
        units[2]


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
