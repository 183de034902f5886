"""Starts exchanges quickly: a process that has loaded their modules forks, and the fork runs `carbonex serve`.

To load the modules takes seconds of the processor, all else of a start tenths. What is started so is a process of its
own all the same, with its own journal, port and threads, and dies like any other. Standard input has a command line a
line, as a JSON array with the file for its output at the end; one process id a line comes back.
"""

import gc
import json
import os
import signal
import sys
from typing import NoReturn

from api import gateway, serving, settings  # noqa: F401  loaded here, used there
from exchange import cli
from exchange.console import load_compiled


def main() -> None:
    """Start what is asked for until standard input ends."""
    load_compiled("trading")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    gc.freeze()
    for line in sys.stdin:
        *command, output = json.loads(line)
        if (process := os.fork()) == 0:
            _be(command, output)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()


def _be(command: list[str], output: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    said = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor, other in ((os.open(os.devnull, os.O_RDONLY), 0), (said, 1), (said, 2)):
        os.dup2(descriptor, other)
    sys.argv[1:] = command
    status = 2
    try:
        cli.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
