"""The start and the end of a real process: who is answered meanwhile, what is kept, and with which code it ends."""

import asyncio
import ctypes
import json
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.client import AsyncClient
from exchange.serve_cli import EndingSignal
from tests.system.server import Server
from tests.system.test_crash import enrol

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def order_of(name, count):
    side, price = ("buy", "39.00") if count % 2 else ("sell", "41.00")
    return {
        "account_id": "B" if count % 2 else "S", "symbol": "HBEA-2025", "side": side, "price": price, "quantity": 1,
        "client_order_id": f"{name}-{count}",
    }  # fmt: skip


async def post(url, name, answers):
    """Place orders one after another until nobody takes them any more; note each answer."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        for count in range(100_000):
            order = order_of(name, count)
            try:
                answer = await http.post("/v1/orders", json=order)
            except httpx.TransportError:
                return
            answers.append((order["client_order_id"], answer.status_code, answer.json(), answer.headers))
            if answer.status_code == 503:
                return


async def pipeline(url, name, answers):
    """Send orders over a socket without waiting; note each answer, and how the socket ended."""
    async with connect(f"{url.replace('http', 'ws')}/v1/stream", max_size=None, ping_interval=None) as stream:
        await stream.send(json.dumps({"op": "subscribe", "channel": "trades", "symbol": "HBEA-2025"}))

        async def send():
            for count in range(100_000):
                await stream.send(json.dumps({"op": "place", "id": f"{name}-{count}"} | order_of(name, count)))
                if count % 20 == 0:
                    await asyncio.sleep(0.005)

        sends, heard = asyncio.create_task(send()), []
        try:
            async for frame in stream:
                heard += json.loads(frame)
        except ConnectionClosed:
            pass
        sends.cancel()
        await asyncio.gather(sends, return_exceptions=True)
        answers += [(one["id"], one["status"], one, None) for one in heard if one.get("op") == "place"]
        return heard, stream.close_code, stream.close_reason


async def test_a_signal_ends_a_burst_in_good_order(tmp_path):
    journal, posted, piped = tmp_path / "exchange.journal", [], []
    with Server(journal, "--shutdown-seconds", "20", "--log-level", "info", "--log-format", "json") as server:
        async with AsyncClient(server.url) as client:
            await enrol(client)
        posts = [asyncio.create_task(post(server.url, f"h{number}", posted)) for number in range(6)]
        pipes = [asyncio.create_task(pipeline(server.url, f"w{number}", piped)) for number in range(2)]
        while len(posted) < 150:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        ends = await asyncio.gather(*pipes)
        await asyncio.gather(*posts)
        status = await asyncio.to_thread(server.process.wait, 30)
        assert (status, time.monotonic() - began < 20) == (0, True)
    assert "stopped; the journal holds everything" in server.output
    logged = [json.loads(line)["event"] for line in server.output.splitlines() if line.startswith("{")]
    assert {"start", "stopping", "stop"} <= set(logged) and "cut off" not in logged

    for heard, code, reason in ends:
        *_, beat, error = heard
        assert (code, reason) == (1001, f"stopping {error['last_seq']}")
        assert (beat["type"], error["type"], error["code"]) == ("heartbeat", "error", "stopping")
        assert [one["channel"] for one in beat["channels"]] == ["trades"]
        told = [one["body"]["sequence"] for one in heard if one["type"] == "answer"]
        assert told and max(told) <= error["last_seq"]
    refused = [answer for answer in posted if answer[1] != 201]
    assert {(status, body["code"], headers["retry-after"]) for _, status, body, headers in refused} <= {
        (503, "stopping", "5")
    }
    acknowledged = {name: body for name, status, body, _ in posted if status == 201}
    acknowledged |= {name: one["body"] for name, status, one, _ in piped if status == 201}
    names = [name for name, *_ in posted + piped]
    assert len(names) == len(set(names)), "an order was answered twice"

    with Server(journal) as server:
        async with AsyncClient(server.url) as client:
            found = {one.client_order_id: one for account in "SB" for one in await client.orders(account)}
    for name, body in acknowledged.items():
        assert (found[name].order_id, found[name].sequence) == (body["order_id"], body["sequence"])
    assert not {name for name, status, *_ in posted + piped if status != 201} & set(found)
    # What has happened and was not answered can only be what was on its way when the connection ended.
    assert len(set(found) - set(acknowledged)) <= 6


def unfinished_request(server):
    """A connection whose request never comes to its end."""
    made = socket.create_connection(("127.0.0.1", server.port))
    head = b"POST /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    made.sendall(head + b"{")
    while "carbonex_requests_under_way 2.0" not in httpx.get(f"{server.url}/metrics").text:  # that one and this one
        time.sleep(0.01)
    return made


def test_the_end_does_not_wait_longer_than_it_was_told(tmp_path):
    with Server(tmp_path / "exchange.journal", "--shutdown-seconds", "6") as server, unfinished_request(server):
        began = time.monotonic()
        server.process.terminate()
        time.sleep(0.5)
        late = httpx.get(f"{server.url}/v1/market")
        assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (503, "stopping", "5")
        assert httpx.get(f"{server.url}/health/ready").json()["code"] == "stopping"
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert (server.process.wait(20), 4 <= time.monotonic() - began < 8) == (0, True)
    assert "cut off requests=1 streams=0" in server.output


def test_a_second_signal_ends_it_at_once(tmp_path):
    with Server(tmp_path / "exchange.journal", "--shutdown-seconds", "60") as server, unfinished_request(server):
        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        server.process.terminate()
        assert server.process.wait(2) == 128 + signal.SIGTERM
    with Server(tmp_path / "exchange.journal"):  # nobody holds the journal
        pass


def test_the_port_answers_from_the_start_and_nobody_is_turned_away(tmp_path):
    server = Server(tmp_path / "exchange.journal")
    server.process = subprocess.Popen(server.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        heard = []
        deadline = time.monotonic() + 100
        while not heard or heard[-1][1] != 200:
            assert time.monotonic() < deadline
            try:
                answers = [httpx.get(f"{server.url}/health/{name}", timeout=30) for name in ("live", "ready")]
            except httpx.TransportError:
                assert not heard, "the port was closed again"
                time.sleep(0.02)
                continue
            heard.append(tuple(answer.status_code for answer in answers))
            if answers[1].status_code == 503:
                assert answers[1].json()["code"] == "starting" and answers[1].headers["retry-after"] == "1"
        assert set(heard) == {(200, 503), (200, 200)}
    finally:
        server.process.terminate()
        server.output = server.process.communicate()[0]
    assert server.process.returncode == 0


def test_a_signal_during_the_start_ends_it_well(tmp_path):
    server = Server(tmp_path / "exchange.journal")
    with subprocess.Popen(server.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            while True:
                try:
                    if httpx.get(f"{server.url}/health/live").json()["status"] == "starting":
                        break
                except httpx.TransportError:
                    time.sleep(0.01)
            process.terminate()
            output = process.communicate(timeout=100)[0]
        finally:
            process.kill()
    assert (process.returncode, "stopped before it had begun" in output) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_is_not_lost_where_c_has_called_python(number, monkeypatch):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    swallowed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: swallowed.append(what.exc_type))
    try:
        ending = EndingSignal()
        ending.heed()
        ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))()
        assert swallowed == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            ending.heed()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
