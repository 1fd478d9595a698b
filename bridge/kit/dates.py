"""How far this machine's clock is from another's, by the ``Date`` that its answers carry."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_FRESH = 3_600.0  # seconds: an answer from before says nothing of the clock now


class Dates:
    """The newest ``Date`` of one target."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._newest: tuple[str, float] | None = None

    def note(self, headers: Mapping[str, str]) -> None:
        """Keep the date of an answer that has just come; nothing is read of it before somebody asks."""
        # What a cache has kept for a while carries the date of long ago.
        if (date := headers.get("Date")) is not None and "Age" not in headers:
            self._newest = (date, time.time())

    @property
    def ahead(self) -> float | None:
        """Seconds by which this machine's clock is ahead of the target's; None where nothing is known of late."""
        if self._newest is None or abs(time.time() - self._newest[1]) > _FRESH:
            return None
        date, at = self._newest
        try:
            return at - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None
