"""Alerts: what the operator is told about without having asked."""

from __future__ import annotations

from enum import StrEnum


class AlertKind(StrEnum):
    """What kind of cause an alert has."""

    DEAD_LETTERS = "dead_letters"
    UNMAPPED = "unmapped"
    UNREADABLE = "unreadable"
    EARLY = "early"
    LOOKUPS_DEAD = "lookups_dead"
    LANE_OPEN = "lane_open"
    LANE_PAUSED = "lane_paused"
    CREDENTIALS_REFUSED = "credentials_refused"
    SOURCE_QUIET = "source_quiet"
    DISK_LOW = "disk_low"
    CLOCK_OFF = "clock_off"
