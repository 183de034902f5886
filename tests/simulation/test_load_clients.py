"""Client processes of the reliability tests, beside servers that do as they please."""

import asyncio

from simulation.reliability.clients import Client, Task

BODY = b'{"order_id": 1, "status": "done"}'
ANSWER = b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class AnswersOnce(asyncio.Protocol):
    """Answers the first request of a connection, and lets go of it a little later: as a server does of idle ones."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)
        asyncio.get_running_loop().call_later(0.02, self.transport.close)


def test_a_client_goes_on_when_the_server_lets_go_of_idle_connections(tmp_path):
    async def five_connections_for_two_seconds():
        server = await asyncio.get_running_loop().create_server(AnswersOnce, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with (tmp_path / "log").open("wb") as log:
            done = await Client("K0", log).run(Task(port, 2.0, "soak", 5, rate=100.0))
        server.close()
        return done

    done = asyncio.run(five_connections_for_two_seconds())

    assert done.answered > 25  # of five connections; a request may meet one that is just being closed


def test_a_client_ends_when_the_server_has_been_killed(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        done = asyncio.run(Client("K0", log).run(Task(1, 30.0, "soak", 5, rate=100.0)))

    assert (done.sent, done.answered) == (0, 0)
