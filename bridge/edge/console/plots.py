"""Plots as SVG, made here: no script, and the same numbers stand below them as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 26
_TICKS: Final = (
    (0.1, "0.1 s"),
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (36_000, "10 h"),
    (360_000, "4 d"),
)


@dataclass(frozen=True, slots=True)
class Hour:
    """How long purchases of one hour took to access, in seconds; None where there were none.

    Attributes:
        waiting: of those looked at, how many are not in yet.
    """

    at: datetime
    looked_at: int
    waiting: int
    median: float | None
    p99: float | None


def hour(at: datetime, ways: Sequence[float | None]) -> Hour:
    """Sum up the purchases of an hour."""
    known = sorted(way for way in ways if way is not None)
    return Hour(at, len(ways), len(ways) - len(known), quantile(known, 0.5), quantile(known, 0.99))


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value that this share of all does not exceed, or None of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def ways_in(hours: Sequence[Hour]) -> Markup:
    """Return the median and the slowest hundredth of each hour, on a scale on which a second and an hour both have room."""
    shown = [one.p99 for one in hours if one.p99 is not None]
    ticks = [tick for tick in _TICKS if tick[0] <= max([10.0, *(10 * value for value in shown)])]
    top = ticks[-1][0]
    parts = [_grid(ticks, top), _hours(hours)]
    for at, one in enumerate(hours):
        if one.median is None or one.p99 is None:
            continue
        x, low, high = _x(at + 0.5, len(hours)), _y(one.median, top), _y(one.p99, top)
        parts.append(
            Markup('<line class="range" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>').format(x=x, low=low, high=high)
        )
        parts.append(Markup('<path class="p99" d="M{x} {y}l5 -5 5 5z"/>').format(x=x - 5, y=high + 2))
        parts.append(Markup('<circle class="median" cx="{x}" cy="{y}" r="4"/>').format(x=x, y=low))
    return Markup(
        '<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-labelledby="plot-title plot-told">'
        '<title id="plot-title">From purchase to access, by hour</title><desc id="plot-told">{told}</desc>{parts}</svg>'
    ).format(width=_WIDTH, height=_HEIGHT, told=_told(hours), parts=Markup("").join(parts))


def _told(hours: Sequence[Hour]) -> str:
    known = [one.p99 for one in hours if one.p99 is not None]
    if not known:
        return "No purchase led to access in the last 24 hours."
    return f"{len(known)} of {len(hours)} hours with purchases; the slowest hour's slowest hundredth took {max(known):.1f} seconds. The table below has every hour."


def _grid(ticks: Sequence[tuple[float, str]], top: float) -> Markup:
    lines: list[Any] = [
        Markup(
            '<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/><text class="tick" x="{at}" y="{low}" text-anchor="end">{text}</text>'
        ).format(left=_LEFT, right=_WIDTH - _RIGHT, y=_y(value, top), at=_LEFT - 6, low=_y(value, top) + 4, text=text)
        for value, text in ticks
    ]
    return Markup("").join(lines)


def _hours(hours: Sequence[Hour]) -> Markup:
    return Markup("").join(
        Markup('<text class="tick" x="{x}" y="{y}" text-anchor="middle">{text}</text>').format(
            x=_x(at + 0.5, len(hours)), y=_HEIGHT - 8, text=f"{one.at:%H}"
        )
        for at, one in enumerate(hours)
        if one.at.hour % 3 == 0
    )


def _x(at: float, of: int) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(1, of), 1)


def _y(seconds: float, top: float) -> float:
    lowest = _TICKS[0][0]
    share = math.log(max(lowest, min(seconds, top)) / lowest) / math.log(top / lowest)
    return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share, 1)
