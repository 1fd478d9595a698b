"""A ledger with its schema and nothing else, copied: to migrate each anew took longer than most tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.migrate import upgrade


@cache
def blank() -> Path:
    """Migrate a ledger on SQLite, once a process; it is there to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="blank-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    engine = writing_engine(ledger_url(f"sqlite:///{folder}/bridge.db"))
    upgrade(engine)
    engine.dispose()
    return folder / "bridge.db"


def blank_at(file: Path) -> str:
    """Copy it, unless the file is there already; return the address."""
    if not file.exists():
        shutil.copyfile(blank(), file)
    return f"sqlite:///{file}"
