"""Real processes under stress: killed, overloaded, left running; and an audit of what they have acknowledged.

clients.py   processes that send what a market sends, and note each request and each answer in a log of their own
server.py    `carbonex serve` in a process: started, measured, killed
audit.py     the logs beside the journal: what was acknowledged is there once, what was not is whole or absent
kills.py     SIGKILL under load, many times
overload.py  several times as much as the exchange can take, for a while
soak.py      half of what it can take, for long
"""


class Unsound(Exception):
    """What an exchange has acknowledged is not so, or it did not behave as it must."""
