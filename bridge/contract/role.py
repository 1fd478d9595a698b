"""What one of several bridges on a ledger does."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """``ingest`` listens for senders and delivers nothing; ``dispatch`` has the lanes and the timed jobs; ``all`` does both."""

    ALL = "all"
    INGEST = "ingest"
    DISPATCH = "dispatch"

    @property
    def receives(self) -> bool:
        """Whether senders may call."""
        return self is not Role.DISPATCH

    @property
    def delivers(self) -> bool:
        """Whether there are lanes, lookups and jobs."""
        return self is not Role.INGEST
