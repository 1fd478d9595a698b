"""What a write failed of: the ledger as a whole, or this one write; and what may fare better alone."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from bridge.contract.errors import LedgerError, LedgerRefused
from bridge.kit.masking import mask_text

log = structlog.get_logger(__name__)

PLAN_OUTDATED = "0A000"
"""PostgreSQL's state where a prepared statement's columns have changed: a newer bridge has just changed the schema."""

NOT_PREPARED = {"26000", "42P05"}
"""PostgreSQL's states where a prepared statement is gone, or one of the name is there: somebody else used the session, too."""

# PostgreSQL: serialisation failure, deadlock, and a unique row that another process put there at this moment.
_RETRIED_ALONE = {"40001", "40P01", "23505", PLAN_OUTDATED, *NOT_PREPARED}
# What fails the ledger as a whole, and not one write: by SQLite's primary code and by PostgreSQL's class or state.
_SQLITE_TROUBLE = {"BUSY", "LOCKED", "FULL", "IOERR", "READONLY", "CANTOPEN", "CORRUPT", "NOTADB", "PERM", "PROTOCOL"}
_POSTGRES_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator intervention, system error
_READ_ONLY = "25006"  # a standby
_LOCK_HELD = "55P03"  # not available in time
_POSTGRES_STATES = {_READ_ONLY, _LOCK_HELD}
# What no ledger can take: a value of the wrong kind or size, or none where there must be one.
_SQLITE_REFUSALS = {"SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT_NOTNULL"}
_POSTGRES_REFUSALS = {"22", "54"}  # data, limits of the program
_NULL = "23502"
# What there is to do about it, by the same codes.
_REMEDIES = {
    "FULL": "the disk is full: make room",
    "BUSY": "another program holds the file: end it",
    "LOCKED": "another program holds the file: end it",
    "READONLY": "the bridge may not write the file or its folder: set their owner and mode right, then restart",
    "PERM": "the bridge may not write the file or its folder: set their owner and mode right, then restart",
    "CANTOPEN": "the bridge can't open the file: set owner and mode of it and its folder right, then restart",
    "IOERR": "the disk fails, or has no room: look at the machine",
    "CORRUPT": "the file is damaged: stop the bridge, keep a copy, restore a backup",
    "NOTADB": "the file is damaged: stop the bridge, keep a copy, restore a backup",
    "53100": "the database's disk is full: make room there",
    "53300": "the database has no connection left: raise its max_connections",
    _READ_ONLY: "the database is a standby: name the primary",
}


class Away(LedgerError):
    """The ledger's file is not where it was."""


def retriable(fault: BaseException) -> bool:
    """Say whether the same write may succeed in a transaction of its own."""
    return isinstance(fault, DBAPIError) and _code(fault) in _RETRIED_ALONE


def busy(fault: BaseException) -> bool:
    """Say whether another program holds an SQLite ledger at this moment."""
    return isinstance(fault, DBAPIError) and _code(fault).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def held_up(fault: BaseException) -> bool:
    """Say whether another writer on PostgreSQL holds a row that was needed: who needs others does not wait for it."""
    return isinstance(fault, DBAPIError) and _code(fault) == _LOCK_HELD


def ends_connection(fault: BaseException) -> bool:
    """Say whether the next write needs a new connection."""
    # A server that has become a standby stays one: the next connection is made to the one that has taken its place.
    return isinstance(fault, DBAPIError) and (fault.connection_invalidated or _code(fault) == _READ_ONLY)


def of_the_ledger(fault: BaseException) -> bool:
    """Say whether the ledger as a whole is in trouble, so that no other write would fare better."""
    if not isinstance(fault, DBAPIError):
        return isinstance(fault, Away)
    code = _code(fault)
    if code.startswith("SQLITE_"):
        return code.split("_")[1] in _SQLITE_TROUBLE
    if not code:  # the driver's own: no connection, where it is operational; else a value it can't carry
        return isinstance(fault, OperationalError)
    return fault.connection_invalidated or code[:2] in _POSTGRES_CLASSES or code in _POSTGRES_STATES


def as_ledger_error(fault: BaseException) -> LedgerError:
    """Return what whoever waits for the write is told; what is a fault of ours is logged."""
    if isinstance(fault, LedgerError):
        return fault
    # The driver's message may quote values; its class and, for SQLite, its short code say enough.
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    code = _code(fault)
    error = LedgerError(
        f"the ledger did not take the write: {type(original).__name__}{f' ({code})' if code else ''}{_remedy(code)}"
    )
    if _of_the_values(fault):
        error = LedgerRefused(str(error))
    if not isinstance(fault, SQLAlchemyError):
        log.error("ledger.work_failed", fault=type(fault).__name__, exc_info=fault)
    elif not of_the_ledger(fault):
        log.error("ledger.statement_failed", fault=mask_text(str(original).partition("DETAIL")[0]))
    return error


def _of_the_values(fault: BaseException) -> bool:
    """Say whether it is what was to be written that fails, wherever and whenever it is written."""
    code = _code(fault)
    if code:
        return code in _SQLITE_REFUSALS or code[:2] in _POSTGRES_REFUSALS or code == _NULL
    if isinstance(fault, DBAPIError):  # SQLite's driver, of a value that it has no kind for
        return "binding parameter" in str(fault.orig)
    return isinstance(fault, TypeError | ValueError | OverflowError)


def _remedy(code: str) -> str:
    known = code.split("_")[1] if code.startswith("SQLITE_") else code
    return f": {_REMEDIES[known]}" if known in _REMEDIES else ""


def _code(fault: BaseException) -> str:
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    return str(getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or "")
