"""How far registrations are, target by target. Read-only, for somebody who watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, bindparam, text


class Standing(IntEnum):
    """Where the work for one target stands. Of several pieces of work the highest tells most."""

    DONE = 0
    WAITING = 1
    """Not begun, because the learner is not in yet."""
    DUE = 2
    IN_FLIGHT = 3
    DEAD = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One target's part in one registration.

    Attributes:
        failed: tries that ended without a receipt.
        held: whether the target confirmed that the person is in the course, or known as a contact.
        why: what the last try came to, in words for the operator.
        seconds: from the receipt of the event that caused the work to the target's confirmation; None before it.
    """

    target: str
    standing: Standing
    failed: int
    held: bool
    why: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """One registration.

    Attributes:
        state: as in ``states.py``.
        events: (event id, its effect on the registration), oldest first.
        steps: by target.
    """

    registration_id: int
    state: str
    events: tuple[tuple[int, str], ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """An order line in quarantine."""

    id: int
    event_id: int
    source: str
    remote_product_id: str


_STANDINGS = {
    "waiting": Standing.WAITING,
    "open": Standing.DUE,
    "blocked": Standing.DUE,
    "leased": Standing.IN_FLIGHT,
    "dead": Standing.DEAD,
}
_STATES = "SELECT id, state FROM registration WHERE id IN :ids"
_EFFECTS = "SELECT event_id, registration_id, effect FROM effect WHERE registration_id IN :ids ORDER BY event_id"
_WORK = """
SELECT d.registration_id, d.target, d.state, d.outcome, d.why, w.held, e.received_at,
 (SELECT max(a.at + a.ms) FROM attempt a WHERE a.delivery_id = d.id AND a.outcome IN ('receipt', 'nothing')) AS confirmed_at,
 (SELECT count(*) FROM attempt a WHERE a.delivery_id = d.id AND a.outcome NOT IN ('receipt', 'nothing')) AS failed
FROM delivery d LEFT JOIN event e ON e.id = d.event_id LEFT JOIN "right" w ON w.id = d.right_id
WHERE d.registration_id IN :ids AND (d.state <> 'done' OR d.outcome IS NOT NULL) ORDER BY d.id
"""


def progress(connection: Connection, registration_ids: Sequence[int]) -> dict[int, Progress]:
    """Return these registrations by id; costs what they have, not what the ledger has."""
    ids = list(registration_ids)
    events: dict[int, list[tuple[int, str]]] = {}
    for row in _rows(connection, _EFFECTS, ids):
        events.setdefault(row.registration_id, []).append((row.event_id, row.effect))
    steps: dict[int, dict[str, Step]] = {}
    for row in _rows(connection, _WORK, ids):
        of_one, step = steps.setdefault(row.registration_id, {}), _step(row)
        earlier = of_one.get(step.target)
        if earlier is None or step.standing >= earlier.standing:  # of two that are done the later one counts
            of_one[step.target] = step
    return {
        row.id: Progress(row.id, row.state, tuple(events.get(row.id, ())), steps.get(row.id, {}))
        for row in _rows(connection, _STATES, ids)
    }


def waiting_lines(connection: Connection) -> list[WaitingLine]:
    """Return the order lines that wait in quarantine, oldest first."""
    rows = connection.execute(
        text("SELECT id, event_id, source, remote_product_id FROM quarantine WHERE state = 'waiting' ORDER BY id")
    )
    return [WaitingLine(row.id, row.event_id, row.source, row.remote_product_id) for row in rows]


def _rows(connection: Connection, statement: str, ids: list[int]) -> Sequence[Any]:
    return connection.execute(text(statement).bindparams(bindparam("ids", expanding=True)), {"ids": ids}).all()


def _step(row: Any) -> Step:
    standing = _STANDINGS.get(row.state, Standing.DONE)
    done = standing is Standing.DONE
    known = done and row.confirmed_at is not None and row.received_at is not None
    return Step(
        target=row.target,
        standing=standing,
        failed=row.failed,
        held=row.held == "yes" if row.held is not None else done and row.outcome == "receipt",
        why=row.why or "",
        seconds=(row.confirmed_at - row.received_at) / 1000 if known else None,
    )
