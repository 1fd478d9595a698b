"""Sessions of the web console, and the count of failed logins. Kept here so that a restart, or another bridge on the ledger, knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, text

from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in. ``password`` is the fingerprint of what they logged in with: a hash, or a provider's terms."""

    name: str
    password: str


def digest(*parts: str) -> str:
    """Return what the ledger keeps instead of a token, or of whom a failure counts for."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def keep(unit: Unit, token: str, name: str, password: str, now: int, expires_at: int) -> None:
    """Keep a session under the digest of its token; forget those that have ended. Times in milliseconds."""
    unit.run("DELETE FROM console_session WHERE expires_at <= :now", now=now)
    unit.run(
        "INSERT INTO console_session (token, name, password, created_at, expires_at)"
        " VALUES (:token, :name, :password, :now, :expires_at)",
        token=digest(token),
        name=name,
        password=password,
        now=now,
        expires_at=expires_at,
    )


def end(unit: Unit, token: str) -> None:
    """End a session. Idempotent."""
    unit.run("DELETE FROM console_session WHERE token = :token", token=digest(token))


def session(connection: Connection, token: str, now: int) -> Session | None:
    """Return whose session it is, or None when there is none, or none any more."""
    row = connection.execute(
        text("SELECT s.name, s.password FROM console_session s WHERE s.token = :token AND s.expires_at > :now"),
        {"token": digest(token), "now": now},
    ).first()
    return None if row is None else Session(row.name, row.password)


def guess(unit: Unit, most: Mapping[str, int], now: int, window: int) -> int:
    """Count a try before it is known whether it fails, or say for how long nobody may try (milliseconds; 0: it counts).

    Args:
        unit: also of guesses made at the same moment one is counted after the other.
        most: how many may fail, by the digest of whom they count for.
        now: milliseconds.
        window: for how long a failure counts, and nobody may try after too many.
    """
    unit.run("DELETE FROM console_failure WHERE at <= :before", before=now - window)
    rows = [{"key": key} for key in sorted(most)]
    unit.each(
        "INSERT INTO console_failure (key, failures, at) SELECT r.key, 0, :now FROM {rows} WHERE true"
        " ON CONFLICT (key) DO NOTHING",
        {"key": "text"},
        rows,
        now=now,
    )
    found = unit.each(
        f"SELECT f.key, f.failures, f.at FROM {{rows}} JOIN console_failure f ON f.key = r.key ORDER BY f.key{unit.holding('f')}",
        {"key": "text"},
        rows,
    )
    if waits := [row.at + window - now for row in found if row.failures >= most[row.key]]:
        return max(1, *map(int, waits))
    unit.each(
        "UPDATE console_failure SET failures = console_failure.failures + 1, at = :now FROM {rows} WHERE console_failure.key = r.key",
        {"key": "text"},
        rows,
        now=now,
    )
    return 0


def full(unit: Unit, key: str, most: int, now: int, window: int) -> int:
    """Say for how long so many have failed for a key (milliseconds; 0: they have not), and hold its count until the end of the unit.

    Arguments as in :func:`guess`. Asked before it in the same unit, so that of tries at one moment only so many pass.
    """
    unit.run("DELETE FROM console_failure WHERE at <= :before", before=now - window)
    unit.run(
        "INSERT INTO console_failure (key, failures, at) VALUES (:key, 0, :now) ON CONFLICT (key) DO NOTHING",
        key=key,
        now=now,
    )
    found = unit.rows(f"SELECT f.failures, f.at FROM console_failure f WHERE f.key = :key{unit.holding('f')}", key=key)
    return max((int(row.at) + window - now for row in found if row.failures >= most), default=0)


def locked(connection: Connection, most: Mapping[str, int], now: int, window: int) -> int:
    """Say for how long nobody may try (milliseconds; 0: they may), without counting a try; arguments as in :func:`guess`."""
    found = connection.execute(
        text(
            "SELECT f.key, f.failures, f.at FROM console_failure f WHERE f.key IN :keys AND f.at > :before"
        ).bindparams(bindparam("keys", expanding=True)),
        {"keys": list(most), "before": now - window},
    ).all()
    return max((row.at + window - now for row in found if row.failures >= most[row.key]), default=0)


def succeeded(unit: Unit, keys: Sequence[str]) -> None:
    """Take a try back that did not fail; what else failed for others at this address stays."""
    unit.each(
        "UPDATE console_failure SET failures = console_failure.failures - 1 FROM {rows}"
        " WHERE console_failure.key = r.key AND console_failure.failures > 0",
        {"key": "text"},
        [{"key": key} for key in keys],
    )


def forgive(unit: Unit, key: str) -> None:
    """Forget what failed for one who got in."""
    unit.run("DELETE FROM console_failure WHERE key = :key", key=key)
