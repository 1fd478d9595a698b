"""Asking the ledger, read-only: while the daemon runs and while none does. Nothing is created by asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bridge.contract.errors import ConfigError, Fault, LedgerError, LedgerUnfinished
from bridge.ledger import reports
from bridge.ledger.migrate import UNFINISHED, is_marked
from bridge.ledger.store import Ledger
from config.settings import Settings

Answer = TypeVar("Answer")


class LedgerMissing(LedgerError):
    """Nobody has made the ledger yet."""


def ledger_of(settings: Settings, *, must_exist: bool = True) -> Ledger:
    """Return the ledger that the settings name, not opened.

    Raises:
        ConfigError: they name no ledger.
        LedgerMissing: its file does not exist, and must.
        LedgerError: its folder is closed to this user.
    """
    try:
        ledger = Ledger(settings.ledger.url)
    except ValueError as fault:
        raise ConfigError([Fault("ledger.url", str(fault))]) from None
    if must_exist and ledger.file is not None and not _exists(ledger.file):
        raise LedgerMissing(f"there is no ledger {ledger.file} yet; `bridge run` or `bridge db upgrade` makes it")
    return ledger


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:
        raise LedgerError(f"the ledger {file} is another user's; run the verb as the user the bridge runs as") from None


def ask(settings: Settings, question: Callable[[Any], Answer]) -> Answer:
    """Answer a question on a reading connection.

    Raises:
        LedgerError: there is no ledger, it can't be read, or its schema is not this program's.
    """

    def asked(connection: Any) -> Answer:
        now, needed = reports.revisions(connection)
        if now is not None and is_marked(now):
            raise LedgerUnfinished(UNFINISHED)
        if now != needed:
            raise LedgerError(
                f"the ledger's schema is {now or 'empty'}, this program needs {needed}; run `bridge db upgrade`"
            )
        return question(connection)

    return asyncio.run(_read(ledger_of(settings), asked))


async def _read(ledger: Ledger, question: Callable[[Any], Answer]) -> Answer:
    try:
        return await ledger.read(question)
    finally:
        await ledger.close()
