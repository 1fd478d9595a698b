"""Statements on PostgreSQL, past SQLAlchemy and the driver's cursors: prepared once for a connection, bound, run, read.

Of what a group of accepts cost the writer's thread, two thirds were execution contexts, cursors and result objects, for each
of its statements anew (ADR 0033). What is used here of psycopg is its wrapper of libpq and its reading of values.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from psycopg import Connection, Error, OperationalError, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from sqlalchemy.exc import DBAPIError

from bridge.ledger.faults import NOT_PREPARED, PLAN_OUTDATED
from bridge.ledger.rowset import row_of, without_nul

_NAMED = re.compile(r"(?<![:\w]):(\w+)")
_WORTH_PREPARING = 3  # times that a statement is run
_MOST_PREPARED = 512
_BINARY = pq.Format.BINARY
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_INT8, _UNKNOWN, _BOOL, _FLOAT8 = 20, 0, 16, 701  # what a value is sent as; of unknown type, the statement decides

Answered = Callable[[], None]


class Libpq:
    """The statements of one connection. For one thread at a time, as the connection is."""

    def __init__(self, connection: Connection[Any], answered: Answered | None) -> None:
        """Speak through a connection of psycopg's; ``answered`` is called when the database has answered a statement."""
        self._libpq = connection.pgconn
        self._answered = answered
        self._encoding = connection.info.encoding
        self._values = Transformer.from_context(connection)
        self._runs: dict[tuple[str, tuple[int, ...]], int] = {}
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        # A pooler that ought to be in session mode, and is not, hands one session to several: of each other's statements
        # they shall miss the name, and not run one in place of another.
        self._mark = secrets.token_hex(4)
        self._names = count()

    def ensure_begun(self) -> None:
        """Begin a transaction, unless one is open.

        Raises:
            DBAPIError: as SQLAlchemy would have raised it.
        """
        if self._libpq.transaction_status == pq.TransactionStatus.IDLE:
            try:
                result = self._libpq.exec_(b"BEGIN")
            except Error as fault:  # not even sent
                raise _lost(fault, "BEGIN") from fault
            self._judged(result, "BEGIN")

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a statement and return its rows, columns as attributes; none where it has none.

        Raises:
            DBAPIError: as SQLAlchemy would have raised it.
        """
        result = self._result(statement, values)
        if not result.ntuples:
            return []
        names = tuple([(result.fname(column) or b"").decode() for column in range(result.nfields)])
        self._values.set_pgresult(result)
        return self._values.load_rows(0, result.ntuples, row_of(names))

    def run(self, statement: str, values: Mapping[str, Any]) -> int:
        """Run a statement and return how many rows it touched.

        Raises:
            DBAPIError: as SQLAlchemy would have raised it.
        """
        return self._result(statement, values).command_tuples or 0

    def _result(self, statement: str, values: Mapping[str, Any]) -> Any:
        self.ensure_begun()
        command, names = _numbered(statement)
        bound, types = self._bound([values[name] for name in names])
        key = command, types
        name = self._prepared.get(key)
        try:
            if name is None:
                name = self._perhaps_prepared(key)
            if name is None:
                result = self._libpq.exec_params(command.encode(), bound, types, None, _BINARY)
            else:
                result = self._libpq.exec_prepared(name, bound, None, _BINARY)  # type: ignore[arg-type]  # None is NULL
        except Error as fault:  # not even sent
            raise _lost(fault, statement) from fault
        return self._judged(result, statement)

    def _perhaps_prepared(self, key: tuple[str, tuple[int, ...]]) -> bytes | None:
        runs = self._runs[key] = self._runs.get(key, 0) + 1
        if runs < _WORTH_PREPARING or len(self._prepared) >= _MOST_PREPARED:
            return None
        name = f"bridge_{self._mark}_{next(self._names)}".encode()
        command, types = key
        self._judged(self._libpq.prepare(name, command.encode(), types), command)
        self._prepared[key] = name
        return name

    def _bound(self, values: Sequence[Any]) -> tuple[list[bytes | None], tuple[int, ...]]:
        """Return values as they are sent, as text, and the types that they are sent as."""
        bound: list[bytes | None] = []
        types: list[int] = []
        for value in values:
            if isinstance(value, str):
                bound.append((without_nul(value) if "\0" in value else value).encode(self._encoding))
                types.append(_UNKNOWN)
            elif value is None:
                bound.append(None)
                types.append(_UNKNOWN)
            elif isinstance(value, bool):
                bound.append(b"t" if value else b"f")
                types.append(_BOOL)
            elif isinstance(value, int):
                bound.append(b"%d" % value)
                types.append(_INT8)
            elif isinstance(value, float):
                bound.append(repr(value).encode())
                types.append(_FLOAT8)
            else:
                raise TypeError(f"{type(value).__name__} can't be bound")
        return bound, tuple(types)

    def _judged(self, result: Any, statement: str) -> Any:
        if self._answered is not None:
            self._answered()
        if result.status in _GOOD:
            return result
        fault: Error = error_from_result(result, self._encoding)
        if fault.sqlstate == PLAN_OUTDATED or fault.sqlstate in NOT_PREPARED:
            self._prepared.clear()  # made anew when the write is tried again
        # Without a state it is libpq's own: it may take the connection of a server that has died for good until it is used again.
        lost = fault.sqlstate is None or self._libpq.status == pq.ConnStatus.BAD
        if fault.sqlstate is None:
            fault = OperationalError(str(fault))
        raise DBAPIError.instance(
            statement, None, fault, Error, hide_parameters=True, connection_invalidated=lost
        ) from fault


def _lost(fault: Error, statement: str) -> Exception:
    """Return what is raised where a connection that was lost takes no statement any more."""
    return DBAPIError.instance(statement, None, fault, Error, hide_parameters=True, connection_invalidated=True)


@lru_cache(maxsize=1_024)
def _numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement with ``$1`` for the first name and so on, and the names."""
    places: dict[str, int] = {}
    command = _NAMED.sub(lambda match: f"${places.setdefault(match[1], len(places) + 1)}", statement)
    return command, tuple(places)
