"""`carbonex kill-test` in small; and that its audit finds what it is there to find."""

import pytest
from rich.console import Console

from simulation.reliability import Unsound, kills
from simulation.reliability.audit import Found, Log, audit
from simulation.reliability.clients import names_of, terms

pytestmark = pytest.mark.thorough

KILLS = 20


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    return folder, kills.run(folder, KILLS, 2, 2026, Console(quiet=True))


def test_a_killed_exchange_has_all_that_it_acknowledged(killed):
    _, found = killed
    assert found.kills == KILLS and found.last.acknowledged > 20 * KILLS and found.last.orders > 100
    assert found.repeated > 10 and found.finished > 0 and found.restarts[-1].commands > 100


@pytest.fixture
def books(killed):
    """The journal, and the logs that were kept of it."""
    folder, _ = killed
    logs = [Log(account, folder / f"{account}.log") for account in ("K0", "K1")]
    for log in logs:
        log.read()
    return logs, Found(folder / "exchange.journal")


def an_order(logs, found):
    """A client order id that was acknowledged and accepted, with the request that brought it."""
    return next(
        (sent, name)
        for log in logs
        for sent in log.sent.values()
        if sent.kind == "order" and log.is_acknowledged(sent)
        for name in sent.names
        if found.orders[name][0].sequence in found.accepted
    )


def lost(logs, found):
    _, name = an_order(logs, found)
    del found.orders[name]
    return f"order {name} was acknowledged and is in the journal 0 times"


def doubled(logs, found):
    _, name = an_order(logs, found)
    found.orders[name] *= 2
    return f"order {name} is in the journal 2 times"


def changed(logs, found):
    _, name = an_order(logs, found)
    found.orders[name] = [found.orders[name][0]._replace(quantity=999)]
    return f"order {name} was sent as"


def renumbered(logs, found):
    _, name = an_order(logs, found)
    found.accepted[found.orders[name][0].sequence] += 1
    return f"order {name} was told to be number"


def never_sent(logs, found):
    found.orders["K0-none"] = [next(iter(found.orders.values()))[0]]
    return "1 orders in the journal were never sent"


def half_a_batch(logs, found):
    log, sent = next((log, one) for log in logs for one in log.sent.values() if one.kind == "batch")
    log.told.pop(sent.number, None)
    rows = next(iter(found.orders.values()))
    for name in names_of(sent.account, sent.number, sent.kind, sent.target):
        found.orders.setdefault(name, [rows[0]._replace(**terms(name)._asdict())])
    del found.orders[sent.names[0]]
    return f"batch {sent.account}-{sent.number} was not answered"


def turned_away_and_done(logs, found):
    sent, name = an_order(logs, found)
    log = next(one for one in logs if one.account == sent.account)
    log.told[sent.number] = log.told[sent.number]._replace(status=503, retry_after="1")
    return f"order {name} was turned away and is in the journal"


def a_deposit_twice(logs, found):
    sent = next(one for log in logs for one in log.sent.values() if one.kind == "deposit" and log.is_acknowledged(one))
    found.deposits[sent.account, sent.number + 1] += 1
    return f"deposit {sent.account}-{sent.number} was acknowledged and is in the journal 2 times"


@pytest.mark.parametrize(
    "fault", [lost, doubled, changed, renumbered, never_sent, half_a_batch, turned_away_and_done, a_deposit_twice]
)
def test_the_audit_finds(books, fault):
    logs, found = books
    said = fault(logs, found)
    with pytest.raises(Unsound) as raised:
        audit(logs, found)
    assert said in str(raised.value)


def test_the_audit_finds_nothing_in_sound_books(killed, books):
    """Resent requests were answered to the auditor, not to the clients, whose logs have no answer: still sound."""
    logs, found = books
    assert audit(logs, found).orders > 100
