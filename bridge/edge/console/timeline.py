"""The story of a purchase as a picture: a row for the sender, one for the bridge, one for each target; time goes to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from bridge.edge.console.words import span
from bridge.edge.masked import plain
from bridge.ledger.events import OPERATOR

_STEP, _LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 64, 132, 24, 44, 26, 34
_LONGEST_NAME: Final = 17

MOST: Final = 40
"""How many entries are drawn, the newest ones: the list below the picture has all."""

_GOOD: Final = frozenset({"receipt", "nothing"})
_BRIDGE: Final = "bridge"

Row = Mapping[str, Any]


def picture(story: Sequence[Row], steps: Sequence[Row]) -> Markup:
    """Draw what happened, and what comes next at each target.

    Args:
        story: entries in time order, as the ledger tells them.
        steps: what is not done, each with ``target``, ``state`` and ``due_at``.
    """
    shown = list(story)[-MOST:]
    rows = _rows(shown, steps)
    width = _LEFT + _STEP * (len(shown) + (1 if steps else 0)) + _RIGHT
    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [_grid(rows, width), _times(shown, height)]
    parts += [_mark(entry, _x(at), _y(rows[_row_of(entry)])) for at, entry in enumerate(shown)]
    parts += [_link(shown, at, rows) for at in range(1, len(shown))]
    parts += [_next(step, _x(len(shown)), _y(rows[step["target"]])) for step in steps]
    if steps:
        parts.append(_text(_x(len(shown)), height - 18, "next", "tick"))
    return Markup(
        '<svg class="plot story" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"'
        ' aria-labelledby="story-title story-told"><title id="story-title">The purchase from event to targets</title>'
        '<desc id="story-told">{told}</desc>{parts}</svg>'
    ).format(width=width, height=height, told=_told(shown, steps), parts=Markup("").join(parts))


def _rows(shown: Sequence[Row], steps: Sequence[Row]) -> dict[str, int]:
    """Return the rows by name: senders first, then the bridge where it did something, then targets."""
    senders = [_row_of(entry) for entry in shown if entry["what"] == "event" and _row_of(entry) != _BRIDGE]
    own = [_BRIDGE for entry in shown if _row_of(entry) == _BRIDGE]
    targets = [entry["target"] for entry in shown if entry["what"] == "attempt"] + [step["target"] for step in steps]
    return {name: at for at, name in enumerate(dict.fromkeys([*senders, *own, *targets]))}


def _row_of(entry: Row) -> str:
    match entry["what"]:
        case "event" if entry["adapter"] != OPERATOR:
            return f"from {entry['source']}"
        case "attempt":
            return str(entry["target"])
    return _BRIDGE


def _grid(rows: Mapping[str, int], width: int) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>{name}').format(
            left=_LEFT, right=width - _RIGHT, y=_y(at), name=_text(_LEFT - 10, _y(at) + 4, _short(name), "row", "end")
        )
        for name, at in rows.items()
    )


def _times(shown: Sequence[Row], height: int) -> Markup:
    """Say when each entry was: the clock below it, and above it how long after the one before, where that is long."""
    parts = []
    for at, entry in enumerate(shown):
        parts.append(_text(_x(at), height - 18, f"{entry['at']:%H:%M:%S}", "tick"))
        before: datetime | None = shown[at - 1]["at"] if at else None
        if before is None or before.date() != entry["at"].date():
            parts.append(_text(_x(at), height - 5, f"{entry['at']:%d %b}", "tick"))
        if before is not None and (waited := (entry["at"] - before).total_seconds()) >= 1:
            parts.append(_text(_x(at) - _STEP / 2, 14, f"+{span(waited)}", "tick"))
    return Markup("").join(parts)


def _link(shown: Sequence[Row], at: int, rows: Mapping[str, int]) -> Markup:
    """Draw the way from the newest event before it to an attempt: that is what the target is told of."""
    if shown[at]["what"] != "attempt":
        return Markup()
    cause = next((n for n in range(at - 1, -1, -1) if shown[n]["what"] in ("event", "action")), None)
    if cause is None or any(
        shown[n]["what"] == "attempt" and _row_of(shown[n]) == _row_of(shown[at]) for n in range(cause, at)
    ):
        return Markup()  # a further try comes of the one before
    return Markup('<path class="way" d="M{x} {y}L{to} {down}"/>').format(
        x=_x(cause), y=_y(rows[_row_of(shown[cause])]) + 9, to=_x(at), down=_y(rows[_row_of(shown[at])]) - 9
    )


def _mark(entry: Row, x: float, y: float) -> Markup:
    if entry["what"] == "attempt" and entry["outcome"] in _GOOD:
        return Markup('<circle class="mark good" cx="{x}" cy="{y}" r="7"/>').format(x=x, y=y)
    if entry["what"] == "attempt" and entry["outcome"] == "pending":
        return Markup('<circle class="mark open" cx="{x}" cy="{y}" r="6"/>').format(x=x, y=y)
    if entry["what"] == "attempt":
        return Markup('<path class="mark bad" d="M{x} {y}l12 12m0 -12l-12 12"/>').format(x=x - 6, y=y - 6)
    if entry["what"] == "event" and _row_of(entry) != _BRIDGE:
        return Markup('<path class="mark event" d="M{x} {y}l8 8 -8 8 -8 -8z"/>').format(x=x, y=y - 8)
    return Markup('<rect class="mark own" x="{x}" y="{y}" width="12" height="12"/>').format(x=x - 6, y=y - 6)


def _next(step: Row, x: float, y: float) -> Markup:
    if step["state"] == "dead":
        return Markup('<path class="mark bad" d="M{x} {y}h14v14h-14z"/>').format(x=x - 7, y=y - 7)
    return Markup('<circle class="mark open" cx="{x}" cy="{y}" r="6"/>').format(x=x, y=y)


def _told(shown: Sequence[Row], steps: Sequence[Row]) -> str:
    """Say in a sentence what the picture shows; the list below it says the rest."""
    count = {what: sum(entry["what"] == what for entry in shown) for what in ("event", "attempt")}
    failed = sum(entry["what"] == "attempt" and entry["outcome"] not in _GOOD | {"pending"} for entry in shown)
    waits = ", ".join(sorted({step["target"] for step in steps}))
    events = f"{count['event']} event{'' if count['event'] == 1 else 's'}"
    tries = f"{count['attempt']} {'try' if count['attempt'] == 1 else 'tries'} at targets"
    told = f"{events}, {tries}, {failed} in vain."
    return f"{told} Not done yet: {waits}." if waits else f"{told} Nothing is left to do."


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle") -> Markup:
    return Markup('<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>').format(
        kind=kind, x=x, y=y, anchor=anchor, text=plain(text)
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _x(at: int) -> float:
    return _LEFT + _STEP * (at + 0.5)


def _y(row: int) -> float:
    return _TOP + _ROW * (row + 0.5)
