"""`carbonex registry` in this process: as fast as it answers, with what it prints and its exit code."""

import shlex

from typer.testing import CliRunner, Result

from exchange.cli import app


def run(line: str, **environment: str) -> Result:
    """Run a command line that begins behind `carbonex`."""
    return CliRunner().invoke(app, shlex.split(line), env=environment)
