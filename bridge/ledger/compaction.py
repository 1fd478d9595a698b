"""An SQLite ledger's file written anew, without what holds nothing. Nobody else may run on it meanwhile.

VACUUM is one transaction: whatever cuts it off, the ledger is as it was. It writes the rows to a temporary file, and from
there through the write-ahead log over the ledger's own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from bridge.contract.errors import LedgerError
from bridge.ledger.engine import database_file, ledger_url, reading_engine, writing_engine
from bridge.ledger.hold import Hold
from bridge.ledger.vacancy import vacancy

_MARGIN = 1.1
_CHECKPOINT = "wal_checkpoint(TRUNCATE)"
_EVERY = 0.2  # seconds between two calls of who watches
UNCHANGED = "nothing was changed"


@dataclass(frozen=True, slots=True)
class Size:
    """Of a ledger's file, in bytes.

    Attributes:
        whole: what it takes on the disk, with its log.
        kept: about what it will take, written anew.
    """

    whole: int
    kept: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of a ledger's file.

    Attributes:
        before: bytes on the disk, with the log; ``after`` the same.
        is_read: another program reads the old rows, so that the file gets smaller when that has ended.
    """

    before: int
    after: int
    seconds: float
    is_read: bool


class Compaction:
    """What is to be written anew."""

    def __init__(self, url: str) -> None:
        """Name the ledger, which is SQLite.

        Raises:
            ValueError: it is not.
        """
        self._url = ledger_url(url)
        file = database_file(self._url)
        if file is None:
            raise ValueError("only an SQLite ledger has a file to write anew")
        self.file = file.resolve()

    def look(self) -> Size:
        """Say how large it is, and will be. Read-only; looks at every page.

        Raises:
            LedgerError: it can't be read.
        """
        engine = reading_engine(self._url)
        try:
            with engine.connect() as connection:
                found = vacancy(connection)
        except SQLAlchemyError as fault:
            why = getattr(fault, "orig", None) or "no reason given"
            raise LedgerError(f"the ledger can't be read: {type(fault).__name__}: {why}") from None
        finally:
            engine.dispose()
        whole = _bytes(self.file)
        return Size(whole, whole if found is None else max(0, found.whole - found.free - found.between))

    def needs(self, size: Size) -> int:
        """Return how many bytes have to be free beside the ledger meanwhile: of the temporary file, and of the log."""
        return int(2 * size.kept * _MARGIN)

    def run(self, watch: Callable[[], None]) -> Compacted:
        """Write it anew; ``watch`` is called again and again while that goes on.

        Raises:
            LedgerHeld: a bridge runs on it.
            LedgerError: there is not enough room, another program writes to it, the disk is full, or it was cut off; the
                ledger is as it was.
        """
        hold = Hold(self._url)
        hold.take()
        try:
            expect_room(self.file.parent, self.needs(self.look()))
            before, begun = _bytes(self.file), time.monotonic()
            with _connected(self._url, self.file.parent) as connection:
                _vacuumed(connection, watch)
                is_read = bool(connection.execute(f"PRAGMA {_CHECKPOINT}").fetchone()[0])
            return Compacted(before, _bytes(self.file), time.monotonic() - begun, is_read)
        finally:
            hold.release()


def expect_room(folder: Path, needed: int) -> None:
    """Check that so many bytes are free in a folder.

    Raises:
        LedgerError: they are not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LedgerError(
            f"some {_megabytes(needed)} have to be free in {folder} meanwhile, and {_megabytes(free)} are: {UNCHANGED}"
        )


@contextmanager
def _connected(url: URL, folder: Path) -> Iterator[Any]:
    engine = writing_engine(url)
    error = engine.dialect.loaded_dbapi.Error
    try:
        with closing(engine.raw_connection()) as held:
            connection: Any = held.driver_connection
            try:
                # Of a large ledger the temporary half would fit neither into the memory nor, often, into /tmp.
                for pragma in ("temp_store=FILE", f"temp_store_directory='{_quoted(folder)}'", _CHECKPOINT):
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                yield connection
            finally:
                with suppress(error):
                    connection.execute("PRAGMA temp_store_directory=''")  # it holds for the whole process
    except (SQLAlchemyError, error) as fault:
        raise LedgerError(f"the ledger was not written anew, and {UNCHANGED}: {_reason(fault)}") from None
    finally:
        engine.dispose()


def _vacuumed(connection: Any, watch: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="compaction") as thread:
        doing = thread.submit(connection.execute, "VACUUM")
        try:
            while not wait([doing], _EVERY).done:
                watch()
        except KeyboardInterrupt:
            connection.interrupt()
            wait([doing])
    if doing.exception() is not None:
        # What was written to the log in vain is not left on a disk that is full.
        connection.execute(f"PRAGMA {_CHECKPOINT}").fetchall()
    doing.result()


def _reason(fault: Exception) -> str:
    text = str(getattr(fault, "orig", None) or fault)
    if "locked" in text or "busy" in text:
        return "another program writes to it (database is locked)"
    return {"interrupted": "it was cut off", "database or disk is full": "the disk is full"}.get(text, text)


def _quoted(folder: Path) -> str:
    return str(folder).replace("'", "''")


def _bytes(file: Path) -> int:
    return sum(path.stat().st_size for path in (file, file.with_name(f"{file.name}-wal")) if path.exists())


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"
