"""Thin and early events as an operator sees them: in lists, in the trace, and what can be done about them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.app.catalogue import catalogue_of
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.inbound import InboundEvent, Lookup
from bridge.intake.intake import Intake
from bridge.jobs.retention import Retention
from bridge.kit.clock import SetClock
from bridge.ledger import lookups
from bridge.ledger.store import Ledger
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ask
from tests.acceptance.rig import configuration, emulators

BOUGHT = datetime.now(UTC) - timedelta(hours=2)


class Said:
    """A webhook whose meaning is known already."""

    synchronous = False
    credential_fields: frozenset[str] = frozenset()
    kept_headers: frozenset[str] = frozenset()

    def __init__(self, *commands: EnrollmentCommand, asks: tuple[Lookup, ...] = ()) -> None:
        self._commands = list(commands)
        self._asks = asks

    def credentials(self):
        return ()

    def normalise(self, _event):
        return self._commands

    def lookups(self, _event):
        return self._asks


def _command(action: Action, at: int, **more) -> EnrollmentCommand:
    return EnrollmentCommand(action=action, occurred_at=BOUGHT + timedelta(minutes=at), **more)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A ledger with a purchase named by a charge, a refund without a purchase, and lookups: open, and given up."""
    return asyncio.run(_happen(tmp_path_factory.mktemp("thin")))


async def _happen(folder):
    async with emulators("elevate") as targets:
        path = configuration(folder, targets)
    settings = load(path, Registry(), env={}).settings
    catalogue = catalogue_of(settings)
    ledger = Ledger(settings.ledger.url)
    await ledger.open()
    intake = Intake(ledger, lambda: catalogue)
    event = InboundEvent("POST", "/in/ams", {}, {}, b"{}", datetime.now(UTC))
    learner = Learner(email="ada@example.org", first_name="Ada")
    bought = _command(
        Action.ENROLL,
        1,
        learner=learner,
        items=(Item(remote_product_id="ABCD1234"),),
        business_key="o-1",
        order=Order(refs=("ch_123",)),
    )
    lost = _command(Action.REFUND, 2, refund=Refund(), order=Order(number="4711", refs=("ch_999",)))
    early = _command(Action.REFUND, 4, refund=Refund(), order=Order(refs=("ch_7",)))
    later = bought.model_copy(update={"business_key": "o-7", "order": Order(refs=("ch_7",))})
    for said in (Said(bought), Said(lost)):
        await intake.receive(catalogue.sources["ams"], said, event)
    thin = Said(asks=(Lookup("order", "17"), Lookup("order", "18")))
    body = b'{"id": "evt_9", "buyer": "eve@example.org"}'
    await intake.receive(catalogue.sources["ams"], thin, replace(event, body=body))
    for said in (Said(early), Said(later)):
        await intake.receive(catalogue.sources["ams"], said, event)
    dead = lookups.Unanswered(2, "dead", 0, 3, 0, "HTTP 404", "Look whether the order is there.")
    await ledger.write(lambda unit: lookups.put_off(unit, [dead], 1))
    await ledger.close()
    return path


def test_lookups_are_listed(known) -> None:
    """With what is asked, and why it was given up."""
    rows = ask("lookups", "--config", known, "--json").json
    assert [(row["lookup_id"], row["key"], row["state"], row["why"]) for row in rows] == [
        (2, "18", "dead", "HTTP 404"),
        (1, "17", "open", ""),
    ]
    assert len(ask("lookups", "--state", "dead", "--config", known, "--json").json) == 1
    shown = ask("lookups", "--config", known).out
    assert "order" in shown
    assert "HTTP 404" in shown


def test_an_event_shows_what_is_asked_about_it(known) -> None:
    """Beside what it did."""
    said = ask("events", "show", "3", "--config", known)
    assert "lookup 2: order 18 dead: HTTP 404" in said.out


@pytest.mark.parametrize("what", ["eve@example.org", "evt_9"])
def test_a_trace_finds_what_a_sender_is_still_to_be_asked_about(known, what: str) -> None:
    """Somebody paid and is not in yet: the story says on what it waits and, where that was given up, what to do."""
    said = " ".join(ask("trace", what, "--config", known).out.split())
    assert "It waits for an answer of ams: lookup 1 (order 17) is asked at" in said
    assert "ams was asked in vain, lookup 2 (order 18): HTTP 404. Look whether the order is there." in said
    assert "Then: bridge requeue --lookups 2" in said
    (event,) = ask("trace", what, "--config", known, "--json").json["events"]
    assert [lookup["state"] for lookup in event["lookups"]] == ["open", "dead"]


def test_a_trace_finds_a_purchase_by_any_id_of_its_order(known) -> None:
    """A charge, say, that only a refund would name."""
    said = ask("trace", "ch_123", "--config", known)
    assert said.code == 0
    assert "registration 1" in said.out


def test_a_trace_tells_that_a_refund_came_before_its_purchase(known) -> None:
    """And what became of it then."""
    said = ask("trace", "ch_7", "--config", known).out
    assert "registration 2: cancelled" in said
    assert "it came before its purchase" in said
    assert "released: its purchase came" in said


@pytest.mark.parametrize("what", ["ch_999", "4711"])
def test_a_trace_tells_of_a_refund_that_waits_for_its_purchase(known, what) -> None:
    """Nothing needs to be done about it."""
    said = ask("trace", what, "--config", known)
    assert said.code == 0
    assert "event 2 of ams waits for its purchase" in said.out
    assert "early" in ask("quarantine", "--config", known).out


def test_a_dead_lookup_is_asked_again(known) -> None:
    """A dry run first; only those that were given up."""
    again = ("requeue", "--lookups", "--config", known)
    assert ask(*again, "--all", "--dry-run", "--json").json[0]["lookup_id"] == 2
    assert ask(*again, "1").code == 1
    assert ask(*again).code == 2
    assert ask(*again, "--target", "elevate").code == 2
    assert ask("requeue", "--source", "ams", "--config", known).code == 2
    assert "1 lookup requeued" in ask(*again, "--source", "ams").out
    assert ask("lookups", "--state", "dead", "--config", known, "--json").json == []


def test_a_refund_whose_purchase_never_comes_is_given_up_in_the_end(known) -> None:
    """After ninety days, and not a day before."""

    def after(days: int) -> str:
        asyncio.run(_retained(known, days))
        rows = ask("quarantine", "--state", "all", "--config", known, "--json").json
        return next(row["state"] for row in rows if row["event_id"] == 2)

    assert after(89) == "waiting"
    assert after(91) == "superseded"


async def _retained(path, days: int) -> None:
    clock = SetClock(datetime.now(UTC) + timedelta(days=days))
    ledger = Ledger(load(path, Registry(), env={}).settings.ledger.url)
    await ledger.open()
    await Retention(ledger, lambda: timedelta(days=400), clock).run()
    await ledger.close()
