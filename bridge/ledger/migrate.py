"""Bringing the schema up to date, under a lock, by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from bridge.contract.errors import LedgerError

_ADVISORY_LOCK = 7_265_443  # any number, as long as every bridge takes the same one


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the ledger's own migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """Return the revision that this program was made for."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head() or ""


def current(connection: Connection) -> str | None:
    """Return the revision that the ledger has, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, *, apply: bool = True) -> tuple[str | None, str]:
    """Upgrade the ledger in one transaction; return the revision before and after.

    Raises:
        LedgerError: the ledger is newer than this program, or older and ``apply`` is False.
    """
    head = newest()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Another bridge may be upgrading right now, for longer than a writer would wait for a lock.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        before = current(connection)
        if before == head:
            return before, head
        known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
        if before is not None and before not in known:
            raise LedgerError(
                f"the ledger's schema {before} is newer than this program ({head}); install the newer bridge"
            )
        if not apply:
            raise LedgerError(
                f"the ledger's schema is {before or 'empty'}, this program needs {head}; run: bridge db upgrade"
            )
        command.upgrade(alembic_config(connection), "head")
        return before, head
