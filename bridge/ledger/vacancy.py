"""How much of an SQLite ledger's file holds nothing. Read-only.

A row that goes makes room for others; one that gets shorter leaves its page to itself, until the file is written anew by VACUUM.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_PAGES = "SELECT p.page_count * s.page_size AS whole, f.freelist_count * s.page_size AS free FROM pragma_page_count p, pragma_page_size s, pragma_freelist_count f"
_UNUSED = "SELECT sum(unused) FROM dbstat WHERE aggregate = 1"


class Vacancy(NamedTuple):
    """Bytes: of the whole file; of pages that hold nothing, which new rows take; and of what pages hold beside their rows."""

    whole: int
    free: int
    between: int


def vacancy(connection: Connection) -> Vacancy | None:
    """Look through every page of the file; None on PostgreSQL, and where this machine's SQLite can't tell."""
    if connection.dialect.name != "sqlite":
        return None
    try:
        whole, free = connection.execute(text(_PAGES)).one()
        between = connection.execute(text(_UNUSED)).scalar_one()
    except DBAPIError:  # built without what tells of pages
        return None
    return Vacancy(int(whole), int(free), int(between or 0))
