"""The picture of a purchase's story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from bridge.edge.console import timeline
from bridge.ledger.events import OPERATOR

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _attempt(seconds: float, target: str, outcome: str) -> dict:
    return {"what": "attempt", "at": NOW + timedelta(seconds=seconds), "target": target, "outcome": outcome}


def _marks(picture: str) -> list[str]:
    drawn = ET.fromstring(str(picture))
    return [one.get("class", "") for one in drawn.iter() if one.get("class", "").startswith("mark")]


def test_each_entry_has_its_mark() -> None:
    """Event, line in quarantine, tries that came to something or nothing, what is given up and what is to come."""
    story = [
        {"what": "event", "at": NOW, "source": "shop", "adapter": "stripe"},
        {"what": "event", "at": NOW, "source": "shop", "adapter": OPERATOR},
        {"what": "quarantine", "at": NOW},
        {"what": "action", "at": NOW + timedelta(days=2)},
        _attempt(3, "lms", "later"),
        _attempt(70, "lms", "receipt"),
        _attempt(71, "crm", "pending"),
    ]
    steps = [{"target": "crm", "state": "open"}, {"target": "mail", "state": "dead"}]
    picture = timeline.picture(story, steps)
    assert _marks(picture) == [
        "mark event",
        "mark own",
        "mark own",
        "mark own",
        "mark bad",
        "mark good",
        "mark open",
        "mark open",
        "mark bad",
    ]
    assert "+2 d" in picture
    assert "2 events, 3 tries at targets, 1 in vain. Not done yet: crm, mail." in picture


def test_nothing_and_much_are_drawn() -> None:
    """An empty story, one that is longer than what is drawn, and names that nobody would choose."""
    assert _marks(timeline.picture([], [])) == []
    many = [_attempt(n, "lms", "later") for n in range(200)]
    assert len(_marks(timeline.picture(many, []))) == timeline.MOST
    hostile = timeline.picture([{"what": "event", "at": NOW, "source": '<script>"\x00', "adapter": "stripe"}], [])
    assert "<script" not in hostile
    assert len(_marks(hostile)) == 1
