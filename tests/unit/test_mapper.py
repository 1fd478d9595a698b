"""Mapping: every field of the command by expression, every fault by the field's name, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import (
    Action,
    Cancellation,
    EnrollmentCommand,
    Item,
    Learner,
    Options,
    Order,
    Progress,
    ProgressKind,
    Refund,
)
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Unreadable
from bridge.kit.mapper import Mapper
from bridge.kit.mapping import WORDS, MapsFields
from tests.suites.inbound import ANY_JSON, ANY_TEXT, GARBAGE, RECEIVED, request
from tests.unit.test_expressions import EXPRESSIONS

ENROLL: dict[str, Any] = {
    "action": {"default": "enroll"},
    "learner": {"email": "email"},
    "items": {"remote_product_id": "product"},
}
ADA = {"email": "ada@example.org", "product": "P1"}
EVERYTHING: dict[str, Any] = {
    "action": "event",
    "event_key": "id",
    "business_key": "order.id",
    "occurred_at": "time",
    "livemode": "live",
    "registration_id": "registration",
    "learner": {
        "remote_user_id": "who.id",
        "email": "who.email",
        "first_name": "who.first",
        "last_name": "who.last",
        "phone": "who.phone",
        "attributes": {"chapter": "who.chapter", "Member type": "who.type"},
    },
    "buyer": {"email": "payer.email", "name": "payer.name"},
    "items": {
        "each": "order.lines",
        "remote_product_id": "sku",
        "quantity": "n",
        "amount_paid": {"from": "cents", "minor_units": True},
        "currency": "currency",
        "line": "id",
    },
    "order": {
        "number": "order.number",
        "status": {"from": "order.status", "values": {"1": "paid", "true": "paid"}},
        "total": "order.total",
        "currency": "order.currency",
        "coupon": "order.coupon",
        "payment_method": {"from": "order.method", "default": "card"},
        "transaction_id": "order.charge",
        "subscription_id": "order.subscription",
        "refs": ["order.intent", "order.invoices"],
    },
    "options": {
        "send_email": "mail",
        "full_access": "full",
        "expires_at": "until",
        "groups": "groups",
        "cancellation": {
            "admin_email": "cancel.admin",
            "admin_text": "cancel.why",
            "notify_learner": "cancel.tell",
            "learner_text": "cancel.text",
        },
    },
    "refund": {"full": "whole", "pending": "waiting"},
    "progress": {"kind": "how", "percent": "percent"},
}
BODY: dict[str, Any] = {
    "event": "enroll",
    "id": "e-1",
    "time": "2026-11-22T09:00:00+01:00",
    "live": "yes",
    "who": {
        "id": 1001,
        "email": " ada@example.org ",
        "first": "Ada",
        "last": "King &amp; Lovelace",
        "phone": "+44 1",
        "chapter": "London",
        "type": "{{type}}",
    },
    "payer": {"email": "byron@example.org", "name": "Anne Isabella Byron"},
    "order": {
        "id": 77,
        "number": "A-77",
        "status": True,
        "total": 148.5,
        "currency": "usd",
        "coupon": "SPRING",
        "charge": "ch_1",
        "subscription": "sub_1",
        "intent": "pi_1",
        "invoices": ["in_1", "in_2", "pi_1"],
        "lines": [
            {"id": 1, "sku": "P1", "n": "2", "cents": "9900"},
            {"id": 2, "sku": 7.0, "cents": 4950, "currency": "jpy"},
        ],
    },
    "mail": "no",
    "full": 1,
    "until": 1_800_000_000,
    "groups": "alumni",
}
BOUGHT = EnrollmentCommand(
    action=Action.ENROLL,
    event_key="e-1",
    business_key="77",
    occurred_at=datetime(2026, 11, 22, 8, tzinfo=UTC),
    learner=Learner(
        remote_user_id="1001",
        email="ada@example.org",
        first_name="Ada",
        last_name="King & Lovelace",
        phone="+44 1",
        attributes={"chapter": "London"},
    ),
    buyer=Learner(email="byron@example.org", first_name="Anne Isabella", last_name="Byron"),
    items=(
        Item(remote_product_id="P1", quantity=2, amount_paid=Decimal("99.00"), currency="USD", line="1"),
        Item(remote_product_id="7", amount_paid=Decimal(4950), currency="JPY", line="2"),
    ),
    order=Order(
        number="A-77",
        status="paid",
        total=Decimal("148.5"),
        currency="USD",
        coupon="SPRING",
        payment_method="card",
        transaction_id="ch_1",
        subscription_id="sub_1",
        refs=("pi_1", "in_1", "in_2"),
    ),
    options=Options(
        send_email=False, full_access=True, expires_at=datetime(2027, 1, 15, 8, tzinfo=UTC), groups=("alumni",)
    ),
)


def settings(fields: dict[str, Any] | None = None, **more: Any) -> MapsFields:
    return MapsFields.model_validate({"adapter": "x", "fields": ENROLL if fields is None else fields, **more})


def meanings(body: Any, fields: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    return Mapper(settings(fields, **more)).meanings(body, request())


def the(body: Any, fields: dict[str, Any] | None = None, **more: Any) -> EnrollmentCommand:
    (command,) = meanings(body, fields, **more)
    return command


def faults(body: Any, fields: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
    with pytest.raises(PayloadInvalid) as wrong:
        meanings(body, fields, **more)
    return wrong.value.faults


def test_every_field_of_the_command_has_its_expression() -> None:
    """Numbers as text, text as numbers, names unescaped, merge fields in names left out, repeats told once."""
    assert the(BODY, EVERYTHING) == BOUGHT


def test_the_same_body_may_mean_anything_else() -> None:
    """The action decides which of the fields count."""
    for word in WORDS:
        body = {**BODY, "event": word, "how": "percent", "percent": "50", "whole": False, "waiting": "true"}
        found = meanings(body, EVERYTHING)
        if word == "ignore":
            assert found == []
            continue
        changed: dict[str, Any] = {"action": Action(word)}
        if word == "refund":
            changed["refund"] = Refund(full=False, pending=True)
        if word == "progress":
            changed["progress"] = Progress(kind=ProgressKind.PERCENT, percent=50)
        assert found == [BOUGHT.model_copy(update=changed)]


def test_texts_of_a_cancellation() -> None:
    """And our own registration id, for a caller that kept it."""
    told = {"admin": "office@example.org", "why": "asked for it", "tell": False, "text": "Goodbye."}
    body = {"event": "cancel", "registration": "583919", "cancel": told}
    found = the(body, EVERYTHING)
    assert found.registration_id == 583_919
    assert found.learner is None
    assert found.options.cancellation == Cancellation(
        admin_email="office@example.org", admin_text="asked for it", notify_learner=False, learner_text="Goodbye."
    )


def test_constants_defaults_and_values() -> None:
    """A sender's codes become words; what is empty counts as absent."""
    fields = {
        **ENROLL,
        "order": {
            "status": {"from": "status", "values": {"5": "paid"}, "default": "new"},
            "currency": {"default": "EUR"},
            "payment_method": "'card'",
        },
        "options": {"groups": {"from": "tags", "values": {"a": "alumni"}}},
    }
    for status, expected in {5: "paid", "5": "paid", 6: "6", "": "new", None: "new"}.items():
        order = the({**ADA, "status": status, "tags": ["a", "b"]}, fields).order
        assert (order.status, order.currency, order.payment_method) == (expected, "EUR", "card")
    assert the({**ADA, "tags": ["a", "b"]}, fields).options.groups == ("alumni", "b")


def test_events_have_names_and_fields_of_their_own() -> None:
    """What stands elsewhere in one event replaces what the source says, and leaves the rest."""
    actions = {
        "sold": "enroll",
        "gone": {
            "action": "refund",
            "fields": {"occurred_at": "refunded_at", "items": {"remote_product_id": "`null`"}},
        },
        "ended": {"action": "cancel", "fields": {"business_key": "`null`", "order": {"subscription_id": "sub"}}},
        "seen": "ignore",
    }
    fields = {**ENROLL, "action": "event", "business_key": "order", "occurred_at": "at"}
    body = {**ADA, "order": "A-1", "sub": "sub_1", "at": "2026-01-01", "refunded_at": "2026-02-01"}
    sold = the({**body, "event": "sold"}, fields, actions=actions)
    gone = the({**body, "event": "gone"}, fields, actions=actions)
    ended = the({**body, "event": "ended"}, fields, actions=actions)
    assert (sold.action, sold.business_key, sold.order, sold.occurred_at.month) == ("enroll", "A-1", Order(), 1)
    assert (gone.action, gone.items, gone.refund, gone.occurred_at.month) == ("refund", (), Refund(), 2)
    assert (ended.business_key, ended.order) == (None, Order(subscription_id="sub_1"))
    assert meanings({**body, "event": "seen"}, fields, actions=actions) == []


def test_an_unknown_event_waits_in_quarantine_unless_the_settings_say_otherwise() -> None:
    """A misspelt name would lose purchases without a word."""
    fields = {**ENROLL, "action": "event"}
    actions = {"sold": "enroll"}
    said = "is an event that the settings do not name (from event)"
    assert faults({**ADA, "event": "Sold"}, fields, actions=actions) == {"action": said}
    assert faults(ADA, fields, actions=actions) == {"action": "is missing (from event)"}
    assert faults({**ADA, "event": ["sold"]}, fields, actions=actions) == {
        "action": "must be text or a whole number (from event)"
    }
    for body in ({**ADA, "event": "Sold"}, ADA):
        assert meanings(body, fields, actions=actions, unknown_actions="ignore") == []
    assert faults({**ADA, "event": "sold"}, fields) == {"action": said}


@pytest.mark.parametrize(
    ("operator", "value", "holds"),
    [
        ("equal_to", "paid", True),
        ("not_equal_to", "paid", False),
        ("in", ["paid", "free"], True),
        ("contains", "ai", True),
        ("greater_than", 3, False),
    ],
)
def test_conditions_keep_out_what_is_of_no_use(operator: str, value: Any, holds: bool) -> None:
    """With the operators of only_if, on any expression."""
    when = [{"field": "a.status", "operator": operator, "value": value}]
    assert bool(meanings({**ADA, "a": {"status": "paid"}}, when=when)) is holds


def test_all_conditions_must_hold_and_one_that_fails_is_told() -> None:
    """A body that no condition can be asked of is not ignored."""
    when = [
        {"field": "length(a)", "operator": "greater_than", "value": 1},
        {"field": "b", "operator": "equal_to", "value": 1},
    ]
    assert meanings({**ADA, "a": "xy", "b": 1}, when=when)
    assert not meanings({**ADA, "a": "x", "b": 1}, when=when)
    assert not meanings({**ADA, "a": "xy", "b": 2}, when=when)
    assert faults(ADA, when=when) == {"when": "length() can't take null (in length(a))"}


def test_one_post_may_hold_many_rows_and_a_bad_one_does_not_sink_the_others() -> None:
    """Each sees its own row, and the whole body where it asks for it."""
    fields = {**ENROLL, "order": {"number": "body().order"}, "items": {"remote_product_id": "row().product"}}
    body = {"order": "A-1", "tickets": [ADA, {"email": "bob"}, {**ADA, "email": "bob@example.org"}, 7]}
    first, bad, second, worse = meanings(body, fields, each="tickets")
    assert [first.learner.email, second.learner.email] == ["ada@example.org", "bob@example.org"]
    assert first.order.number == second.order.number == "A-1"
    assert bad == Unreadable("1", {"items.remote_product_id": "is missing (from row().product)"})
    assert worse.row == "3"
    assert set(worse.faults) == {"learner.email", "items.remote_product_id"}


def test_rows_may_be_one_or_none() -> None:
    """But a place where nothing stands is a fault: the expression is wrong, or the body."""
    assert len(meanings({"a": ADA}, each="a")) == 1
    assert meanings({"a": []}, each="a") == []
    assert faults({}, each="a") == {"each": "finds nothing (in a)"}
    assert faults({}, each="length(a)") == {"each": "length() can't take null (in length(a))"}


def test_items_may_be_plain_or_single() -> None:
    """A list of ids, one object, or the body itself."""
    fields = {**ENROLL, "items": {"each": "bought", "remote_product_id": "id || @"}}
    ids = [item.remote_product_id for item in the({**ADA, "bought": ["P1", "P2", 3]}, fields).items]
    assert ids == ["P1", "P2", "3"]
    assert [item.remote_product_id for item in the({**ADA, "bought": {"id": 9}}, fields).items] == ["9"]
    assert faults({**ADA, "bought": []}, fields) == {"items.each": "is missing (from bought)"}
    assert faults({**ADA, "bought": [{"id": 1}, {"id": True}]}, fields) == {
        "items.1.remote_product_id": "must be text or a whole number (from id || @)"
    }


@pytest.mark.parametrize(
    ("value", "more", "expected"),
    [
        ("49.90", {}, "49.90"),
        (49.9, {}, "49.9"),
        (4990, {"minor_units": True}, "49.90"),
        ("4990", {"minor_units": True}, "49.90"),
        ("4990", {"minor_units": True, "digits": 3}, "4.990"),
        ("$1,297.00", {"strip": "$,"}, "1297.00"),
        ("", {}, None),
        (None, {"default": "5"}, "5"),
    ],
)
def test_money_in_each_of_its_forms(value: Any, more: dict[str, Any], expected: str | None) -> None:
    """Always a Decimal in major units."""
    fields = {**ENROLL, "order": {"total": {"from": "total", **more}}}
    found = the({**ADA, "total": value}, fields).order.total
    assert found == (None if expected is None else Decimal(expected))
    assert found is None or str(found) == expected


@pytest.mark.parametrize("currency", ["JPY", "jpy"])
def test_small_units_follow_the_currency(currency: str) -> None:
    """A yen has no cents."""
    fields = {**ENROLL, "order": {"total": {"from": "total", "minor_units": True}, "currency": "currency"}}
    assert the({**ADA, "total": 4990, "currency": currency}, fields).order.total == Decimal(4990)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2022-07-03T07:41:46.6167468-04:00", datetime(2022, 7, 3, 11, 41, 46, 616746, tzinfo=UTC)),
        ("2026-03-01 12:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("03/01/2026 01:30 PM", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        (1_800_000_000, datetime(2027, 1, 15, 8, tzinfo=UTC)),
        ("1800000000", datetime(2027, 1, 15, 8, tzinfo=UTC)),
        (1_800_000_000_000, datetime(2027, 1, 15, 8, tzinfo=UTC)),
        ("1800000000000", datetime(2027, 1, 15, 8, tzinfo=UTC)),
        (None, RECEIVED),
        ("", RECEIVED),
    ],
)
def test_times_in_each_of_their_forms(value: Any, expected: datetime) -> None:
    """One without a zone is the source's; none at all is the time of receipt."""
    fields = {**ENROLL, "occurred_at": "at"}
    more = {"timezone": "Europe/Berlin", "time_format": "%m/%d/%Y %I:%M %p"}
    assert the({**ADA, "at": value}, fields, **more).occurred_at == expected


@pytest.mark.parametrize("value", ["yesterday", True, -1, 1e300, [1], "9" * 30, "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_is_a_fault(value: Any) -> None:
    """A guess would put events in a wrong order."""
    fields = {**ENROLL, "occurred_at": "at"}
    said = "must be a time, such as 2026-11-22T10:00:00Z (from at)"
    assert faults({**ADA, "at": value}, fields) == {"occurred_at": said}


def test_a_paid_period_ends_later_than_it_does() -> None:
    """So that a renewal that is late takes nothing away; and the year 9999 is no end at all."""
    fields = {**ENROLL, "options": {"period_end": "until", "expires_at": "last"}}
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert the({**ADA, "until": "2026-12-01"}, fields).options.expires_at == end + timedelta(days=3)
    assert the({**ADA, "until": "2026-12-01"}, fields, period_grace="1h").options.expires_at == end + timedelta(hours=1)
    assert the({**ADA, "last": "2026-12-01"}, fields).options.expires_at == end
    assert the({**ADA, "last": "9999-12-31"}, fields).options.expires_at is None
    assert the({**ADA, "until": "9999-12-31T23:59:59Z"}, fields).options.expires_at is None


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("test", [True, 1, "true", "1", "TEST", "sandbox"], False),
        ("test", [False, 0, "false", "", None, "live"], True),
        ("livemode", [False, 0, "false", "test", "sandbox"], False),
        ("livemode", [True, 1, "live", "production", "", None], True),
    ],
)
def test_test_orders_are_told_either_way_round(name: str, words: list[Any], expected: bool) -> None:
    """A text that says "false" is not true."""
    fields = {**ENROLL, name: "mode"}
    assert [the({**ADA, "mode": word}, fields).livemode for word in words] == [expected] * len(words)


def test_a_word_that_says_neither_yes_nor_no_is_a_fault() -> None:
    """A real order that is taken for a test is lost."""
    assert faults({**ADA, "mode": "beta"}, {**ENROLL, "test": "mode"}) == {"test": "must be true or false (from mode)"}


@pytest.mark.parametrize("text", ["{{email}}", "~Contact.Email~", "*|EMAIL|*", "%EMAIL%"])
def test_a_merge_field_that_was_not_replaced_is_told_as_such(text: str) -> None:
    """In whatever is needed to know who bought what; everything else is left empty."""
    said = "is a merge field that was not replaced by its value; check how the sender spells it"
    fields = {
        **ENROLL,
        "event_key": "id",
        "occurred_at": "at",
        "livemode": "live",
        "learner": {"email": "email", "first_name": "first", "phone": "phone"},
        "items": {"remote_product_id": "product", "quantity": "n"},
        "order": {"total": "total", "coupon": "coupon"},
    }
    names = ["id", "at", "live", "email", "first", "phone", "product", "n", "total", "coupon"]
    told = faults(dict.fromkeys(names, text), fields)
    assert told == {
        "event_key": f"{said} (from id)",
        "occurred_at": f"{said} (from at)",
        "livemode": f"{said} (from live)",
        "learner.email": f"{said} (from email)",
        "items.remote_product_id": f"{said} (from product)",
        "order.total": f"{said} (from total)",
    }
    assert the({**ADA, "first": text, "phone": text, "coupon": text}, fields) == the(ADA, fields)


def test_all_faults_are_told_at_once_with_their_expressions() -> None:
    """The person who writes the settings corrects them in one go."""
    fields = {
        **ENROLL,
        "event_key": "join('-', ids)",
        "learner": {"email": "email", "remote_user_id": "user"},
        "items": {"each": "lines", "remote_product_id": "id", "quantity": "n", "amount_paid": "price"},
        "order": {"total": {"from": "cents", "minor_units": True}},
    }
    body = {"ids": [1], "user": True, "lines": [{"id": "A", "n": "two", "price": "1,5"}, {}], "cents": 1.5}
    assert faults(body, fields) == {
        "event_key": "join() can't take number (from join('-', ids))",
        "learner.remote_user_id": "must be text or a whole number (from user)",
        "items.0.quantity": "must be a whole number (from n)",
        "items.0.amount_paid": "must be an amount with a point, such as 49.90 (from price)",
        "items.1.remote_product_id": "is missing (from id)",
        "order.total": "must be a whole number of cents (from cents)",
    }
    for name, body in {
        "learner.email": {**ADA, "email": "ada"},
        "items.0.quantity": {**ADA, "lines": [{"id": "A", "n": 0}]},
    }.items():
        told = faults({"lines": [{"id": "A"}], "ids": ["1"], **body}, fields)
        assert list(told) == [name]
        assert "(from " in told[name]


def test_a_nul_character_is_a_fault() -> None:
    """No database keeps it."""
    assert faults({**ADA, "product": "a\0"}) == {"items.remote_product_id": "holds a NUL character (from product)"}


SETTINGS_FAULTS = [
    ({}, 'action is missing: write an expression that finds the event\'s name, or { default = "enroll" }'),
    ({**ENROLL, "action": {"default": "enrol"}}, "action is always 'enrol'; expected one of enroll, cancel,"),
    ({**ENROLL, "action": "'enrol'"}, "action is always 'enrol'; expected one of"),
    ({**ENROLL, "learner": {}}, "learner.email (or learner.remote_user_id) is missing; enroll needs it"),
    ({**ENROLL, "items": {}}, "items.remote_product_id is missing; enroll needs it"),
    ({"action": {"default": "progress"}}, "progress.kind is missing; progress needs it"),
    ({"action": {"default": "cancel"}}, "cancel needs a field to find the purchase by"),
    ({**ENROLL, "learner": {"email": {"values": {}}}}, 'expected "from", an expression, or "default", a constant'),
    ({**ENROLL, "learner": {"email": 5}}, "expected an expression as text, or a table such as"),
    ({**ENROLL, "learner": {"emial": "x"}}, "Extra inputs are not permitted"),
    ({**ENROLL, "order": {"status": {"from": "a", "minor_units": True}}}, "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("fields", "said"), SETTINGS_FAULTS)
def test_fields_that_can_never_work_are_a_fault_of_the_settings(fields: dict[str, Any], said: str) -> None:
    """Not a surprise on the day of the first purchase."""
    with pytest.raises(ValidationError) as wrong:
        settings(fields)
    assert said in str(wrong.value)


def test_what_events_need_is_looked_for_in_their_own_fields_too() -> None:
    """And a constant must be one of the names."""
    fields = {"action": "event", "learner": {"email": "email"}}
    own = {"sold": {"action": "enroll", "fields": {"items": {"remote_product_id": "id"}}}}
    assert settings(fields, actions=own).actions["sold"].action == "enroll"
    with pytest.raises(ValidationError, match="refund needs a field to find the purchase by"):
        settings({"action": "event"}, actions={"back": "refund"})
    with pytest.raises(ValidationError, match="action is always 'x', which actions does not name"):
        settings({**ENROLL, "action": {"default": "x"}}, actions={"sold": "enroll"})
    with pytest.raises(ValidationError, match='expected the name of a time zone, such as "Europe/Berlin"'):
        settings(timezone="Mars/Olympus")


_NAMES = [
    *("event_key", "business_key", "occurred_at", "livemode", "test", "registration_id"),
    *("learner.email", "learner.name", "learner.attributes.x", "buyer.remote_user_id"),
    *("items.each", "items.remote_product_id", "items.quantity", "items.amount_paid", "items.line"),
    *("order.number", "order.total", "order.refs", "options.groups", "options.period_end", "options.send_email"),
    *("options.cancellation.admin_text", "refund.full", "progress.kind", "progress.percent"),
]


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, text in flat.items():
        node = root
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = text
    return root


@given(data=st.data())
@GARBAGE
def test_any_expressions_on_any_body_give_commands_or_a_fault(data: st.DataObject) -> None:
    """Whatever is written where, only PayloadInvalid comes out; and what is a command can be kept."""
    chosen = data.draw(st.dictionaries(st.sampled_from(_NAMES), EXPRESSIONS, max_size=8))
    word = data.draw(st.sampled_from([word for word in WORDS if word != "ignore"]))
    fields = _nested({"learner.email": "a", "items.remote_product_id": "b", "progress.kind": "a", **chosen})
    each = data.draw(st.none() | EXPRESSIONS)
    when = data.draw(
        st.none() | st.builds(lambda text: [{"field": text, "operator": "contains", "value": "a"}], EXPRESSIONS)
    )
    mapper = Mapper(settings({**fields, "action": {"default": word}}, each=each, when=when or []))
    body = data.draw(ANY_JSON | st.dictionaries(st.sampled_from("ab"), ANY_JSON | st.just("ada@example.org")))
    try:
        found = mapper.meanings(body, request(query={"q": data.draw(ANY_TEXT)}))
    except PayloadInvalid as wrong:
        assert wrong.faults  # noqa: PT017 - either outcome is right
        return
    for meaning in found:
        if isinstance(meaning, EnrollmentCommand):
            assert meaning == EnrollmentCommand.model_validate_json(meaning.model_dump_json())
            assert "\\u0000" not in meaning.model_dump_json()
        else:
            assert meaning.faults
