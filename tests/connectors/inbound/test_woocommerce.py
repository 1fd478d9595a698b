"""WooCommerce as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Handshakes, InboundEvent, Unreadable
from tests.connectors.inbound.shops_rig import (
    ALTERATIONS,
    altered,
    altered_text,
    captured,
    in_base64,
    shop,
    signed_examples,
)
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "made-up-for-the-test"
BODY = "order.created.restdocs.json"
COUPON = "coupon.created.hookdeck.json"
PAID_AT = datetime(2017, 3, 22, 19, 28, 8, tzinfo=UTC)
JOHN = Learner(email="john.doe@example.com", first_name="John", last_name="Doe", phone="(555) 555-5555")
SOME, ALL = [{"id": 9, "reason": "", "total": "-9.99"}], [{"id": 9, "total": "-9.35"}, {"id": 10, "total": "-20.00"}]


def sent(topic: str, body: Any) -> InboundEvent:
    """A delivery, signed."""
    payload = orjson.dumps(body)
    headers = {"x-wc-webhook-topic": topic, "x-wc-webhook-signature": in_base64(SECRET, payload)}
    return request(payload, headers={name: text for name, text in headers.items() if text})


def later(minutes: int) -> str:
    """A time in the way of WooCommerce, so many minutes after the payment."""
    return f"2017-03-22T20:{minutes:02}:00"


class TestWooCommerce(InboundSuite):
    """Webhooks, signed over the raw body."""

    type = "woocommerce"
    source: ClassVar[dict[str, Any]] = {"signing_secrets": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        BODY: [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=PAID_AT,
                event_key="727:b03cfb5f629451dec695efcf0666c14f",
                business_key="727",
                learner=JOHN,
                items=(
                    Item(remote_product_id="93", quantity=2, amount_paid=Decimal("6.00"), currency="USD", line="315"),
                    Item(remote_product_id="22", amount_paid=Decimal("12.00"), currency="USD", line="316"),
                ),
                order=Order(
                    number="727",
                    status="processing",
                    total=Decimal("29.35"),
                    currency="USD",
                    coupon=None,
                    payment_method="bacs",
                    transaction_id=None,
                    refs=("727",),
                ),
            )
        ],
        "order.legacy.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=datetime(2015, 1, 26, 20, 0, 22, tzinfo=UTC),
                event_key="645:43eb26a6ef72c1ba7ec3d192d4a89119",
                business_key="645",
                learner=JOHN.model_copy(update={"attributes": {"woocommerce_customer": "2"}}),
                items=(
                    Item(remote_product_id="546", quantity=2, amount_paid=Decimal("43.98"), currency="USD", line="504"),
                ),
                order=Order(
                    number="645",
                    status="completed",
                    total=Decimal("79.87"),
                    currency="USD",
                    coupon=None,
                    payment_method="bacs",
                    transaction_id=None,
                    refs=("645",),
                ),
            )
        ],
        COUPON: [],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        if name != COUPON:
            return sent("order.created", orjson.loads(payload))
        body, headers = captured(orjson.loads(payload))
        return request(body, headers={**headers, "x-wc-webhook-signature": in_base64(SECRET, body)})

    def places(self) -> list[InboundEvent]:
        return [self.load(COUPON)]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        good = event.headers["x-wc-webhook-signature"]
        wrong = {
            "empty": "",
            "of another secret": in_base64("another", event.body),
            "in hex": base64.b64decode(good).hex(),
            "without its padding": good.rstrip("="),
        }
        return {
            **{how: self.with_signature(event, text) for how, text in wrong.items()},
            "absent": replace(event, headers={}),
            "in the query": replace(event, headers={}, query={"x-wc-webhook-signature": good}),
            "of another body": replace(event, body=event.body + b" "),
            "a ping": request(b"webhook_id=4"),
        }

    def with_signature(self, event: InboundEvent, text: str) -> InboundEvent:
        return replace(event, headers={**event.headers, "x-wc-webhook-signature": text})

    def order(self, topic: str = "order.updated", **changes: Any) -> InboundEvent:
        """The documented order, changed."""
        return sent(topic, {**orjson.loads((PAYLOADS / self.type / BODY).read_bytes()), **changes})

    def all(self, event: InboundEvent, **settings: Any) -> list[EnrollmentCommand]:
        found = self.adapter(**settings).normalise(event)
        assert all(isinstance(meaning, EnrollmentCommand) for meaning in found)
        return list(found)  # type: ignore[arg-type]

    def the(self, event: InboundEvent, **settings: Any) -> EnrollmentCommand:
        (command,) = self.all(event, **settings)
        return command

    def faults(self, event: InboundEvent) -> list[str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        return list(invalid.value.faults)

    def test_the_signed_examples_are_accepted(self) -> None:
        """WordPress signs with the decoded secret, whichever of the two the operator knows."""
        examples = signed_examples(self.type)
        assert len(examples) == 2
        for event, example in examples:
            for spelling in {example["secret"], example["secret"].replace("&", "&amp;")}:
                assert not refused(self.adapter(signing_secrets=spelling), event)
            assert refused(self.adapter(signing_secrets="another"), event)

    @pytest.mark.parametrize(
        ("typed", "signs"),
        [("&#039;&quot;&lt;&gt;", "'\"<>"), ("&copy;&ltx", "&copy;&ltx"), ("&amp;lt;", "&lt;"), ("a&b", "a&b")],
    )
    def test_a_secret_is_decoded_as_wordpress_does(self, typed: str, signs: str) -> None:
        """Five characters, once, and no other entity."""
        event = self.with_signature(self.load(BODY), in_base64(signs, self.load(BODY).body))
        assert not refused(self.adapter(signing_secrets=typed), event)

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_breaks_the_signature(self, data: st.DataObject) -> None:
        """Of the body, or of the signature."""
        event = self.load(BODY)
        assert refused(self.adapter(), replace(event, body=data.draw(altered(event.body))))
        signature = data.draw(altered_text(event.headers["x-wc-webhook-signature"]))
        assert refused(self.adapter(), self.with_signature(event, signature))

    def test_takes_several_secrets(self) -> None:
        """Each webhook of the shop may have its own."""
        adapter = self.adapter(signing_secrets=["one", "other"])
        for secret, wanted in {"one": False, "other": False, SECRET: True}.items():
            event = self.load(BODY)
            assert refused(adapter, self.with_signature(event, in_base64(secret, event.body))) is wanted

    def test_the_ping_is_answered_with_200(self) -> None:
        """Nothing else is a ping, signed or not."""
        adapter = self.adapter()
        assert isinstance(adapter, Handshakes)
        answer = adapter.handshake(request(b"webhook_id=123"))
        assert answer is not None
        assert answer.status == 200
        topic = {"x-wc-webhook-topic": "order.created"}
        for event in (
            request(b"webhook_id=123", headers=topic),
            *(
                request(body)
                for body in (b"", b"webhook_id=", b"webhook_id=1&a=b", b"webhook_id=x", b'{"webhook_id": 1}')
            ),
            *self.events(),
        ):
            assert adapter.handshake(event) is None

    @pytest.mark.parametrize(
        ("status", "action"),
        [
            *((status, Action.ENROLL) for status in ("processing", "completed", "wc-completed")),
            *((status, None) for status in ("pending", "on-hold", "checkout-draft", "auto-draft", "shipped", "", None)),
            *((status, Action.CANCEL) for status in ("cancelled", "failed", "trash")),
            ("refunded", Action.REFUND),
        ],
    )
    def test_the_status_decides(self, status: str | None, action: Action | None) -> None:
        """Whichever topic brings it: the body is built when it is delivered."""
        for topic in ("order.created", "order.updated", "order.restored", ""):
            found = self.all(self.order(topic, status=status))
            assert [command.action for command in found] == ([action] if action else [])

    def test_what_takes_back_is_dated_by_its_change(self) -> None:
        """A purchase by its payment, so that a mere change of the order is no news."""
        told = {
            status: self.the(self.order(status=status, date_modified_gmt=later(5)))
            for status in ("cancelled", "refunded")
        }
        assert {command.occurred_at for command in told.values()} == {datetime(2017, 3, 22, 20, 5, tzinfo=UTC)}
        assert told["refunded"].refund == Refund(full=True)
        assert self.the(self.order(date_modified_gmt=later(5))).occurred_at == PAID_AT
        assert self.the(self.order("order.restored")).occurred_at == RECEIVED
        done = self.order(status="completed", date_completed_gmt=later(7))
        assert self.the(done).occurred_at == datetime(2017, 3, 22, 20, 7, tzinfo=UTC)
        unpaid = self.order(date_paid_gmt=None, date_modified_gmt=later(5))
        assert self.the(unpaid).occurred_at == datetime(2017, 3, 22, 19, 28, 2, tzinfo=UTC)

    def test_a_refund_in_part_is_noted_beside_the_purchase(self) -> None:
        """It names no line; together they may be all of the money."""
        bought, refunded = self.all(self.order(refunds=SOME))
        assert (bought.action, refunded.action) == (Action.ENROLL, Action.REFUND)
        assert (refunded.refund, refunded.items) == (Refund(full=False), ())
        assert bought.event_key == refunded.event_key
        assert self.the(self.order(refunds=ALL)).refund == Refund(full=True)

    def test_an_event_is_told_by_what_it_says(self) -> None:
        """The delivery's id is another one each time, and the same for two within a second."""
        same = self.order(meta_data=[]), replace(self.order(), headers={"x-wc-webhook-topic": "order.created"})
        different = [
            self.order(id=728),
            self.order(status="completed"),
            self.order(date_modified_gmt=later(1)),
            self.order(refunds=SOME),
            self.order(refunds=[{"id": 9, "total": "-1.00"}]),
            self.order("order.restored"),
        ]
        assert {self.the(event).event_key for event in same} == {self.the(self.order()).event_key}
        assert len({self.all(event)[0].event_key for event in (*same, *different)}) == len(different) + 1

    def test_a_deleted_order_says_only_its_id(self) -> None:
        """It is cancelled from now on."""
        assert self.the(sent("order.deleted", {"id": 727})) == EnrollmentCommand(
            action=Action.CANCEL, occurred_at=RECEIVED, business_key="727"
        )

    @pytest.mark.parametrize("topic", ["order.created", "order.updated", "order.deleted", "order.restored", ""])
    def test_a_body_without_an_id_is_bad(self, topic: str) -> None:
        """So is the error that is posted once the webhook's owner has lost their rights."""
        error = {"code": "woocommerce_rest_cannot_view", "message": "Sorry.", "data": {"status": 403}}
        assert self.faults(sent(topic, error)) == ["id"]
        assert self.faults(sent(topic, {"order": {}, "id": 1})) == ["order.id"]

    @pytest.mark.parametrize("topic", ["product.updated", "customer.created", "coupon.deleted", "subscription.created"])
    def test_other_things_than_orders_are_of_no_use(self, topic: str) -> None:
        """Whatever they say."""
        assert self.all(sent(topic, {"id": 1, "status": "completed"})) == []

    @pytest.mark.parametrize(
        ("hook", "action"),
        [
            ("woocommerce_order_status_cancelled", Action.CANCEL),
            ("woocommerce_order_status_failed", Action.CANCEL),
            ("woocommerce_order_fully_refunded", Action.REFUND),
            ("woocommerce_order_partially_refunded", None),
            ("woocommerce_add_to_cart", None),
        ],
    )
    def test_a_custom_hook_says_only_the_orders_id(self, hook: str, action: Action | None) -> None:
        """Which is enough to take it back."""
        found = self.all(sent(f"action.{hook}", {"action": hook, "arg": 727}))
        assert [(command.action, command.business_key) for command in found] == ([(action, "727")] if action else [])
        assert self.all(sent(f"action.{hook}", {"action": hook, "arg": []})) == []

    def test_a_hook_that_tells_of_a_purchase_is_told_not_to(self) -> None:
        """Somebody has paid, and nobody would know for what."""
        event = sent("action.woocommerce_payment_complete", {"action": "woocommerce_payment_complete", "arg": 727})
        assert self.faults(event) == ["arg"]

    @pytest.mark.parametrize(
        ("field", "wanted"), [("product_id", ["93", "22"]), ("variation_id", ["93", "23"]), ("sku", ["93", "Bar3"])]
    )
    def test_the_operator_says_which_field_is_the_product(self, field: str, wanted: Sequence[str]) -> None:
        """Where it is empty or 0 another one stands in."""
        items = self.the(self.order(), product_field=field).items
        assert [item.remote_product_id for item in items] == wanted

    def test_a_line_that_cannot_be_read_does_not_sink_the_others(self) -> None:
        """It waits by itself."""
        lines = [{"id": 1, "product_id": 0}, {"id": 2, "product_id": 7}, {"id": 3, "name": "Custom"}]
        bought, bad = self.adapter().normalise(self.order(line_items=lines))
        assert isinstance(bought, EnrollmentCommand)
        assert [item.remote_product_id for item in bought.items] == ["7", "Custom"]
        assert bad == Unreadable("1", {"line_items.product_id": "is missing"})
        assert self.faults(self.order(line_items=[])) == ["line_items"]

    def test_a_purchase_needs_an_e_mail(self) -> None:
        """A cancellation does not."""
        assert self.faults(self.order(billing={"email": ""})) == ["billing.email"]
        assert self.the(self.order(status="cancelled", billing={})).action is Action.CANCEL

    async def test_an_order_lives_as_its_status_says(self, tmp_path: Path) -> None:
        """Told often, bought once; a change of the order is no news; what was taken back stays so until it is paid again."""
        live, ended = {"315": "live", "316": "live"}, {"315": "cancelled", "316": "cancelled"}
        async with shop(tmp_path, self.adapter(), "93", "22") as world:
            await world.receive(self.order("order.created", status="pending", date_paid_gmt=None))
            assert await world.lines() == {}
            await world.receive(*(self.order(date_modified_gmt=later(minute)) for minute in (0, 0, 1, 2)))
            assert await world.lines() == live
            assert len(await world.world.deliver("school")) == 1  # both products open one course
            await world.receive(
                self.order(date_modified_gmt=later(3)), self.order(refunds=SOME, date_modified_gmt=later(4))
            )
            assert await world.lines() == live
            assert await world.world.deliver("school") == []
            await world.receive(self.order(status="cancelled", date_modified_gmt=later(10)))
            assert await world.lines() == ended
            await world.receive(self.order(date_modified_gmt=later(9)))
            assert await world.lines() == ended
            again = {"status": "completed", "date_completed_gmt": later(20), "date_modified_gmt": later(20)}
            await world.receive(self.order(**again))
            assert await world.lines() == live
            await world.receive(self.order(status="refunded", date_modified_gmt=later(30)))
            assert await world.lines() == ended
            await world.receive(self.order(**again))
            assert await world.lines() == ended
            assert await world.waiting() == []

    async def test_the_trash_takes_back_and_gives_back(self, tmp_path: Path) -> None:
        """With nothing but the id, and then with the whole order."""
        restored = replace(self.order("order.restored"), received_at=RECEIVED.replace(minute=5))
        async with shop(tmp_path, self.adapter(), "93", "22") as world:
            await world.receive(self.order(), sent("order.deleted", {"id": 727}))
            assert set((await world.lines()).values()) == {"cancelled"}
            await world.receive(restored)
            assert set((await world.lines()).values()) == {"live"}
