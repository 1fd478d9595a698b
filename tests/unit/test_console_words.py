"""What the console says, and whom it believes."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from multidict import CIMultiDict

from bridge.contract.settings import Rate
from bridge.edge.console import plots, words
from bridge.edge.forwarded import Networks, Peer, judged
from bridge.edge.health import Gait
from bridge.edge.systems import TargetFacts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.34, "340 ms"),
        (1.25, "1.2 s"),
        (59.0, "59 s"),
        (61, "1 min"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (40 * 86_400, "40 d"),
    ],
)
def test_spans(seconds: float | None, said: str) -> None:
    """A length of time is said as people say it."""
    assert words.span(seconds) == said


def test_a_cause_with_examples_is_masked() -> None:
    """What was said to somebody is masked; examples are those of the same place and remedy, with what else was said of it."""
    cause = SimpleNamespace(n=3, why="ada@example.org is unknown", remedy="look", rights=2, contacts=1, since=0)
    group = words.dead_group(cause, "lms")
    assert "ada@example.org" not in group["why"]
    assert group["kinds"] == "2 not let in, or not out, 1 contacts not told"

    def row(why: str, target: str = "lms", remedy: str = "look") -> dict:
        return {"delivery_id": 1, "target": target, "why": why, "remedy": remedy}

    rows = [
        row("ada@example.org is unknown"),
        row("bob@example.com left"),
        row("gone", "crm"),
        row("gone", remedy="wait"),
    ]
    told = words.with_examples(group, rows, "target")
    assert len(told["examples"]) == 2
    assert len(told["told"]) == 1
    assert "bob@example.com" not in told["told"][0]


def test_the_fullest_window_of_a_limit_is_shown() -> None:
    """Of several windows the one that is nearest to its limit; a lane without a limit has none."""
    row = {"target": "lms", "paused": None, "dead": 0}
    lane = words.lane(row, "running", [(5, Rate(100, 10.0)), (90, Rate(1_000, 86_400.0)), (12, Rate(10, 1.0))])
    assert lane["rate"] == {"used": 10, "of": 10, "seconds": 1.0}
    assert lane["mark"] == "good"
    down = words.lane(row, "open", [])
    assert down["mark"] == "bad"
    assert "bridge doctor --target lms" in down["remedy"]
    assert words.lane(row, None, [])["rate"] is None


@pytest.mark.parametrize(
    ("status", "gait", "said"),
    [
        (None, None, "This bridge does not deliver"),
        ("running", Gait(open=False, elsewhere=False, probe_in=None, hold=0, slots=8), "Closed: calls go through."),
        ("paused", Gait(open=False, elsewhere=False, probe_in=None, hold=0, slots=8), "Closed."),
        ("open", Gait(open=True, elsewhere=False, probe_in=12.0, hold=0, slots=8), "is asked in 12 s whether"),
        ("open", Gait(open=True, elsewhere=False, probe_in=0.2, hold=0, slots=8), "is asked now whether"),
        ("open", Gait(open=False, elsewhere=True, probe_in=None, hold=0, slots=8), "another bridge"),
        ("paused", Gait(open=True, elsewhere=False, probe_in=None, hold=0, slots=8), "not asked while it is paused"),
    ],
)
def test_a_breaker_in_words(status: str | None, gait: Gait | None, said: str) -> None:
    """Whether calls go through, and who asks when whether they may again."""
    assert said in words.breaker(status, gait)


def test_who_set_the_limit_in_words() -> None:
    """The operator, the connector, the target by what it answered, or nobody."""

    def told(rates: list[Rate], *, own: bool, now: Rate | None) -> str:
        facts = TargetFacts("lms", "elevate", "", "lms", "", rates, own, 8, ())
        return words.limit_by(facts, [] if now is None else [{"used": 0, "of": now.requests, "seconds": now.seconds}])

    ten, twenty = Rate(10, 1.0), Rate(20, 1.0)
    assert told([ten], own=True, now=ten) == "rate_limit in bridge.toml"
    assert told([ten], own=False, now=ten) == "the connector's default"
    assert told([ten], own=False, now=twenty) == "the target, in its answers"
    assert told([], own=False, now=None) == "nobody"


def test_what_was_never_mapped_says_so() -> None:
    """Beside its state; a state without a word of its own is told as it is."""
    assert words.state({"state": "cancelled", "never_mapped": True}) == ("Cancelled, never mapped", "none")
    assert words.state({"state": "cancelled", "never_mapped": False}) == ("Cancelled", "none")
    assert words.state({"state": "new", "never_mapped": False}) == ("new", "none")


def test_the_pace_in_words() -> None:
    """A rest that the target asked for, a lane that goes easy, full speed."""
    assert "for 3 min" in words.pace(Gait(open=False, elsewhere=False, probe_in=None, hold=180.0, slots=8), 8)
    assert "2 at once instead of 8" in words.pace(Gait(open=False, elsewhere=False, probe_in=None, hold=0, slots=2), 8)
    assert words.pace(None, 8) == "Up to 8 at once."


def test_a_credential_in_words() -> None:
    """Its kind begins like a sentence, its age is counted from when it was seen first, several are told apart."""
    row = {"setting": "secret", "kind": "signing secret", "place": 2, "since": datetime(2026, 2, 28, 12, tzinfo=UTC)}
    told = words.credential(row, NOW)
    assert (told["kind"], told["age"], told["part"]) == ("Signing secret", 86_400.0, "while they rotate")
    told = words.credential({**row, "kind": "API key", "place": 0, "since": None}, NOW)
    assert (told["kind"], told["age"], told["part"]) == ("API key", None, "")


def test_plots_of_anything() -> None:
    """Nothing at all, who is not in yet, a moment and a week are drawn, and told in words."""
    hours = [
        plots.hour(NOW, []),
        plots.hour(NOW, [None]),
        plots.hour(NOW, [0.0, 0.001]),
        plots.hour(NOW, [7 * 86_400.0, None, 2.0]),
    ]
    assert [(one.looked_at, one.waiting, one.median, one.p99) for one in hours] == [
        (0, 0, None, None),
        (1, 1, None, None),
        (2, 0, 0.0, 0.001),
        (3, 1, 2.0, 604_800.0),
    ]
    assert "2 of 4 hours" in plots.ways_in(hours)
    assert "No purchase" in plots.ways_in(hours[:1])


@pytest.mark.parametrize(
    ("headers", "address", "https"),
    [
        ({}, "10.0.0.1", False),
        ({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, "203.0.113.7", True),
        ({"X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.0.0.9"}, "203.0.113.7", False),
        ({"X-Forwarded-For": "10.0.0.8, 10.0.0.9"}, "10.0.0.8", False),
        ({"X-Forwarded-For": "nonsense, 10.0.0.9"}, "10.0.0.9", False),
        ({"X-Forwarded-For": "203.0.113.7:4711"}, "203.0.113.7", False),
        ({"X-Forwarded-For": "[2001:db8::7]:4711"}, "2001:db8::7", False),
        ({"X-Forwarded-For": "::ffff:203.0.113.7"}, "203.0.113.7", False),
        ({"X-Forwarded-For": ", ,"}, "10.0.0.1", False),
    ],
)
def test_whom_a_trusted_proxy_asks_for(headers: dict[str, str], address: str, https: bool) -> None:
    """Of the addresses that are told, the last that no trusted proxy has is the client's."""
    found = _peer("10.0.0.1", headers, [ip_network("10.0.0.0/8")])
    assert (found.address, found.https) == (address, https)


def test_nobody_else_is_believed() -> None:
    """Without a trusted proxy, and from another network, the headers count for nothing."""
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    for trusted in ([], [ip_network("192.0.2.0/24")], [ip_network("::/0")]):
        found = _peer("10.0.0.1", headers, trusted)
        assert (found.address, found.https) == ("10.0.0.1", False)


def test_one_customer_has_many_addresses() -> None:
    """Failures count for 64 bits of an IPv6 address, and for all of an IPv4 one."""
    assert _peer("2001:db8::1", {}).network == _peer("2001:db8::2", {}).network
    assert _peer("203.0.113.1", {}).network != _peer("203.0.113.2", {}).network


def _peer(remote: str, headers: dict[str, str], trusted: Networks = ()) -> Peer:
    return judged(remote, CIMultiDict(headers), trusted)
