"""What the ledger tells of itself: lists, details and the story of a purchase, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.postgresql import Server
from bridge import registry
from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.inbound import InboundEvent
from bridge.intake.intake import Intake
from bridge.ledger import reports
from bridge.ledger.reports import Filter
from bridge.ledger.store import Ledger
from bridge.ledger.story import story

BOUGHT = datetime.now(UTC) - timedelta(hours=2)
SHOP = SourceEntry("shop", "elevate", "members", "shop")
OTHER = SourceEntry("other", "elevate", "guests", "other")
ADA = Learner(remote_user_id="4711", email="Ada@Bücher.example", first_name="Ada")


@pytest.fixture(scope="module")
def postgres():
    server = Server()
    yield server.url()
    server.end()


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def told(request, tmp_path_factory):
    """Answer questions on a ledger in which a purchase, its refund and a stranger's order have happened."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/bridge.db"
    else:
        url = request.getfixturevalue("postgres")
    asyncio.run(_happen(url))

    def answer(question):
        return asyncio.run(_read(url, question))

    return answer


async def _read(url, question):
    ledger = Ledger(url)
    try:
        return await ledger.read(question)
    finally:
        await ledger.close()


def _catalogue() -> Catalogue:
    elevate, hubspot = registry.connector_class("elevate"), registry.connector_class("hubspot")
    lms = TargetEntry("lms", "elevate", "lms", "user_id", True, elevate.course_for, elevate.Course)
    crm = TargetEntry("crm", "hubspot", "crm", "email", False, hubspot.course_for)
    intro = CourseEntry("intro", "Intro", tables={"lms": elevate.Course()})
    products = {(source, "INTRO"): ProductEntry(("intro",)) for source in ("shop", "other")}
    return Catalogue({"shop": SHOP, "other": OTHER}, {"lms": lms, "crm": crm}, {"intro": intro}, products, "d1")


async def _happen(url) -> None:
    ledger = Ledger(url)
    await ledger.open()
    catalogue = _catalogue()
    intake = Intake(ledger, lambda: catalogue)

    async def accept(source, command, at) -> None:
        adapter = registry.adapter_class("elevate")(
            registry.adapter_class("elevate").Settings.model_validate({"adapter": "elevate", "api_key": "k"})
        )
        event = InboundEvent("POST", "/in/shop", {"content-type": "application/json"}, {}, b"{}", at)
        await intake.accept(source, adapter, event, [command])

    try:
        order = Order(number="1001", transaction_id="txn_9", total=None)
        await accept(
            SHOP,
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=BOUGHT,
                event_key="evt-1",
                business_key="1001",
                learner=ADA,
                items=(Item(remote_product_id="INTRO", line="1"), Item(remote_product_id="MUG", line="2")),
                order=order,
            ),
            BOUGHT,
        )
        await accept(
            SHOP,
            EnrollmentCommand(
                action=Action.REFUND,
                occurred_at=BOUGHT + timedelta(hours=1),
                event_key="evt-2",
                business_key="1001",
                order=order,
                refund=Refund(),
            ),
            BOUGHT + timedelta(hours=1),
        )
        await accept(
            OTHER,
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=BOUGHT,
                learner=Learner(email="bob@example.org"),
                items=(Item(remote_product_id="INTRO"), Item(remote_product_id="CAP")),
            ),
            BOUGHT + timedelta(hours=1),
        )
    finally:
        await ledger.close()


@pytest.mark.parametrize(
    ("what", "by", "kind"),
    [
        ("1001", None, "order"),
        ("txn_9", "order", "order"),
        ("evt-1", None, "event"),
        ("evt-2", "event", "event"),
        ("4711", "user", "user"),
        ("ada@bücher.example", None, "email"),
        ("ADA@xn--bcher-kva.example", "email", "email"),
        ("1", "registration", "registration"),
    ],
)
def test_a_purchase_is_found_by_whatever_somebody_knows_of_it(told, what, by, kind) -> None:
    """Order, transaction, event, person or id: each leads to the one registration."""
    found = told(lambda connection: story(connection, what, by))
    assert {row["order_number"] for row in found["purchases"]} == {
        "1001"
    }  # the unmapped line keeps that it was taken back
    assert kind in found["purchases"][0]["found_by"]


def test_a_refund_is_part_of_the_story(told) -> None:
    """The events stand in order with what each did, and the state that followed is told with the work that is left."""
    purchase, *_ = sorted(
        told(lambda connection: story(connection, "1001"))["purchases"], key=lambda row: row["registration_id"]
    )
    assert [event["event_key"] for event in purchase["events"]] == ["evt-1", "evt-2"]
    assert [event["effect"] for event in purchase["events"]] == ["created", "refunded"]
    assert (purchase["intent"], purchase["learner"]["first_name"]) == ("cancelled", "Ada")
    (grant,) = purchase["grants"]
    assert (grant["live"], grant["right"]["wanted"], grant["right"]["held"]) == (False, False, "no")
    assert {step["target"] for step in purchase["next"]} == {row["target"] for row in purchase["deliveries"]}
    assert all(step["due_at"] is not None for step in purchase["next"] if step["state"] == "open")


def test_another_kind_of_name_finds_nothing(told) -> None:
    """`by` is taken at its word, and ids no ledger can have are no fault."""
    for what, by in (
        ("1001", "event"),
        ("evt-1", "order"),
        ("4711", "email"),
        ("9" * 40, None),
        ("", None),
        ("%", None),
    ):
        assert told(lambda connection, what=what, by=by: story(connection, what, by)) is None, (what, by)


def test_lists_are_narrowed_and_ordered(told) -> None:
    """Newest first, under every condition at once."""
    assert [row["source"] for row in told(lambda c: reports.events(c, Filter()))] == ["other", "shop", "shop"]
    recent = Filter(source="shop", since=BOUGHT + timedelta(minutes=30), state="accepted")
    assert [row["event_key"] for row in told(lambda c: reports.events(c, recent))] == ["evt-2"]
    by_address = Filter(learner="ADA@Bücher.example")
    assert {row["source"] for row in told(lambda c: reports.registrations(c, by_address))} == {"shop"}
    assert len(told(lambda c: reports.deliveries(c, Filter(target="lms")))) == 2
    assert told(lambda c: reports.deliveries(c, Filter(target="lms", state="dead", limit=1))) == []


def test_one_thing_is_told_in_full_or_not_at_all(told) -> None:
    """An event with its effects, a delivery with its right; None for an id that is not there."""
    event = told(lambda c: reports.event(c, 1))
    assert (event["body"], [effect["effect"] for effect in event["effects"]]) == ("{}", ["created"])
    delivery = told(
        lambda c: reports.delivery(c, told(lambda c: reports.deliveries(c, Filter(target="lms")))[0]["delivery_id"])
    )
    assert (delivery["right"]["target"], delivery["attempts"]) == ("lms", [])
    for question in (reports.event, reports.delivery, reports.quarantined):
        assert told(lambda c, question=question: question(c, 4711)) is None


def test_what_waits_for_a_mapping_is_counted(told) -> None:
    """Each unmapped product with its source and how many lines wait; a line with the command that waits."""
    waiting = [(row["source"], row["remote_product_id"], row["waiting"]) for row in told(reports.unmapped)]
    assert ("other", "CAP", 1) in waiting
    (line,) = told(lambda c: reports.quarantine(c, Filter(product="MUG")))
    assert line["person"] == "id:members:4711"
    assert told(lambda c: reports.quarantined(c, line["quarantine_id"]))["command"]["order"]["number"] == "1001"


def test_schema_and_pauses_are_told(told) -> None:
    """A ledger that is up to date says so; nobody paused anything."""
    now, needed = told(reports.revisions)
    assert now == needed
    assert told(reports.pauses) == []
