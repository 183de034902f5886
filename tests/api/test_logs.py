"""The log: one line an event, fields that machines read, the request's name in each, and nothing at all when off."""

import json
import logging
from typing import get_args

import pytest

from api import watching
from api.access.guard import Denial
from api.logs import REQUEST_ID, JsonLines, TextLines, configure, fields_of
from exchange.events import Event
from tests.api.conftest import running_desk

pytestmark = pytest.mark.anyio


def record(message="day settled", level=logging.INFO, exc_info=None, **fields):
    logger = logging.getLogger("carbonex.test")
    return logger.makeRecord(logger.name, level, "file", 1, message, (), exc_info, extra=fields)


def failure():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        return (type(error), error, error.__traceback__)


def test_a_line_of_json_is_one_object_whatever_is_said():
    line = JsonLines().format(record('a\n"b"', sequence=7, account_id="E-001", odd=object))
    said = json.loads(line)
    assert "\n" not in line
    assert (said["event"], said["level"], said["logger"]) == ('a\n"b"', "info", "carbonex.test")
    assert (said["sequence"], said["account_id"], said["odd"]) == (7, "E-001", "<class 'object'>")
    assert said["at"].endswith("Z")


def test_a_field_does_not_take_the_place_of_what_every_line_has():
    assert json.loads(JsonLines().format(record("told", event="other", at=0)))["event"] == "told"


def test_a_line_of_text_quotes_what_has_spaces():
    line = TextLines().format(record(sequence=7, detail='no "cash" left', empty=""))
    assert line.endswith(r'carbonex.test: day settled sequence=7 detail="no \"cash\" left" empty=""')


def test_an_exception_is_told_in_both_forms():
    assert "ZeroDivisionError" in json.loads(JsonLines().format(record(exc_info=failure())))["exception"]
    assert "ZeroDivisionError" in TextLines().format(record(exc_info=failure()))


def test_the_name_of_the_request_is_in_its_lines():
    token = REQUEST_ID.set("r-1")
    assert fields_of(record()) == {"request_id": "r-1"}
    assert fields_of(record(request_id="r-2")) == {"request_id": "r-2"}
    REQUEST_ID.reset(token)
    assert fields_of(record()) == {}


def test_lines_go_to_standard_error_from_a_level_on(capsys):
    root, own = logging.getLogger(), logging.getLogger("carbonex")
    before = root.handlers[:], root.level, own.level
    try:
        configure("json", "info")
        logging.getLogger("carbonex.test").debug("unheard")
        logging.getLogger("carbonex.test").info("heard", extra={"sequence": 1})
        logging.getLogger("others").info("unheard")
        [line] = capsys.readouterr().err.splitlines()
        assert json.loads(line)["event"] == "heard"
    finally:
        root.handlers[:], root.level, own.level = before[0], before[1], before[2]
        logging.getLogger("carbonex.test").manager._clear_cache()


def test_no_event_and_no_denial_has_a_field_that_a_log_record_has_taken():
    taken = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    for kind in get_args(Event):
        assert (set(kind.__struct_fields__) - {"name"}) & taken == set(), kind
    assert set(Denial._fields) & taken == set()


# ---------------------------------------------------------------- what is logged


@pytest.fixture
def heard(caplog):
    caplog.set_level(logging.DEBUG, "carbonex")

    def lines(event, logger="carbonex.exchange"):
        return [one for one in caplog.records if one.name == logger and one.getMessage() == event]

    return lines


async def test_the_steps_of_the_day_are_logged_with_their_sequence_and_who_asked(heard):
    async with running_desk() as desk:
        await desk.enrol()
        await desk.http.post("/v1/trading-days", json={"date": "2026-01-05"}, headers={"X-Request-Id": "dawn"})
        await desk.client.set_phase("continuous")
        await desk.sell("41.00", 10)
        await desk.buy("41.00", 10)
        await desk.client.set_phase("closed")
        await desk.client.settle()
        [opened] = heard("day opened")
        assert (opened.levelname, opened.request_id, str(opened.date)) == ("INFO", "dawn", "2026-01-05")
        assert 0 < opened.sequence < heard("session closed")[0].sequence <= desk.gateway.exchange.sequence
        [settled] = heard("day settled")
        assert (settled.levelname, settled.batch) == ("INFO", 1)
        assert {one.levelname for one in heard("account opened")} == {"DEBUG"}
        assert [one.account_id for one in heard("account opened")][-2:] == ["S", "B"]
    assert not heard("a group could not be noted")


async def test_what_is_refused_is_logged_with_its_code(heard):
    async with running_desk() as desk:
        await desk.enrol()
        refused = await desk.http.put("/v1/market/phase", json={"phase": "closed"}, headers={"X-Request-Id": "early"})
        [line] = heard("command refused")
        assert (line.code, line.levelname, line.request_id) == (refused.json()["code"], "INFO", "early")
        await desk.open()
        await desk.http.post(
            "/v1/orders", json={"account_id": "S", "symbol": "HBEA-2025", "side": "sell", "price": "40", "quantity": 0}
        )
        [line] = heard("order refused")
        assert (line.code, line.account_id, line.levelname) == ("quantity_not_positive", "S", "DEBUG")
        assert line.sequence == desk.gateway.exchange.sequence
        batch = heard("batch")[-1]
        assert (batch.commands, batch.refused, batch.first_sequence) == (1, 1, line.sequence)
        [request] = [one for one in heard("request", "carbonex.requests") if one.route == "/v1/orders"]
        assert (request.method, request.status) == ("POST", 422)


async def test_nothing_is_put_together_while_nobody_wants_it(caplog, monkeypatch):
    caplog.set_level(logging.WARNING, "carbonex")
    monkeypatch.setattr(watching, "in_words", lambda event: 1 / 0)
    monkeypatch.setattr(watching, "told", lambda rows: 1 / 0)
    async with running_desk() as desk:
        await desk.enrol()
        await desk.open()
        assert (await desk.sell("41.00", 10)).status == "open"
    assert caplog.records == []


async def test_a_fault_in_the_log_does_not_stop_the_exchange(heard, monkeypatch):
    monkeypatch.setattr(watching, "in_words", lambda event: 1 / 0)
    async with running_desk() as desk:
        await desk.enrol()
        assert (await desk.http.get("/health/ready")).status_code == 200
    assert heard("a group could not be noted")
