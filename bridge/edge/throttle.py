"""A limit on how often one thing is asked for, in memory: for addresses that anybody may call."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from bridge.kit.clock import Clock

_MOST_KEYS: Final = 10_000


class Throttle:
    """Lets so many through in a window of time, key by key. What it has forgotten it lets through."""

    def __init__(self, times: int, seconds: float, clock: Clock) -> None:
        """Let ``times`` through in ``seconds``, counted from the first."""
        self._times = times
        self._seconds = seconds
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = (
            OrderedDict()
        )  # key -> when it began, how many; oldest first

    def lets(self, key: str) -> bool:
        """Count one, and say whether it may go on."""
        now = self._clock.monotonic()
        began, count = self._windows.get(key, (now, 0))
        if now - began >= self._seconds:
            began, count = now, 0
        if count == 0:
            self._windows.pop(key, None)
        self._windows[key] = (began, count + 1)
        if len(self._windows) > _MOST_KEYS:
            self._windows.popitem(last=False)
        return count < self._times
