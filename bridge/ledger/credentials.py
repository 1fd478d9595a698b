"""Since when each credential of the configuration is known. Credentials themselves never come here.

What tells a new value from the one before is twelve bits of a digest. The ledger has nothing that is not in its backups, and
the configuration no key that would outlast a change of credentials, so that no digest could be keyed by something that
whoever reads the ledger lacks; and of a whole one, salted or slow, a short password is found by trying. Twelve bits name no
value: of a million likely passwords some 240 have the same. They are the same wherever a value stands, in every ledger and
backup, so that looking at several tells no more. The price: one new value in 4,096 has the digest of the one before, and
passes for it; its age is then that of the former.

Bridges that share a ledger may work by different values for a while. Each value has a row, so that none disturbs what
another knows; a value that comes back is as old as when it was seen first. Rows that no bridge has confirmed for
:data:`KEPT` are forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, text

from bridge.ledger.unit import Unit

KEPT: Final = 90 * 86_400_000
"""Milliseconds after which a value that no bridge works by is forgotten."""

_PURPOSE: Final = b"registration bridge: since when a credential is known\0"
_COLUMNS: Final = dict.fromkeys(("holder", "name", "field", "fingerprint"), "text")
_CONFIRM: Final = """
INSERT INTO credential (holder, name, field, fingerprint, first_seen, last_seen)
SELECT r.holder, r.name, r.field, r.fingerprint, :now, :now FROM {rows} WHERE true
ON CONFLICT (holder, name, field, fingerprint) DO UPDATE SET last_seen = excluded.last_seen
"""

Holder = Literal["source", "target"]


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A credential of a source or a target, told apart from others of its setting by its ``fingerprint`` alone."""

    holder: Holder
    name: str
    field: str
    fingerprint: str


def fingerprint(value: str) -> str:
    """Return twelve bits of a digest of a credential, in hex: enough to tell a new value, too few to name one."""
    return hashlib.sha256(_PURPOSE + value.encode("utf-8", "surrogatepass")).hexdigest()[:3]


def confirm(unit: Unit, held: Iterable[Held], now: int) -> None:
    """Keep that these are what a bridge works by at a time (milliseconds); forget what none has for long. Idempotent."""
    rows = sorted(set(held))  # in the order in which other bridges do it too
    unit.each(_CONFIRM, _COLUMNS, rows, now=now)
    unit.run("DELETE FROM credential WHERE last_seen < :before", before=now - KEPT)


def since(connection: Connection, holder: Holder, name: str) -> dict[tuple[str, str], int]:
    """Return when each value of a source or target was seen first (milliseconds), by setting and fingerprint."""
    rows = connection.execute(
        text(
            "SELECT c.field, c.fingerprint, c.first_seen FROM credential c WHERE c.holder = :holder AND c.name = :name"
        ),
        {"holder": holder, "name": name},
    ).all()
    return {(row.field, row.fingerprint): int(row.first_seen) for row in rows}
