"""Every recipe of docs/recipes is a configuration that works, and makes of a sender's body exactly what it should."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Unreadable
from bridge.registry import Registry, adapter_class
from config.load import Loaded, load

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.toml"))
PAYLOADS = ROOT / "tests" / "payloads" / "recipes"
RECEIVED = datetime(2026, 11, 22, 10, tzinfo=UTC)
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")


@cache
def recipe(name: str) -> Loaded:
    """Load a recipe with a value of its own for every variable that it names."""
    path = ROOT / "docs" / "recipes" / f"{name}.toml"
    names = re.findall(r"\$\{([A-Z_]+)\}", path.read_text(encoding="utf-8"))
    return load(path, Registry(), {variable: f"made-up-{variable.lower()}" for variable in names})


def adapter(name: str, source: str | None = None) -> InboundAdapter:
    settings = recipe(name).settings.sources[source or name]
    return adapter_class(settings.adapter)(settings)


def event(file: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> InboundEvent:
    return InboundEvent("POST", "/in/x", headers or {}, query or {}, (PAYLOADS / file).read_bytes(), RECEIVED)


def refused(taker: InboundAdapter, sent: InboundEvent) -> bool:
    try:
        taker.verify(sent)
    except SignatureInvalid:
        return True
    return False


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_complete_configuration_without_a_warning(path: Path) -> None:
    """Copied and given its secrets, it starts."""
    found = recipe(path.stem)
    assert found.warnings == ()
    assert found.settings.sources
    assert found.settings.targets
    assert found.settings.products


def test_every_recipe_is_proved_here() -> None:
    """By at least one body."""
    proved = {path.name.partition(".")[0] for path in PAYLOADS.glob("*.json")}
    assert proved == {path.stem for path in RECIPES}


def test_samcart_sells_and_takes_back() -> None:
    """One product or several, amounts with signs, a test flag that is text."""
    taker, key = adapter("samcart"), {"key": "made-up-samcart_key"}
    sold, back = event("samcart.order.completed.json", key), event("samcart.order.refunded.json", key)
    assert not refused(taker, sold)
    assert refused(taker, event("samcart.order.completed.json", {"key": "another"}))
    item = Item(remote_product_id="90210", amount_paid=Decimal("1297.00"), currency="USD")
    order = Order(number="5550123", total=Decimal("1297.00"), currency="USD", transaction_id="ch_3PabcD")
    common: dict[str, Any] = {"business_key": "5550123", "occurred_at": RECEIVED, "learner": ADA, "order": order}
    assert taker.normalise(sold) == [EnrollmentCommand(action=Action.ENROLL, items=(item,), **common)]
    assert taker.normalise(back) == [EnrollmentCommand(action=Action.REFUND, items=(item,), refund=Refund(), **common)]
    (test,) = taker.normalise(_changed(sold, b'"test_order": "false"', b'"test_order": "true"'))
    assert isinstance(test, EnrollmentCommand)
    assert not test.livemode
    assert taker.normalise(_changed(sold, b"order.completed", b"charge.failed")) == []
    with pytest.raises(PayloadInvalid, match="is an event that the settings do not name"):
        taker.normalise(_changed(sold, b"order.completed", b"Order"))


def _changed(sent: InboundEvent, old: bytes, new: bytes) -> InboundEvent:
    assert old in sent.body
    return InboundEvent(sent.method, sent.path, sent.headers, sent.query, sent.body.replace(old, new), sent.received_at)


def test_clickfunnels_signs_time_and_body() -> None:
    """With the secret as it is shown, and ten minutes of tolerance."""
    taker, body = adapter("clickfunnels"), (PAYLOADS / "clickfunnels.contact.identified.json").read_bytes()
    for seconds, wanted in {0: False, 600: False, 601: True}.items():
        stamp = str(int(RECEIVED.timestamp()) - seconds)
        shown = hmac.new(b"made-up-clickfunnels_secret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"x-webhook-clickfunnels-signature": shown, "x-webhook-clickfunnels-timestamp": stamp}
        sent = event("clickfunnels.contact.identified.json", headers=headers)
        assert refused(taker, sent) is wanted
        assert refused(taker, _changed(sent, b"Bob", b"Rob"))


def test_clickfunnels_sells_takes_back_and_tells_of_people() -> None:
    """The refund names the order, not its lines; contact and buyer are one person."""
    taker = adapter("clickfunnels")
    bob = Learner(
        remote_user_id="236296209", email="bob@example.com", first_name="Bob", last_name="Dullan", phone="+18472555555"
    )
    assert taker.normalise(event("clickfunnels.contact.identified.json")) == [
        EnrollmentCommand(
            action=Action.UPDATE,
            event_key="123b4741-3f2d-431a-90d1-ddca0f4d6721",
            occurred_at=at("2024-04-04T19:16:31+00:00"),
            learner=bob,
        )
    ]
    sold = event("clickfunnels.one-time-order.completed.json")
    assert taker.normalise(sold) == [
        EnrollmentCommand(
            action=Action.ENROLL,
            event_key="5b0a4b5e-2f0e-4a0e-9d8b-0d3a6f5f7a11",
            business_key="6986933",
            occurred_at=at("2026-09-30T18:00:23+00:00"),
            learner=bob,
            items=(
                Item(remote_product_id="1037588", amount_paid=Decimal("97.00"), currency="USD"),
                Item(remote_product_id="1037590", amount_paid=Decimal("12.00"), currency="USD"),
            ),
            order=Order(number="8312", total=Decimal("109.00"), currency="USD"),
        )
    ]
    assert taker.normalise(event("clickfunnels.invoice.refunded.json")) == [
        EnrollmentCommand(
            action=Action.REFUND,
            event_key="0f7f4a1c-58a4-4a35-8b1d-6f7f3f1f2b22",
            business_key="6986933",
            occurred_at=at("2026-10-06T08:38:52+00:00"),
            order=Order(total=Decimal("109.00"), currency="USD"),
            refund=Refund(),
        )
    ]
    (ended,) = taker.normalise(_changed(sold, b"one-time-order.completed", b"subscription.churned"))
    assert isinstance(ended, EnrollmentCommand)
    assert (ended.action, ended.business_key, ended.items) == (Action.CANCEL, "6986933", ())
    assert taker.normalise(_changed(sold, b"one-time-order.completed", b"blogs/post.created")) == []


def test_kajabi_sells_in_both_of_its_forms() -> None:
    """The event's name is in the body, or else in the address."""
    taker, address = adapter("kajabi"), {"key": "made-up-kajabi_key", "event": "purchase.created"}
    flat, nested = (event(f"kajabi.{form}.json", address) for form in ("flat", "nested"))
    assert not refused(taker, nested)
    assert refused(taker, event("kajabi.flat.json", {"event": "purchase.created"}))
    for sent, number, who in (
        (flat, "77120455", ADA),
        (nested, "77120456", Learner(email="bob@example.org", first_name="Bob van der", last_name="Berg")),
    ):
        assert taker.normalise(sent) == [
            EnrollmentCommand(
                action=Action.ENROLL,
                event_key=f"purchase.created:{number}",
                business_key=number,
                occurred_at=RECEIVED,
                learner=who,
                items=(Item(remote_product_id="2149012345"),),
                order=Order(number=number),
            )
        ]
    assert taker.normalise(event("kajabi.nested.json", {**address, "event": "payment.succeeded"})) == []
    with pytest.raises(PayloadInvalid, match="is missing"):
        taker.normalise(event("kajabi.nested.json", {"key": "made-up-kajabi_key"}))


def test_novi_tells_of_people() -> None:
    """Known by their id, so that a changed e-mail follows; the orders come by the Registration API."""
    taker = adapter("novi")
    sent = event("novi.person.json")
    shown = hmac.new(b"made-up-novi_signing_secret", sent.body, hashlib.sha256).hexdigest()
    assert not refused(taker, event("novi.person.json", headers={"x-novi-signature": shown}))
    assert refused(taker, event("novi.person.json", headers={"x-novi-signature": shown[::-1]}))
    assert taker.normalise(sent) == [
        EnrollmentCommand(
            action=Action.UPDATE,
            occurred_at=datetime(2026, 11, 20, 15, 4, 5, 123456, tzinfo=UTC),
            learner=Learner(
                remote_user_id="b3f1c9a2-6a40-4d58-9f2e-0c0f9a7d1234",
                email="ada@example.org",
                first_name="Ada",
                last_name="Lovelace",
                phone="(555) 010-1234",
                attributes={"member_type": "Person"},
            ),
        )
    ]
    sources = recipe("novi").settings.sources
    assert sources["novi"].namespace == sources["novi_orders"].namespace == "novi"


def test_a_plain_ams_sells() -> None:
    """Times of New York, a code for the payment method, an end of access."""
    taker = adapter("plain_ams", "ams")
    sent = event("plain_ams.order.paid.json", headers={"authorization": "Bearer made-up-ams_key"})
    assert not refused(taker, sent)
    assert refused(taker, event("plain_ams.order.paid.json", headers={"authorization": "made-up-ams_key"}))
    assert taker.normalise(sent) == [
        EnrollmentCommand(
            action=Action.ENROLL,
            event_key="5512",
            business_key="A-77",
            occurred_at=datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC),
            learner=Learner(
                remote_user_id="1001",
                email="ada@example.org",
                first_name="Ada",
                last_name="Lovelace",
                attributes={"chapter": "London"},
            ),
            items=(
                Item(remote_product_id="INTRO-CE", amount_paid=Decimal("99.0"), currency="USD", line="1"),
                Item(remote_product_id="ETHICS", amount_paid=Decimal("49.5"), currency="USD", line="2"),
            ),
            order=Order(number="A-77", status="paid", total=Decimal("148.5"), currency="USD", payment_method="invoice"),
            options=Options(send_email=True, expires_at=at("2027-11-22T00:00:00-05:00")),
        )
    ]


def test_a_plain_ams_may_post_a_list() -> None:
    """Refunds in each of their kinds, a changed address, a row that is wrong, two of no use."""
    mail = Options(send_email=True)

    def refund(key: str, minute: int, order: Order, kind: Refund, items: tuple[Item, ...] = ()) -> EnrollmentCommand:
        return EnrollmentCommand(
            action=Action.REFUND,
            event_key=key,
            business_key=order.number,
            occurred_at=datetime(2026, 11, 22, 9, minute, tzinfo=UTC),
            items=items,
            order=order,
            options=mail,
            refund=kind,
        )

    line = Item(remote_product_id="ETHICS", line="2")
    assert adapter("plain_ams", "ams").normalise(event("plain_ams.batch.json")) == [
        refund("5513", 40, Order(number="A-77", status="refunded"), Refund(), (line,)),
        refund("5514", 41, Order(number="A-77"), Refund(full=False)),
        refund("5515", 42, Order(number="A-78", status="refund_requested"), Refund(pending=True)),
        EnrollmentCommand(
            action=Action.UPDATE,
            event_key="5516",
            occurred_at=datetime(2026, 11, 22, 9, 43, tzinfo=UTC),
            learner=Learner(remote_user_id="1001", email="ada@lovelace.example"),
            options=mail,
        ),
        Unreadable(
            "4",
            {
                "learner.email": "is a merge field that was not replaced by its value; "
                "check how the sender spells it (from member.email)",
            },
        ),
    ]
