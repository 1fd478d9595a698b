"""The folder of an SQLite ledger: whether it is there, can be made, and what to do where it can't."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

_CLOSED: Final = frozenset({errno.EACCES, errno.EPERM})
_KEY: Final = "[ledger] url"


def missing(file: Path) -> Path | None:
    """Return the folder that a ledger's file is to be in, where there is none yet."""
    folder = file.resolve().parent
    try:
        return None if folder.exists() else folder
    except OSError:  # closed to this user: whoever opens it is told
        return None


def obstacle(folder: Path) -> str | None:
    """Return why a folder can't be made by this user, with what to do; None where nothing is in the way."""
    try:
        nearest = next((above for above in folder.parents if above.exists()), folder)
    except OSError as fault:
        return _unmade(folder, fault.errno or 0)
    if not nearest.is_dir():
        return _unmade(folder, errno.ENOTDIR)
    return None if os.access(nearest, os.W_OK | os.X_OK) else _unmade(folder, errno.EACCES)


def make(file: Path) -> Path | None:
    """Make the folder of a ledger's file, and those above it; return it, or None where it was there already.

    Raises:
        OSError: it can't be made.
    """
    if (folder := missing(file)) is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def unopened(file: Path, fault: OSError) -> str:
    """Return in words why a ledger's file could not be opened, and what to do."""
    number = fault.errno or 0
    if (folder := missing(file)) is not None:
        return f"the ledger can't be opened: {_unmade(folder, number)}"
    why = fault.strerror or type(fault).__name__
    return f"the ledger can't be opened: {why}: {file}; {_remedy(number)}"


def _unmade(folder: Path, number: int) -> str:
    return f"its folder {folder} can't be made: {os.strerror(number)}; make it, or {_remedy(number)}"


def _remedy(number: int) -> str:
    other = f"set another path in {_KEY}"
    return f"let the user that runs the bridge write there, or {other}" if number in _CLOSED else other
