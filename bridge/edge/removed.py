"""How it is said that what is old has been removed: in the terminal and in the console."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_SAID: Final = {
    "attempts": "What was tried before {} has been removed; of what gave access or took it away a line stays, without what was sent"
    " and came back (ledger.keep_attempts).",
    "deliveries": "Deliveries that were done before {} have been removed, but for those that gave access or took it away, or that"
    " an operator acted on (ledger.keep_deliveries).",
    "actions": "What operators did before {} has been removed (ledger.keep_actions).",
}


def record_begins(since: datetime) -> str:
    """Return in a sentence since when the record of what operators did is complete."""
    at = f"{since:%Y-%m-%d %H:%M} UTC"
    return (
        f"What operators did before {at} has been removed (ledger.keep_actions); from then on the record is complete."
    )


def removed(row: Mapping[str, Any]) -> str:
    """Return in a sentence what was removed of the time before when."""
    return _SAID[row["what"]].format(f"{row['before']:%Y-%m-%d}")
