"""What the console says, and whom it believes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from multidict import CIMultiDict

from bridge.edge.console import plots, words
from bridge.edge.forwarded import Networks, Peer, judged

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


def test_causes_are_grouped_without_their_particulars() -> None:
    """Ids, numbers and quotations do not make a cause of their own; another remedy or target does; what is shown is masked."""

    def row(n: int, why: str, target: str = "lms", remedy: str = "look") -> dict:
        return {"id": n, "target": target, "kind": "right", "why": why, "remedy": remedy, "updated_at": NOW}

    rows = [
        row(1, "course 42 is gone"),
        row(2, "course 43 is gone"),
        row(3, "course 42 is gone", target="crm"),
        row(4, "course 42 is gone", remedy="wait"),
        row(5, "ada@example.org is unknown"),
        row(6, "bob@example.com is unknown"),
    ]
    groups = words.grouped(rows, "target", "id")
    assert sorted(group["ids"] for group in groups) == [[1, 2], [3], [4], [5, 6]]
    assert "ada@example.org" not in str([group["why"] for group in groups])


def test_quiet_is_measured_by_what_a_source_did_before() -> None:
    """A busy source is quiet after an hour, one with long nights after half as long again, one never heard of is not."""
    busy = [NOW - timedelta(minutes=50 + n) for n in range(20)]
    assert words.quiet(busy, NOW, None)["quiet"] is False
    assert words.quiet(busy, NOW + timedelta(minutes=11), None)["quiet"] is True
    nights = [NOW - timedelta(hours=10), NOW - timedelta(hours=20)]
    assert words.quiet(nights, NOW, None)["quiet"] is False
    assert words.quiet(nights, NOW + timedelta(hours=6), None)["quiet"] is True
    assert words.quiet([], NOW, None)["quiet"] is False
    assert words.quiet([], NOW, NOW - timedelta(hours=3))["quiet"] is True


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
