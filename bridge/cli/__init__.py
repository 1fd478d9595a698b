"""The verbs of the command line, without logic of their own.

Exit codes: 0 done, 1 something is wrong with the data or a target, 2 bad usage or configuration. What was asked for goes
to standard output, everything else to standard error.
"""

from __future__ import annotations

from bridge.cli.verbs import app
from bridge.edge import logs


def main() -> None:
    """Run the verb that the command line names, and exit."""
    logs.configure("warning", "console")  # `run` says it again, with what the operator wrote
    app(prog_name="bridge")


__all__ = ["app", "main"]
