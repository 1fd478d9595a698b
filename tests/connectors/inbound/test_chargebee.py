"""Chargebee as a source: the suite, then what only this sender says."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from tests.connectors.inbound.payments_rig import ALTERATIONS, altered_text, shop
from tests.suites.inbound import PAYLOADS, InboundSuite, refused, request

ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")
PERIOD_END = datetime(2024, 2, 1, tzinfo=UTC)
LINES = (
    Item(remote_product_id="Intro-EUR-Monthly", amount_paid=Decimal("49.90"), currency="EUR", line="li_1"),
    Item(remote_product_id="Workbook-EUR", amount_paid=Decimal("10.00"), currency="EUR", line="li_2"),
)


def basic(pair: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def bought(event_key: str, item: Item, *, until: datetime | None) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=at(1704067210),
        event_key=event_key,
        business_key="inv-7",
        learner=ADA,
        items=(item,),
        order=Order(
            number="inv-7",
            status="paid",
            total=Decimal("59.90"),
            currency="EUR",
            transaction_id="txn_1",
            subscription_id="sub-1",
            refs=("txn_1",),
        ),
        options=Options(expires_at=until),
    )


def both(event_key: str) -> list[EnrollmentCommand]:
    return [bought(event_key, LINES[0], until=PERIOD_END + timedelta(days=3)), bought(event_key, LINES[1], until=None)]


class TestChargebee(InboundSuite):
    """Webhooks under HTTP Basic authentication."""

    type = "chargebee"
    source: ClassVar[dict[str, Any]] = {"username": "webhook_user", "password": "secret:pass"}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "subscription_created.json": both("ev_1"),
        "payment_succeeded.json": both("ev_2"),
        "payment_refunded.json": [
            EnrollmentCommand(
                action=Action.REFUND,
                occurred_at=at(1704153600),
                event_key="ev_3",
                business_key="inv-7",
                refund=Refund(full=True),
                order=Order(number="inv-7", refs=("txn_1",)),
            )
        ],
        "subscription_in_trial.json": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=at(1704067205),
                event_key="ev_4",
                business_key="trial:sub-2",
                learner=ADA,
                items=(Item(remote_product_id="Intro-EUR-Monthly"),),
                order=Order(status="in_trial", subscription_id="sub-2"),
                options=Options(expires_at=PERIOD_END + timedelta(days=3)),
            )
        ],
        "subscription_cancelled.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=PERIOD_END,
                event_key="ev_5",
                order=Order(subscription_id="sub-1"),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload, headers=basic("webhook_user:secret:pass"))

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        pairs = (
            "",
            ":",
            "webhook_user:",
            ":secret:pass",
            "webhook_user:secret",
            "webhook_user:Secret:pass",
            "other:secret:pass",
        )
        good = event.headers["authorization"].removeprefix("Basic ")
        wrong = [
            *(basic(pair)["authorization"] for pair in pairs),
            f"Bearer {good}",
            good,
            f"Basic {good}=",
            "Basic !",
            "",
        ]
        return {
            **{repr(text): replace(event, headers={"authorization": text}) for text in wrong},
            "absent": replace(event, headers={}),
            "elsewhere": replace(event, headers={}, query={"username": "webhook_user", "password": "secret:pass"}),
        }

    def told(self, name: str, **content: Any) -> InboundEvent:
        """The event of a file, with fields of its content set: ``invoice__status="payment_due"``."""
        event = self.load(name)
        said = event.json
        for path, value in content.items():
            thing, _, field = path.partition("__")
            said["content"].setdefault(thing, {})[field] = value
        return replace(event, body=orjson.dumps(said))

    def meaning(self, name: str, **content: Any) -> list[EnrollmentCommand]:
        return list(self.adapter().normalise(self.told(name, **content)))  # type: ignore[arg-type]

    def test_the_vector_of_the_facts_is_accepted(self) -> None:
        """User name and password as the guide shows them."""
        vector = orjson.loads((PAYLOADS / self.type / "vector.json").read_bytes())
        adapter = self.adapter(username=vector["user"], password=vector["password"])
        headers = {name.lower(): value for name, value in vector["headers"].items()}
        assert not refused(adapter, request(b"{}", headers=headers))

    @given(data=st.data())
    @ALTERATIONS
    def test_any_alteration_of_the_header_is_refused(self, data: st.DataObject) -> None:
        """Also one that base64 would decode to the same bytes; only the scheme's case is free."""
        good = self.load("payment_succeeded.json")
        shown = "Basic " + data.draw(altered_text(good.headers["authorization"].removeprefix("Basic ")))
        assert refused(self.adapter(), replace(good, headers={"authorization": shown}))

    def test_the_scheme_is_written_in_any_case(self) -> None:
        """As HTTP has it."""
        good = self.load("payment_succeeded.json")
        shown = good.headers["authorization"].replace("Basic", "bAsIc")
        assert not refused(self.adapter(), replace(good, headers={"authorization": shown}))

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
    def test_a_password_may_hold_any_letter(self, encoding: str) -> None:
        """In whichever encoding it is sent."""
        shown = base64.b64encode("webhook_user:größe".encode(encoding)).decode()
        assert not refused(self.adapter(password="größe"), request(headers={"authorization": f"Basic {shown}"}))

    def test_takes_both_passwords_while_they_change(self) -> None:
        """The new one first."""
        adapter = self.adapter(password=["new", "old"])
        for password, wanted in {"new": False, "old": False, "secret:pass": True}.items():
            assert refused(adapter, request(headers=basic(f"webhook_user:{password}"))) is wanted

    @pytest.mark.parametrize("username", ["", "a:b"])
    def test_a_user_name_has_no_colon(self, username: str) -> None:
        """The first colon ends it."""
        with pytest.raises(ValidationError, match="username"):
            self.adapter(username=username)

    def test_an_invoice_that_is_not_paid_means_nothing(self) -> None:
        """The payment tells later."""
        for status in ("payment_due", "not_paid", "pending", "voided", "posted", ""):
            assert self.meaning("subscription_created.json", invoice__status=status) == []

    def test_trials_open_nothing_where_the_seller_says_so(self) -> None:
        """The first paid invoice does."""
        event = self.load("subscription_in_trial.json")
        assert self.adapter(trials=False).normalise(event) == []

    def test_an_older_site_names_the_plan_of_a_trial(self) -> None:
        """Before item prices there were plans."""
        [command] = self.meaning(
            "subscription_in_trial.json", subscription__subscription_items=None, subscription__plan_id="intro"
        )
        assert [item.remote_product_id for item in command.items] == ["intro"]

    def test_an_invoice_of_several_subscriptions_is_told_apart(self) -> None:
        """Each is cancelled by itself later."""
        [first, _] = self.load("payment_succeeded.json").json["content"]["invoice"]["line_items"]
        lines = [first, {**first, "id": "li_9", "subscription_id": "sub-9"}]
        commands = self.meaning("payment_succeeded.json", invoice__line_items=lines)
        assert [command.order.subscription_id for command in commands] == ["sub-1", "sub-9"]
        assert {command.business_key for command in commands} == {"inv-7"}

    def test_a_line_without_an_id_is_its_description(self) -> None:
        """A charge that somebody typed by hand."""
        lines = [{"id": "li_1", "entity_type": "adhoc", "description": "Workshop", "amount": 100}]
        [command] = self.meaning("payment_succeeded.json", invoice__line_items=lines, invoice__currency_code="JPY")
        assert command.items == (
            Item(remote_product_id="Workshop", amount_paid=Decimal(100), currency="JPY", line="li_1"),
        )

    def test_an_invoice_without_lines_waits(self) -> None:
        """Nothing says what was bought."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.meaning("payment_succeeded.json", invoice__line_items=[])
        assert list(invalid.value.faults) == ["content.invoice.line_items"]

    def test_the_e_mail_may_stand_in_the_billing_address(self) -> None:
        """Without any, the event waits."""
        [command, _] = self.meaning(
            "payment_succeeded.json", customer__email="", invoice__billing_address={"email": "bob@example.org"}
        )
        assert command.learner is not None
        assert command.learner.email == "bob@example.org"
        with pytest.raises(PayloadInvalid) as invalid:
            self.meaning("payment_succeeded.json", customer__email=None)
        assert list(invalid.value.faults) == ["content.customer.email"]

    def test_a_refund_of_a_part_ends_the_lines_that_are_given_back_whole(self) -> None:
        """Of a part of a line's money nothing follows."""
        notes = [{"cn_id": "cn_1", "cn_total": 2990}]
        lines = [
            {"reference_line_item_id": "li_1", "amount": 1990},
            {"reference_line_item_id": "li_2", "amount": 1000},
        ]
        [command] = self.meaning(
            "payment_refunded.json",
            transaction__amount=2990,
            invoice__issued_credit_notes=notes,
            credit_note__line_items=lines,
        )
        assert command.refund == Refund(full=False)
        assert command.items == LINES[1:]

    def test_refunds_of_parts_add_up(self) -> None:
        """The last one makes it whole."""
        notes = [{"cn_total": 2990}, {"cn_total": 3000}]
        [command] = self.meaning("payment_refunded.json", transaction__amount=3000, invoice__issued_credit_notes=notes)
        assert command.refund == Refund(full=True)

    def test_a_refund_that_names_nothing_waits(self) -> None:
        """Neither invoice nor payment."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.meaning(
                "payment_refunded.json",
                invoice__id="",
                credit_note__reference_invoice_id="",
                transaction__reference_transaction_id="",
            )
        assert list(invalid.value.faults) == ["content.invoice.id"]

    def test_other_events_are_of_no_use(self) -> None:
        """They are counted."""
        event = self.load("payment_succeeded.json")
        for name in ("customer_created", "invoice_updated", "subscription_changed", ""):
            told = replace(event, body=orjson.dumps({**event.json, "event_type": name}))
            assert self.adapter().normalise(told) == []

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    async def test_one_invoice_is_one_registration_until_it_is_refunded(self, tmp_path: Path, order: Any) -> None:
        """Told twice, sent again, and in whatever order."""
        names = ("subscription_created.json", "payment_succeeded.json", "payment_refunded.json")
        line = self.load(names[0]).json["content"]["invoice"]["line_items"][:1]
        events = [self.told(names[place], invoice__line_items=line) for place in order]
        async with shop(tmp_path, self.adapter(), "Intro-EUR-Monthly") as world:
            await world.receive(*events, *events)
            assert await world.intents() == ["cancelled"]
            assert await world.waiting() == 0

    async def test_every_line_of_an_invoice_is_taken_back(self, tmp_path: Path) -> None:
        """Those with a period, and those without."""
        names = ("payment_succeeded.json", "payment_refunded.json", "subscription_created.json")
        async with shop(tmp_path, self.adapter(), "Intro-EUR-Monthly", "Workbook-EUR") as world:
            await world.receive(*(self.load(name) for name in names))
            assert await world.intents() == ["cancelled", "cancelled"]

    async def test_a_purchase_stays_until_its_subscription_ends(self, tmp_path: Path) -> None:
        """All that it ever opened, then."""
        async with shop(tmp_path, self.adapter(), "Intro-EUR-Monthly", "Workbook-EUR") as world:
            await world.receive(self.load("subscription_created.json"), self.load("payment_succeeded.json"))
            assert await world.intents() == ["live", "live"]
            await world.receive(self.load("subscription_cancelled.json"))
            assert await world.intents() == ["cancelled", "cancelled"]
