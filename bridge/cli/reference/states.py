"""The states of a registration, from the table that decides them."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cli.reference.tables import named, table
from bridge.ledger.states import TRANSITIONS, Intent, derive

_ARGUMENTS = [(missing, leaving, dead) for missing in (0, 1) for leaving in (0, 1) for dead in (0, 1)]


def states() -> Iterator[str]:
    """Yield what decides the state of a registration."""
    head = (
        "what the sender wants",
        "a wanted right is not held",
        "an unwanted right is held",
        "a dead letter",
        "state",
    )
    rows: dict[tuple[str, ...], None] = {}
    for intent in Intent:
        for missing, leaving, dead in _ARGUMENTS:
            state = derive(intent, missing=bool(missing), leaving=bool(leaving), dead=bool(dead))
            rows[_row(intent, missing, leaving, dead, state)] = None
    yield from table(head, list(rows))


def _row(intent: Intent, missing: int, leaving: int, dead: int, state: str) -> tuple[str, ...]:
    """Blank what does not matter: what is missing counts while access is wanted, what is leaving while it is not."""
    live = intent is Intent.LIVE
    differs = missing if live else leaving
    told = {0: "no", 1: "yes"}
    return (
        f"`{intent}`",
        told[missing] if live else "",
        "" if live else told[leaving],
        told[dead] if differs else "",
        f"`{state}`",
    )


def transitions() -> Iterator[str]:
    """Yield which state may follow which."""
    rows = [(f"`{state}`", named(sorted(found))) for state, found in TRANSITIONS.items()]
    yield from table(("state", "may become"), rows)
