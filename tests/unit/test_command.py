"""The canonical command and its parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.contract.command import (
    Action,
    EnrollmentCommand,
    Item,
    Learner,
    Options,
    Progress,
    ProgressKind,
    Refund,
    email_key,
)
from bridge.kit.clock import SetClock, milliseconds, moment

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
ADA = Learner(email="ada@example.org")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.ORG", "ada@example.org"),
        (" ada@example.org ", "ada@example.org"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("STRASSE@example.org", "straße@example.org"),
        ('"a@b"@example.org', '"A@B"@EXAMPLE.org'),
    ],
)
def test_spellings_of_one_address_compare_equal(one: str, other: str) -> None:
    """Case-folded and IDNA-normalised."""
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada@example.org", "ada@example.com"), ("a.da@example.org", "ada@example.org"), ("a+b@x.y", "a@x.y")],
)
def test_different_addresses_stay_different(one: str, other: str) -> None:
    """Whose dots and plus signs count is the mail server's business, not ours."""
    assert email_key(one) != email_key(other)


@given(st.emails())
def test_a_key_is_its_own_key(email: str) -> None:
    """Comparing keys twice changes nothing."""
    assert email_key(email_key(email)) == email_key(email)


@pytest.mark.parametrize(
    "text",
    ["", "@", "ada", "ada@", "@example.org", "a b@example.org", "a\n@example.org", "a@b\x00.org", "x" * 250 + "@e.org"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With words a sender's developer can act on."""
    with pytest.raises(ValidationError, match="must be an e-mail address"):
        Learner(email=text)


def test_an_address_is_stored_as_given() -> None:
    """But for the white space around it."""
    assert Learner(email="  Ada@Example.ORG ").email == "Ada@Example.ORG"


def test_a_learner_is_known_somehow() -> None:
    """By id, by e-mail, or by both."""
    assert Learner(remote_user_id="42").email is None
    with pytest.raises(ValidationError, match="remote_user_id or an email"):
        Learner(first_name="Ada")


def test_times_are_utc() -> None:
    """A naive one is taken to be UTC, another zone is converted."""
    naive = EnrollmentCommand(action=Action.UPDATE, occurred_at="2026-11-22T10:00:00", learner=ADA)
    assert naive.occurred_at == AT
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert Options(expires_at=berlin).expires_at == AT
    assert str(Options(expires_at=berlin).expires_at).endswith("+00:00")


def item(**changes) -> Item:
    return Item(**{"remote_product_id": "ABCD1234"} | changes)


def test_money_is_exact() -> None:
    """Major units, as decimals."""
    assert item(amount_paid="49.90").amount_paid == Decimal("49.90")
    with pytest.raises(ValidationError):
        item(quantity=0)


@pytest.mark.parametrize(
    ("action", "needs"),
    [
        (Action.ENROLL, {"learner": ADA, "items": (Item(remote_product_id="X"),)}),
        (Action.UPDATE, {"learner": ADA}),
        (Action.REFUND, {"refund": Refund()}),
        (Action.PROGRESS, {"progress": Progress(kind=ProgressKind.COMPLETED)}),
        (Action.CANCEL, {}),
        (Action.SUSPEND, {}),
        (Action.RESUME, {}),
    ],
)
def test_a_command_is_complete(action: Action, needs: dict) -> None:
    """Each action with what it can't do without, and not with less."""
    assert EnrollmentCommand(action=action, occurred_at=AT, **needs).action is action
    for missing in needs:
        with pytest.raises(ValidationError):
            EnrollmentCommand(action=action, occurred_at=AT, **{name: needs[name] for name in needs if name != missing})


def test_a_command_is_frozen_and_takes_nothing_unknown() -> None:
    """What an adapter misspells is a fault, not a loss."""
    command = EnrollmentCommand(action=Action.CANCEL, occurred_at=AT)
    with pytest.raises(ValidationError):
        command.action = Action.RESUME
    with pytest.raises(ValidationError):
        EnrollmentCommand(action=Action.CANCEL, occurred_at=AT, registration="7")


def test_a_command_survives_the_ledger() -> None:
    """A quarantined line comes back as it went in."""
    command = EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=AT,
        event_key="evt_1",
        learner=ADA,
        items=(item(amount_paid=Decimal("0.10")),),
        options=Options(expires_at=AT, full_access=True, groups=("a",)),
    )
    assert EnrollmentCommand.model_validate_json(command.model_dump_json()) == command


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_are_kept_exactly(ms: int) -> None:
    """Until the year 9999."""
    assert milliseconds(moment(ms)) == ms


def test_a_set_clock_stands_until_it_is_moved() -> None:
    """Both of its hands."""
    clock = SetClock(AT)
    assert (clock.now(), clock.monotonic()) == (AT, 0.0)
    clock.move(1.5)
    assert (clock.now(), clock.monotonic()) == (AT + timedelta(seconds=1.5), 1.5)


@pytest.mark.parametrize("quantity", [0, -1, 2**31])
def test_a_quantity_is_a_number_that_can_be_kept(quantity: int) -> None:
    """One that no database holds would be turned away again and again, as if the ledger were at fault."""
    with pytest.raises(ValidationError, match="quantity"):
        Item(remote_product_id="A", quantity=quantity)
