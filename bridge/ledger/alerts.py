"""Alerts: what is wrong now, as a level; which channel was told of it, and what it has still to be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final, Literal

from sqlalchemy import Connection, text

from bridge.ledger.unit import Unit

DIGEST: Final = "digest"
"""The kind of a day's digest: told once, and nothing that could recover."""


WAKE: Final = "alerts due"
"""The name under which a commit that may be a cause wakes the job; no target can have it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One cause that is there now.

    Attributes:
        cause: what makes two sightings the same alert, within the kind.
        said: whole sentences; no learner data.
        remedy: what to do next, in whole sentences.
        count: how many it concerns.
    """

    kind: str
    cause: str
    said: str
    remedy: str = ""
    count: int = 1


_SEEN = """
INSERT INTO alert (kind, cause, said, remedy, count, uid, first_seen, last_seen)
SELECT kind, cause, said, remedy, count, uid, :now, :now FROM {rows} WHERE true ORDER BY r.kind, r.cause
ON CONFLICT (kind, cause) WHERE recovered_at IS NULL
DO UPDATE SET said = excluded.said, remedy = excluded.remedy, count = excluded.count, last_seen = excluded.last_seen
"""
_SEEN_COLUMNS = {"kind": "text", "cause": "text", "said": "text", "remedy": "text", "count": "int", "uid": "text"}


def seen(unit: Unit, sightings: Sequence[Sighting], now: int) -> None:
    """Keep what is there now; one that was there before goes on as the same alert. Idempotent."""
    rows = {
        (one.kind, one.cause): {
            "kind": one.kind,
            "cause": one.cause,
            "said": one.said,
            "remedy": one.remedy,
            "count": one.count,
            "uid": token_hex(8),
        }
        for one in sightings
    }
    unit.each(_SEEN, _SEEN_COLUMNS, list(rows.values()), now=now)


def still(unit: Unit, pairs: Iterable[tuple[str, str]], now: int) -> None:
    """Keep open what nobody can say has ended, under the words it has."""
    unit.each(
        "UPDATE alert SET last_seen = :now FROM {rows}"
        " WHERE alert.kind = r.kind AND alert.cause = r.cause AND alert.recovered_at IS NULL",
        {"kind": "text", "cause": "text"},
        [{"kind": kind, "cause": cause} for kind, cause in pairs],
        now=now,
    )


def recover(unit: Unit, before: int, now: int) -> int:
    """End alerts that were last seen before a time (milliseconds); return how many."""
    return unit.run(
        "UPDATE alert SET recovered_at = :now WHERE recovered_at IS NULL AND last_seen < :before AND kind <> :digest",
        now=now,
        before=before,
        digest=DIGEST,
    )


def keep_digest(unit: Unit, day: str, said: str, now: int) -> None:
    """Keep a day's digest, and end those before it: a day late, nobody wants them. Idempotent."""
    if unit.rows("SELECT 1 FROM alert WHERE kind = :kind AND cause = :day", kind=DIGEST, day=day):
        return
    unit.run("UPDATE alert SET recovered_at = :now WHERE kind = :kind AND recovered_at IS NULL", now=now, kind=DIGEST)
    seen(unit, [Sighting(DIGEST, day, said)], now)


def has_digest(connection: Connection, day: str) -> bool:
    """Say whether a day's digest has been made."""
    found = connection.execute(
        text("SELECT 1 FROM alert WHERE kind = :kind AND cause = :day"), {"kind": DIGEST, "day": day}
    )
    return found.first() is not None


def current(connection: Connection, since: int) -> Sequence[Any]:
    """Return the alerts that are open, and those that recovered since a time (milliseconds)."""
    return connection.execute(
        text(
            "SELECT a.* FROM alert a WHERE a.recovered_at IS NULL"
            " UNION ALL SELECT a.* FROM alert a WHERE a.last_seen >= :since AND a.recovered_at >= :since"
        ),
        {"since": since},
    ).all()


def tellings(connection: Connection, ids: Sequence[int]) -> dict[tuple[int, str], Any]:
    """Return what each channel was told of these alerts, by alert and channel."""
    if not ids:
        return {}
    rows = connection.execute(
        text("SELECT t.* FROM alert_telling t WHERE t.alert_id BETWEEN :low AND :high"),
        {"low": min(ids), "high": max(ids)},
    ).all()
    return {(row.alert_id, row.channel): row for row in rows}


Known = Literal["begun", "recovered"]
"""What a channel knows of an alert."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel answered to one telling.

    Attributes:
        told: what it knows now; None when it took nothing.
        why: it took nothing.
    """

    alert_id: int
    channel: str
    told: Known | None
    why: str = ""


_TOLD = """
INSERT INTO alert_telling (alert_id, channel, told, told_at, times)
SELECT alert_id, channel, told, :now, 1 FROM {rows} WHERE true
ON CONFLICT (alert_id, channel) DO UPDATE SET told = excluded.told, told_at = excluded.told_at,
 times = alert_telling.times + 1, tries = 0, why = ''
"""
_FAILED = """
INSERT INTO alert_telling (alert_id, channel, tries, tried_at, why)
SELECT alert_id, channel, 1, :now, why FROM {rows} WHERE true
ON CONFLICT (alert_id, channel) DO UPDATE SET tries = alert_telling.tries + 1, tried_at = excluded.tried_at, why = excluded.why
"""


def told(unit: Unit, answers: Sequence[Told], now: int) -> None:
    """Keep what channels took, and what they did not take."""
    taken = [{"alert_id": one.alert_id, "channel": one.channel, "told": one.told} for one in answers if one.told]
    missed = [{"alert_id": one.alert_id, "channel": one.channel, "why": one.why} for one in answers if not one.told]
    unit.each(_TOLD, {"alert_id": "int", "channel": "text", "told": "text"}, taken, now=now)
    unit.each(_FAILED, {"alert_id": "int", "channel": "text", "why": "text"}, missed, now=now)
    for column, what in (("told_at", "begun"), ("told_recovery_at", "recovered")):
        ids = {one.alert_id for one in answers if one.told == what}
        unit.each(
            f"UPDATE alert SET {column} = coalesce(alert.{column}, :now) FROM {{rows}} WHERE alert.id = r.id",
            {"id": "int"},
            [{"id": i} for i in sorted(ids)],
            now=now,
        )
