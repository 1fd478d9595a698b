"""Bringing the schema up to date, under a lock, by Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from bridge.contract.errors import LedgerError, LedgerUnfinished
from bridge.ledger.engine import BUSY_MS

_ADVISORY_LOCK = 7_265_443  # any number, as long as every bridge takes the same one
_FOR_ALL_NAMES = ("UTF8", "SQL_ASCII")  # the latter takes whatever bytes it gets
_MARK = "copying-"
UNFINISHED = "the ledger is a copy that was not finished; go on with: bridge db copy SOURCE DESTINATION --resume"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the ledger's own migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


@cache
def newest() -> str:
    """Return the revision that this program was made for; its migrations are read once."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head() or ""


def current(connection: Connection) -> str | None:
    """Return the revision that the ledger has, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, *, apply: bool = True) -> tuple[str | None, str]:
    """Upgrade the ledger in one transaction; return the revision before and after.

    Raises:
        LedgerUnfinished: the ledger is a copy that was cut off.
        LedgerError: the ledger is newer than this program, or older and ``apply`` is False; or it is to be made in a database
            that can't hold every name.
    """
    head = newest()
    with engine.begin() as connection:
        _take_turn(connection)
        before = current(connection)
        if before == head:
            return before, head
        if before is not None and is_marked(before):
            raise LedgerUnfinished(UNFINISHED)
        known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
        if before is not None and before not in known:
            raise LedgerError(
                f"the ledger's schema {before} is newer than this program ({head}); install the newer bridge"
            )
        if not apply:
            raise LedgerError(
                f"the ledger's schema is {before or 'empty'}, this program needs {head}; run: bridge db upgrade"
            )
        if before is None:
            _check_encoding(connection)
        command.upgrade(alembic_config(connection), "head")
        return before, head


def _check_encoding(connection: Connection) -> None:
    """Refuse to make a ledger where a purchase by somebody of a foreign name could never be kept."""
    if connection.dialect.name == "postgresql":
        encoding = str(connection.execute(text("SHOW server_encoding")).scalar_one())
        if encoding not in _FOR_ALL_NAMES:
            raise LedgerError(
                f"the database's encoding is {encoding}, which not every name can be written in: make a database with"
                " ENCODING 'UTF8' TEMPLATE template0"
            )


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Another bridge may be upgrading right now, for longer than a writer would wait for a lock.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        # But not for a table that a dump or a report holds for hours: everybody else's writes would wait behind us.
        connection.execute(text(f"SET LOCAL lock_timeout = {BUSY_MS}"))


def marked(revision: str) -> str:
    """Return what stands in place of a revision while a ledger is being copied: no bridge of any version starts on it."""
    return _MARK + revision


def is_marked(revision: str) -> bool:
    """Say whether a ledger with this revision is a copy that is not finished."""
    return revision.startswith(_MARK)


def mark(connection: Connection) -> None:
    """In the transaction that is open, make the schema where there is none, and mark it as an unfinished copy.

    Idempotent. Both become visible together: there is no moment at which a bridge could take it for an empty ledger.
    """
    _take_turn(connection)
    if current(connection) is None:
        _check_encoding(connection)
        command.upgrade(alembic_config(connection), "head")
    _set_revision(connection, marked(newest()))


def unmark(connection: Connection) -> None:
    """In the transaction that is open, say that the copy is whole: its schema is the newest from now on."""
    _set_revision(connection, newest())


def _set_revision(connection: Connection, revision: str) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
