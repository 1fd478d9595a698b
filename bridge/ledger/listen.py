"""Hearing other machines' commits on PostgreSQL: one connection that waits for NOTIFY, in a thread of its own."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable

import psycopg
import structlog
from sqlalchemy import URL
from tenacity import Retrying, retry_if_exception_type, wait_random

from bridge.ledger.engine import CHANNEL, CLIENT_OPTIONS

log = structlog.get_logger(__name__)

_LOOK_UP = 1.0
_LEAVE = 3.0  # seconds


class Listener:
    """Calls ``woken`` (in its own thread) with the targets that somebody's commit has work for.

    A lost connection is made anew; what was missed meanwhile the lanes' tick finds.
    """

    def __init__(self, url: URL, woken: Callable[[frozenset[str]], None]) -> None:
        """Listen at ``url`` once started."""
        self._address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._woken = woken
        self._stopping = threading.Event()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="ledger-listener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once, whatever the thread waits for. A database that is silent is not waited for."""
        self._stopping.set()
        self._stop.close()
        if self._thread.is_alive():
            self._thread.join(_LEAVE)
        if not self._thread.is_alive():
            self._stopped.close()

    def _serve(self) -> None:
        again = Retrying(
            retry=retry_if_exception_type(psycopg.Error),
            wait=wait_random(0.2, 2),
            stop=lambda _state: self._stopping.is_set(),
            sleep=lambda seconds: (self._stopping.wait(seconds), None)[1],
            reraise=True,
        )
        try:
            again(self._listen)
        except psycopg.Error as fault:
            if not self._stopping.is_set():
                log.warning("ledger.listener_ended", fault=type(fault).__name__)

    def _listen(self) -> None:
        with psycopg.connect(self._address, autocommit=True, **CLIENT_OPTIONS) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            with selectors.DefaultSelector() as ready:
                ready.register(connection, selectors.EVENT_READ)
                ready.register(self._stopped, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    for heard in connection.notifies(timeout=0):
                        self._woken(frozenset(heard.payload.split(",")))
                    ready.select(_LOOK_UP)
