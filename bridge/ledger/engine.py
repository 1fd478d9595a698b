"""Engines, and the few points where SQLite and PostgreSQL differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

BUSY_MS = 2_000
_PREPARED = 1_024  # statements that the driver keeps: each of ours in the few lengths that lists are padded to
# A database that is cut off, or that hears nothing of us any more, is noticed by either side within some ten seconds: or it
# would keep the rows that we held, and we would wait for its answer.
_SERVER_OPTIONS = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    " -c idle_in_transaction_session_timeout=10000"
)
CLIENT_OPTIONS: dict[str, Any] = {
    "client_encoding": "utf8",  # whatever the role or the database says: names are of all the world
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# What a role or a database may have been given, and our writing must not be under: its statements count on seeing what others
# have committed while they waited for them; and some, as those of an upgrade of the schema, take long.
_WRITER_OPTIONS = (
    f"-c synchronous_commit=on -c lock_timeout={BUSY_MS} -c statement_timeout=0"
    " -c default_transaction_isolation=read\\ committed"
)
_EXPECTED = "expected sqlite:///path/to/file.db or postgresql://user@host/database"
CHANNEL = "bridge_lane"


class Dialect(Protocol):
    """What the statements need to know of the database.

    Attributes:
        many_writers: whether others may write at the same time, so that rows must be held before they are judged.
        now: SQL for the time by the database's own clock, in milliseconds.
    """

    name: str
    many_writers: bool
    now: str

    def recordset(self, columns: Mapping[str, str]) -> str:
        """Return SQL for a table ``r`` made of the JSON parameter ``:rows``; its column ``n`` is the place in the list."""

    def notify(self, rows: Callable[..., Any], targets: Iterable[str]) -> None:
        """Tell other processes, at commit, that these targets have work; ``rows`` is the unit's."""


class SqliteDialect:
    """SQLite 3.35 or later: RETURNING, UPDATE FROM, json_each."""

    name = "sqlite"
    many_writers = False
    now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

    def recordset(self, columns: Mapping[str, str]) -> str:
        """Use json_each; values keep their JSON type."""
        fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        return f"(SELECT {fields}, key AS n FROM json_each(:rows)) AS r"

    def notify(self, rows: Callable[..., Any], targets: Iterable[str]) -> None:
        """Nobody else runs on an SQLite ledger."""


class PostgresDialect:
    """PostgreSQL 14 or later."""

    name = "postgresql"
    many_writers = True
    now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"

    def recordset(self, columns: Mapping[str, str]) -> str:
        """Use json_to_recordset with the declared types: what is read once need not be made jsonb first."""
        types = {"int": "bigint", "text": "text"}
        fields = ", ".join(f"{name} {types[kind]}" for name, kind in columns.items())
        names = ", ".join(columns)
        return f"ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS ({fields})) WITH ORDINALITY AS r({names}, n)"

    def notify(self, rows: Callable[..., Any], targets: Iterable[str]) -> None:
        """One NOTIFY per group; listeners hear it when the commit is done."""
        if names := sorted(targets):
            rows("SELECT pg_notify(:channel, :names)", channel=CHANNEL, names=",".join(names))


def dialect_of(engine: Engine) -> Dialect:
    """Return the dialect of an engine."""
    return SqliteDialect() if engine.dialect.name == "sqlite" else PostgresDialect()


def ledger_url(url: str) -> URL:
    """Return the SQLAlchemy form of what the operator wrote: ``sqlite:///path`` or a libpq-style ``postgresql://``.

    Raises:
        ValueError: another kind of database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(_EXPECTED) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("a ledger in memory would forget: give a file, as in sqlite:///var/bridge.db")
        return parsed.set(drivername="sqlite+pysqlite")
    raise ValueError(_EXPECTED)


def database_file(url: URL) -> Path | None:
    """Return the file of an SQLite ledger, or None for PostgreSQL."""
    return Path(url.database) if url.drivername.startswith("sqlite") and url.database else None


def writing_engine(url: URL) -> Engine:
    """Return an engine for the writer: durable commits, write lock taken at BEGIN."""
    if database_file(url) is None:
        options = f"{_WRITER_OPTIONS} {_SERVER_OPTIONS}"
        return create_engine(url, poolclass=NullPool, connect_args={**CLIENT_OPTIONS, "options": options})
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False, "cached_statements": _PREPARED},
    )
    event.listen(engine, "connect", _durable_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reading_engine(url: URL) -> Engine:
    """Return an engine that can only read; on SQLite it never waits for the writer."""
    if (file := database_file(url)) is None:
        options = f"-c default_transaction_read_only=on {_SERVER_OPTIONS}"
        return create_engine(url, pool_size=2, pool_pre_ping=True, connect_args={**CLIENT_OPTIONS, "options": options})
    read_only = url.set(database=f"file:{_quoted(file)}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(
        read_only, poolclass=NullPool, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False}
    )
    event.listen(engine, "connect", _read_only_sqlite)
    return engine


def _quoted(file: Path) -> str:
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _durable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, see _begin_immediate
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}").close()


def _read_only_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA query_only=ON").close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
