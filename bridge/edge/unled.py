"""What comes next of an event that led to no purchase (yet): in the terminal and in the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def following(event: Mapping[str, Any]) -> list[str]:
    """Return in sentences what an event with its ``lookups`` waits for and what to do; none where there is nothing to do."""
    if event["lookups"]:
        return [_asked(one) for one in event["lookups"]]
    if event["state"] == "unreadable":
        return [f"Set source {event['source']} right, then: bridge reload, bridge replay {event['event_id']}"]
    if event["state"] == "refused":
        return ["Its sender was told so: have it corrected there and sent again"]
    return []


def _asked(lookup: Mapping[str, Any]) -> str:
    what = f"lookup {lookup['lookup_id']} ({lookup['kind']} {lookup['key']})"
    why = f": {lookup['why'].rstrip('.')}" if lookup["why"] else ""
    if lookup["state"] == "dead":
        remedy = f"{lookup['remedy']} " if lookup["remedy"] else ""
        number = lookup["lookup_id"]
        return f"{lookup['source']} was asked in vain, {what}{why}. {remedy}Then: bridge requeue --lookups {number}"
    due = f"{lookup['due_at']:%Y-%m-%d %H:%M:%S} UTC" if lookup["due_at"] else "once it is its turn"
    return f"It waits for an answer of {lookup['source']}: {what} is asked at {due}{why}"
