"""For every test: what passes between us and an emulated vendor is held against the vendor's specification; and little garbage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from bridge.edge.collector import tune_collector
from bridge.kit.sandbox import Emulator, Recorded
from connectors.sandbox.hubspot import EMULATOR as HUBSPOT
from connectors.sandbox.mailchimp import EMULATOR as MAILCHIMP
from connectors.sandbox.mailchimp import RESULTS
from tests.suites.specification import Specification

SPECIFIED: tuple[tuple[type[Emulator], tuple[str, ...]], ...] = (
    (
        HUBSPOT,
        (
            "hubspot-contacts.openapi.json",
            "hubspot-deals.openapi.json",
            "hubspot-objects.openapi.json",
            "hubspot-associations-v4.openapi.json",
            "hubspot-associations-schema-v4.openapi.json",
            "hubspot-properties.openapi.json",
            "hubspot-pipelines.openapi.json",
        ),
    ),
    (MAILCHIMP, ("mailchimp-marketing-trimmed.json",)),
)

ELSEWHERE: tuple[str, ...] = (RESULTS,)
"""What an emulator answers in place of another host: no address of the vendor's API. Results of a Mailchimp batch lie there."""


@cache
def specification(names: tuple[str, ...]) -> Specification:
    """Read a vendor's files once a process."""
    return Specification(*names)


def pytest_collection_finish() -> None:
    """Look no more for garbage in thousands of tests that wait: it took a seventh of the time."""
    tune_collector()


@pytest.fixture(autouse=True)
def vendors_specifications() -> Iterator[None]:
    """Fail a test in which a request or an answer was none of the vendor's."""
    faults: list[str] = []

    def witness(kind: type[Emulator], names: tuple[str, ...]) -> None:
        def watch(seen: Recorded, status: int, body: bytes) -> None:
            if seen.path.startswith(ELSEWHERE):
                return
            faults.extend(f"{kind.__name__}: {fault}" for fault in specification(names).faults(seen, status, body))

        kind.witness = watch

    for kind, names in SPECIFIED:
        witness(kind, names)
    yield
    for kind, _ in SPECIFIED:
        kind.witness = None
    assert faults == []
