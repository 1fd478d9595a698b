"""Which of several bridges does the timed jobs: the one that holds an advisory lock, on a session of its own.

PostgreSQL gives the lock back when the session ends: with the process, with the connection, or when the holder is not heard of.
On SQLite the one bridge leads.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import structlog
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError

from bridge.ledger.engine import database_file, writing_engine

log = structlog.get_logger(__name__)

_LOCK = 7_265_444  # any number, as long as every bridge takes the same one, and the upgrade of the schema another
_LOOK = 1.0  # seconds between two looks, at the lock or for it
_TRUSTED = 5.0  # seconds after a look for which a lock that was ours then is taken to be ours
_IDLE = "12s"  # a holder that stands still is cut off by the server; longer than it is trusted for
_LEAVE = 3.0  # seconds to let go in; the server gives back what a process that ends has held
_HAS_IDLE = 140_000  # PostgreSQL 14


class Lead:
    """Takes the lead when nobody has it, and keeps it for as long as the database says so."""

    def __init__(self, url: URL) -> None:
        """Look at the ledger ``url`` once started."""
        self._alone = database_file(url) is not None
        self._engine = writing_engine(url)
        self._stopping = threading.Event()
        self._seen = float("-inf")
        self._thread = threading.Thread(target=self._serve, name="ledger-lead", daemon=True)

    @property
    def held(self) -> bool:
        """Whether this bridge does the timed jobs."""
        return self._alone or time.monotonic() - self._seen < _TRUSTED

    def start(self) -> None:
        """Start to look."""
        if not self._alone:
            self._thread.start()

    def stop(self) -> None:
        """Let go of the lead. A database that is silent is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE)
        self._seen = float("-inf")
        self._engine.dispose()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._engine.connect() as connection:
                    self._look(connection.execution_options(isolation_level="AUTOCOMMIT"))
            except SQLAlchemyError as fault:
                if self.held:
                    log.warning("ledger.lead_lost", fault=type(fault).__name__)
            self._seen = float("-inf")
            self._stopping.wait(_LOOK)

    def _look(self, connection: Connection) -> None:
        if int(connection.execute(text("SELECT current_setting('server_version_num')")).scalar_one()) >= _HAS_IDLE:
            connection.execute(text(f"SET idle_session_timeout = '{_IDLE}'"))
        held = False
        while not self._stopping.is_set():
            asked = (
                time.monotonic()
            )  # before: a lock that was lost while the answer was under way is not trusted for longer
            if held:
                connection.execute(text("SELECT 1"))
            elif held := bool(
                connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one()
            ):
                log.info("ledger.lead_taken")
            if held:
                self._seen = asked
            self._stopping.wait(_LOOK)
        with suppress(SQLAlchemyError):
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
