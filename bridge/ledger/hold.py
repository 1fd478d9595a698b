"""Whose ledger it is: the operating-system lock that ``bridge run`` holds on an SQLite file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sqlalchemy import URL

from bridge.contract.errors import LedgerError, LedgerHeld
from bridge.ledger import folder
from bridge.ledger.engine import database_file


class Hold:
    """A lock beside the SQLite file; on PostgreSQL there is nothing to hold, any number of machines may run.

    The kernel gives it back when the process ends, however it ends.

    Attributes:
        made: the folder of the ledger, where taking it made that.
    """

    def __init__(self, url: URL) -> None:
        """Name the ledger."""
        file = database_file(url)
        self._file = None if file is None else file.resolve()  # by whatever links it is reached, it is one ledger
        self._path = None if self._file is None else self._file.with_name(self._file.name + ".lock")
        self._descriptor: int | None = None
        self.made: Path | None = None

    def take(self) -> None:
        """Take the lock and note our process id in it.

        Raises:
            LedgerHeld: another process has it; the message names the process.
            OSError: the system refuses the file, or its folder.
        """
        if self._path is None or self._file is None:
            return
        self.made = folder.make(self._file)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LedgerHeld(
                f"the ledger {self._path.with_suffix('')} is held by process {holder}; stop it first"
            ) from None
        # Learners' names are in there: nobody else on this machine has to read them.
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """Return the id of the process that runs on an SQLite ledger, or None when none does.

    Raises:
        LedgerError: the ledger is another user's.
    """
    path = path.resolve()
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise LedgerError(f"the ledger {path} is another user's; run the verb as the user the bridge runs as") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(descriptor, 20).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None
