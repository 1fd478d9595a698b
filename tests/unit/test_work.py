"""What a claimed delivery comes to, and what the ledger writes of its outcome."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from bridge.contract.catalogue import Catalogue, CourseEntry, TargetEntry
from bridge.contract.command import Cancellation, Options, Order
from bridge.contract.outbound import (
    NeedsOperator,
    Operation,
    Outcome,
    Pending,
    Receipt,
    Refs,
    Refused,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable
from bridge.dispatch.retry import MAY_BE_TWICE, Next
from bridge.dispatch.settle import buried, nothing, settlement
from bridge.dispatch.work import Nothing, compute, fingerprint_of, forbidden
from bridge.kit.clock import milliseconds, moment
from bridge.kit.http import Exchange
from bridge.ledger.claimed import Claimed

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOW = milliseconds(AT)
ALL = frozenset({Operation.GRANT, Operation.UPDATE, Operation.REVOKE})


class LmsCourse(CourseTable):
    course_id: int


LMS = TargetEntry("lms", "moodle", "lms", "email", True, lambda table, _: table, LmsCourse)
CRM = TargetEntry("crm", "hubspot", "crm", "email", False, lambda table, _: table)
CATALOGUE = Catalogue(
    {},
    {"lms": LMS, "crm": CRM},
    {
        "intro": CourseEntry(
            "intro", "Introduction", "https://school.example/intro", tables={"lms": LmsCourse(course_id=1)}
        )
    },
    {},
    "d1",
)


def learner(**changes: Any) -> Any:
    row = {
        "id": 1,
        "namespace": "ams",
        "remote_user_id": None,
        "email": "ada@example.org",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone": "",
        "attributes": '{"chapter": "North"}',
        "occurred_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return SimpleNamespace(**row | changes)


def registration(number: int = 1, **changes: Any) -> Any:
    row = {
        "id": number,
        "source": "ams",
        "learner_id": 1,
        "remote_product_id": f"P{number}",
        "intent": "live",
        "state": "pending",
        "quantity": 1,
        "amount_paid": f"{number}9.90",
        "currency": "EUR",
        "order_data": Order(number=f"A-{number}").model_dump_json(exclude_none=True),
        "options": "{}",
        "targets": '["crm"]',
        "created_at": NOW + number,
        "updated_at": NOW + 10 * number,
        "course": "intro",
        "live": 1,
        "expires_at": None,
        "full_access": 0,
        "percent": None,
        "percent_at": None,
        "started_at": None,
        "completed_at": None,
        "expired_at": None,
        "opened_at": NOW,
        "taken_at": None,
        "taken_by": None,
        "never_in": 0,
    }
    return SimpleNamespace(**row | changes)


def delivery(**changes: Any) -> Any:
    row = {
        "id": 7,
        "target": "lms",
        "kind": "right",
        "key": "right:3",
        "right_id": 3,
        "person": "email:ada@example.org",
        "learner_id": 1,
        "registration_id": 1,
        "event_id": 1,
        "revision": 4,
        "attempts": 0,
        "age": 0,
        "lease": "l1",
        "unknown": 0,
        "steps": "[]",
    }
    return SimpleNamespace(**row | changes)


def right(**changes: Any) -> Any:
    row = {
        "id": 3,
        "target": "lms",
        "person": "email:ada@example.org",
        "course": '{"course_id": 42}',
        "learner_id": 1,
        "wanted": 1,
        "held": "no",
        "held_as": "",
        "heir_id": None,
    }
    return SimpleNamespace(**row | changes)


def claimed(
    *registrations: Any, learners: tuple[Any, ...] = (), refs: tuple[Any, ...] = (), **of_right: Any
) -> Claimed:
    of_delivery = of_right.pop("delivery", {})
    return Claimed(
        delivery(**of_delivery), right(**of_right), learners or (learner(),), registrations or (registration(),), refs
    )


def contact(
    *registrations: Any, learners: tuple[Any, ...] = (), refs: tuple[Any, ...] = (), **of_delivery: Any
) -> Claimed:
    row = {"target": "crm", "kind": "contact", "key": "email:ada@example.org", "right_id": None} | of_delivery
    return Claimed(delivery(**row), None, learners or (learner(),), registrations, refs)


def work(of: Claimed, target: TargetEntry = LMS, operations: frozenset[Operation] = ALL) -> Work:
    found = compute(of, target, operations, CATALOGUE)
    assert isinstance(found, Work), found
    return found


@pytest.mark.parametrize("held", ["yes", "unknown"])
def test_a_right_with_an_heir_is_not_taken_away(held: str) -> None:
    """Access ends here once the account that takes its place has it."""
    assert isinstance(compute(claimed(wanted=0, held=held, heir_id=4), LMS, ALL, CATALOGUE), Nothing)
    assert work(claimed(wanted=0, held=held)).operation is Operation.REVOKE


@pytest.mark.parametrize("wanted", [0, 1])
@pytest.mark.parametrize("held", ["no", "yes", "unknown"])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("takes_updates", [True, False])
def test_the_operation_is_what_differs_now(wanted: int, held: str, same: bool, takes_updates: bool) -> None:
    """Every combination of what is wanted, what is held, as what, and what the target can do."""
    live = registration(live=wanted)
    as_now = fingerprint_of(claimed(live, wanted=1))
    found = compute(
        claimed(live, wanted=wanted, held=held, held_as=as_now if same else "another"),
        LMS,
        ALL if takes_updates else ALL - {Operation.UPDATE},
        CATALOGUE,
    )
    expected = {
        (1, "no"): Operation.GRANT,
        (1, "unknown"): Operation.GRANT,
        (1, "yes"): None if same or not takes_updates else Operation.UPDATE,
        (0, "no"): None,
        (0, "yes"): Operation.REVOKE,
        (0, "unknown"): Operation.REVOKE,
    }[wanted, held]
    if expected is None:
        assert isinstance(found, Nothing)
        assert found.why
    else:
        assert isinstance(found, Work)
        assert found.operation is expected
        assert found.unknown is (held == "unknown")


@pytest.mark.parametrize(
    "change",
    [
        {"learners": (learner(email="ada@example.com"),)},
        {"learners": (learner(first_name="Augusta"),)},
        {"learners": (learner(last_name="King"),)},
        {"registrations": (registration(expires_at=NOW),)},
        {"registrations": (registration(full_access=1),)},
    ],
)
def test_what_makes_an_update(change: dict[str, Any]) -> None:
    """A changed person, a later end, wider access."""
    before = fingerprint_of(claimed())
    changed = claimed(*change.get("registrations", ()), learners=change.get("learners", ()), held="yes", held_as=before)
    assert work(changed).operation is Operation.UPDATE
    assert fingerprint_of(changed) != before


@pytest.mark.parametrize(
    "change", [{"phone": "123"}, {"attributes": "{}"}, {"occurred_at": 1}, {"remote_user_id": "9"}]
)
def test_what_an_lms_does_not_hold_makes_none(change: dict[str, Any]) -> None:
    """Such changes are the CRM's."""
    before = fingerprint_of(claimed())
    assert isinstance(
        compute(claimed(learners=(learner(**change),), held="yes", held_as=before), LMS, ALL, CATALOGUE), Nothing
    )


DAY = 86_400_000
ENDS = {"early": NOW + DAY, "late": NOW + 9 * DAY, "endless": None}


@pytest.mark.parametrize("ends", list(itertools.product(ENDS, repeat=3)))
def test_the_latest_end_counts_and_endless_wins(ends: tuple[str, ...]) -> None:
    """Over the live grants; one that has ended counts no more."""
    rows = [registration(n, expires_at=ENDS[end]) for n, end in enumerate(ends, 1)]
    terms = work(claimed(*rows, registration(9, live=0, expires_at=None))).terms
    if "endless" in ends:
        assert terms.expires_at is None
    else:
        assert terms.expires_at == moment(max(ENDS[end] or 0 for end in ends))


@pytest.mark.parametrize("full", list(itertools.product([0, 1], repeat=3)))
def test_any_full_access_wins(full: tuple[int, ...]) -> None:
    """Of the live grants."""
    rows = [registration(n, full_access=one) for n, one in enumerate(full, 1)]
    assert work(claimed(*rows, registration(9, live=0, full_access=1))).terms.full_access is any(full)


def test_work_is_complete() -> None:
    """Person, course, particulars of the purchase, terms, remote ids and finished steps."""
    refs = (
        SimpleNamespace(kind="user", key="email:ada@example.org", remote_id="81"),
        SimpleNamespace(kind="enrollment", key="right:3", remote_id="112"),
    )
    options = Options(send_email=True, cancellation=Cancellation(admin_text="moved")).model_dump_json()
    found = work(
        claimed(
            registration(1, options=options),
            refs=refs,
            delivery={"attempts": 2, "steps": '["grant:user made", "revoke:gone"]', "unknown": 1},
        )
    )
    assert (found.delivery_id, found.key, found.person) == (7, "bridge-right-3", "email:ada@example.org")
    assert found.learner.attributes == {"chapter": "North"}
    assert found.course == LmsCourse(course_id=42)
    assert (found.remote_product_id, found.amount_paid, found.currency) == ("P1", Decimal("19.90"), "EUR")
    assert found.terms.send_email is True
    assert found.refs == Refs({"user": "81"}, {"enrollment": "112"})
    assert found.steps == {"user made"}
    assert (found.attempt, found.unknown) == (3, True)


@pytest.mark.parametrize(
    ("operation", "wanted", "held"), [("grant", 1, "no"), ("update", 1, "yes"), ("revoke", 0, "yes")]
)
def test_texts_of_a_cancellation_go_only_with_the_revocation(operation: str, wanted: int, held: str) -> None:
    """A revived registration still has them."""
    options = Options(cancellation=Cancellation(learner_text="bye")).model_dump_json()
    found = work(claimed(registration(1, options=options, live=wanted), wanted=wanted, held=held, held_as="other"))
    assert found.operation.value == operation
    assert (found.cancellation is not None) is (operation == "revoke")


def test_a_grant_names_a_live_purchase() -> None:
    """One of two orders was cancelled last; access is given because of the other."""
    rows = (registration(1, live=0, intent="cancelled", full_access=1), registration(2), registration(3))
    found = work(claimed(*rows))
    assert (found.remote_product_id, found.amount_paid) == ("P3", Decimal("39.90"))
    assert work(claimed(*rows, delivery={"registration_id": 2})).remote_product_id == "P2"


def test_a_revocation_names_the_purchase_that_was_cancelled() -> None:
    """Its texts are what the AMS wanted said."""
    rows = tuple(registration(n, live=0, intent="cancelled") for n in (1, 2))
    assert work(claimed(*rows, wanted=0, held="yes")).remote_product_id == "P1"
    assert work(claimed(*rows, wanted=0, held="yes", delivery={"registration_id": 2})).remote_product_id == "P2"
    assert work(claimed(*rows, wanted=0, held="yes", delivery={"registration_id": None})).remote_product_id == "P2"


def test_a_right_that_nobody_stands_behind_can_still_be_revoked() -> None:
    """Its grants moved to another address."""
    bare = Claimed(delivery(registration_id=None), right(wanted=0, held="yes"), (learner(),), (), ())
    found = work(bare)
    assert (found.operation, found.remote_product_id, found.amount_paid) == (Operation.REVOKE, "", None)


def test_steps_of_another_operation_are_forgotten() -> None:
    """A revocation in between undid what the grant had finished."""
    assert work(claimed(wanted=0, held="yes", delivery={"steps": '["grant:enrolled"]'})).steps == frozenset()


def test_a_contact_shows_the_person_and_every_settled_registration() -> None:
    """Oldest change first, with the course as the catalogue has it."""
    found = work(contact(registration(1, state="active"), registration(2, state="cancelled", live=0)), CRM)
    assert (found.operation, found.key, found.person) == (
        Operation.CONTACT,
        "bridge-contact-1",
        "email:ada@example.org",
    )
    assert [(one.registration_id, one.state, one.live) for one in found.enrollments] == [
        (1, "active", True),
        (2, "cancelled", False),
    ]
    first = found.enrollments[0]
    assert (first.course.title, first.order.number, first.amount_paid) == ("Introduction", "A-1", Decimal("19.90"))
    assert (first.registered_at, first.changed_at) == (AT + timedelta(milliseconds=1), AT + timedelta(milliseconds=10))
    assert first.table is None


@pytest.mark.parametrize("state", ["pending", "cancelling", "failed", "active", "suspended", "cancelled", "expired"])
@pytest.mark.parametrize("when", ["enrolled", "accepted"])
def test_what_is_not_settled_is_shown_only_to_who_wants_to_know_early(state: str, when: str) -> None:
    """A CRM that is told at the receipt never sees a purchase before it is one."""
    found = compute(contact(registration(1, state=state)), replace(CRM, when=when), {Operation.CONTACT}, CATALOGUE)
    if when == "enrolled" and state in ("pending", "cancelling", "failed"):
        assert isinstance(found, Nothing)
    else:
        assert isinstance(found, Work)
        assert [one.state for one in found.enrollments] == [state]


def test_a_contact_shows_only_what_concerns_its_target() -> None:
    """Registrations that another target follows, and those without a course, are left out."""
    rows = (
        registration(1, state="active", targets='["news"]'),
        registration(2, state="active", course=None),
        registration(3, state="active", targets='["news", "crm"]'),
    )
    assert [one.registration_id for one in work(contact(*rows), CRM).enrollments] == [3]
    assert isinstance(compute(contact(*rows[:2]), CRM, {Operation.CONTACT}, CATALOGUE), Nothing)


def test_a_course_that_the_operator_took_out_keeps_its_key() -> None:
    """History is not lost with the configuration."""
    (one,) = work(contact(registration(1, state="active", course="gone")), CRM).enrollments
    assert (one.course.key, one.course.title) == ("gone", "gone")


def test_of_several_learners_with_one_address_the_one_with_an_id_speaks() -> None:
    """An event known only by e-mail never overwrites a learner known by id; then the newest counts."""
    known = learner(id=2, remote_user_id="42", first_name="Augusta", occurred_at=NOW - 9)
    newer = learner(id=3, remote_user_id="43", first_name="Ada K.", occurred_at=NOW)
    found = work(contact(registration(1, state="active"), learners=(learner(occurred_at=NOW + 9), known)), CRM)
    assert (found.learner.first_name, found.key) == ("Augusta", "bridge-contact-2")
    found = work(contact(registration(1, state="active"), learners=(newer, learner(), known)), CRM)
    assert found.learner.first_name == "Ada K."


REPEATS = {
    Operation.GRANT: Repeat.UNSAFE,
    Operation.UPDATE: Repeat.ASSUMED,
}


def test_an_unsafe_operation_is_not_repeated_after_a_crash() -> None:
    """Nobody knows what became of it; only an operator who has looked may have it sent again."""
    for unknown, forbids in ((0, False), (1, True), (2, False)):
        of = claimed(delivery={"unknown": unknown})
        reason = forbidden(of, work(of), REPEATS)
        assert (reason is not None) is forbids
        assert reason is None or reason[1] == MAY_BE_TWICE
    harmless = claimed(held="yes", held_as="other", delivery={"unknown": 1})
    assert forbidden(harmless, work(harmless), REPEATS) is None


def test_what_a_target_can_not_do_is_the_operators() -> None:
    """A right stays held, and somebody knows."""
    of = claimed(wanted=0, held="yes")
    assert forbidden(of, work(of), REPEATS) is not None


def settled(of: Claimed, outcome: Outcome, following: Next | None = None, story: list[Exchange] | None = None) -> Any:
    target = LMS if of.right is not None else CRM
    return settlement(of, work(of, target), outcome, following or Next("done"), story or [], at=NOW, ms=120)


LATER = TryLater("down", cause="outage")
LOST = TryLater("no answer", applied="unknown", cause="outage")


@pytest.mark.parametrize(
    ("outcome", "grant", "update", "revoke"),
    [
        (Receipt(), "yes", "yes", "no"),
        (LATER, None, None, None),
        (LOST, "unknown", "yes", "unknown"),
        (NeedsOperator("x", "y"), None, None, None),
        (NeedsOperator("x", "y", "lane"), None, None, None),
        (Refused("x", "y"), None, None, None),
        (Pending("job", 1.0), "unknown", "yes", "unknown"),
    ],
)
def test_what_a_right_is_held_as_after_each_outcome(
    outcome: Outcome, grant: str | None, update: str | None, revoke: str | None
) -> None:
    """None is: nothing was learnt. An update leaves access as it is, whatever became of it."""
    assert settled(claimed(), outcome).held == grant
    assert settled(claimed(held="yes", held_as="other"), outcome).held == update
    assert settled(claimed(wanted=0, held="yes"), outcome).held == revoke
    assert settled(contact(registration(1, state="active")), outcome).held is None


@pytest.mark.parametrize("outcome", [Refused("no", "mend"), NeedsOperator("look", "mend"), TryLater("busy")])
def test_what_failed_after_the_target_took_something_may_be_there(outcome: Outcome) -> None:
    """A learner may be in although the end of access was refused: a refund must take that away."""
    following = Next("dead")
    of = claimed()
    granting = work(of, LMS)
    for touched, held in ((True, "unknown"), (False, None)):
        assert settlement(of, granting, outcome, following, [], at=NOW, ms=5, touched=touched).held == held


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"intent": "cancelled", "live": 0, "taken_by": "refunded"}, "refunded"),
        ({"intent": "cancelled", "live": 0, "taken_by": "ended"}, "cancelled"),
        ({"intent": "suspended", "live": 0}, "suspended"),
        ({"intent": "expired", "live": 0}, "expired"),
        ({"intent": "live", "live": 0}, "expired"),
    ],
)
def test_a_revocation_says_why_access_ends(changes: dict[str, Any], ended: str) -> None:
    """A shop at the target gives the money back only where it went back."""
    told = work(claimed(registration(1, **changes), wanted=0, held="yes"), LMS)
    assert (told.operation, told.ended, told.order.number) == (Operation.REVOKE, ended, "A-1")


def test_a_receipt_keeps_what_was_confirmed() -> None:
    """So that the next change is seen as one, and a lost update is made again."""
    of = claimed(held="yes", held_as="other")
    assert settled(of, Receipt()).held_as == fingerprint_of(of)
    assert settled(of, LOST).held_as == ""
    assert settled(claimed(wanted=0, held="yes"), Receipt()).held_as == ""


def test_every_outcome_may_carry_refs_and_steps() -> None:
    """The next try goes on from there, also after a refusal."""
    refs = Refs({"user": "81"}, {"enrollment": "112"})
    for outcome in (
        TryLater("later", refs=refs, steps=frozenset({"b", "a"})),
        NeedsOperator("look", "mend", refs=refs, steps=frozenset({"b", "a"})),
        Refused("no", "mend", refs, frozenset({"b", "a"})),
    ):
        written = settled(claimed(delivery={"steps": '["grant:z", "revoke:y"]'}), outcome, Next("later"))
        assert written.refs == (("user", "email:ada@example.org", "81"), ("enrollment", "right:3", "112"))
        assert orjson.loads(written.steps) == ["grant:a", "grant:b", "grant:z"]
    pending = settled(claimed(), Pending("job-7", 5.0, refs), Next("later"))
    assert ("pending", "right:3", "job-7") in pending.refs
    assert settled(contact(registration(1, state="active")), Receipt(refs)).refs == (
        ("user", "email:ada@example.org", "81"),
    )


def test_a_receipt_ends_the_steps() -> None:
    """The next delivery begins anew."""
    assert settled(claimed(delivery={"steps": '["grant:a"]'}), Receipt()).steps == "[]"


@pytest.mark.parametrize(
    ("before", "outcome", "after"),
    [
        (0, LATER, 0),
        (0, LOST, 1),
        (1, LATER, 1),
        (1, Refused("x", "y"), 1),
        (1, Receipt(), 0),
        (2, LATER, 2),
        (2, LOST, 1),
    ],
)
def test_what_is_unknown_stays_so_until_a_receipt(before: int, outcome: Outcome, after: int) -> None:
    """A later failure that surely had no effect doesn't tell what the earlier one had."""
    assert settled(claimed(delivery={"unknown": before}), outcome, Next("later")).unknown == after


def test_times_and_words_of_a_settlement() -> None:
    """Due after the attempt's end plus the delay; reasons masked and cut."""
    following = Next("later", 30.5, 3, 35.25, "no route to ada@example.org " * 40, "wait")
    written = settled(claimed(), LATER, following, [Exchange("POST", "http://x", {"a": 1}, 200, {"b": 2}, None, 5)])
    assert (written.result, written.due_at, written.attempts, written.age) == ("later", NOW + 120 + 30_500, 3, 35_250)
    assert (written.at, written.ms, written.outcome, written.operation) == (NOW, 120, "later", "grant")
    assert (written.lease, written.revision, written.remedy) == ("l1", 4, "wait")
    assert len(written.why) == 500
    assert "ada@" not in written.why
    assert orjson.loads(written.exchanges) == [
        {
            "method": "POST",
            "url": "http://x",
            "sent": {"a": 1},
            "status": 200,
            "answer": {"b": 2},
            "fault": None,
            "ms": 5,
        }
    ]


def test_an_exchange_that_can_not_be_written_down_is_still_told() -> None:
    """A settlement never fails over the record of it."""
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    written = settled(claimed(), Receipt(), None, [Exchange("POST", "http://x", None, 200, deep)])
    assert orjson.loads(written.exchanges) == [{"method": "POST", "url": "http://x", "status": 200}]


def test_nothing_to_do_is_told_and_changes_nothing() -> None:
    """What is held stays as it was."""
    of = claimed(held="yes", held_as="f1", delivery={"attempts": 2, "age": 500, "unknown": 1})
    written = nothing(of, Nothing("held already"), at=NOW)
    assert (written.result, written.outcome, written.operation, written.why) == (
        "done",
        "nothing",
        "none",
        "held already",
    )
    assert (written.held, written.held_as, written.unknown) == ("yes", "f1", 0)


def test_what_must_not_go_out_is_buried_as_it_is() -> None:
    """Nothing was tried and nothing learnt."""
    of = claimed(delivery={"attempts": 2, "age": 500, "unknown": 1, "steps": '["grant:a"]'})
    written = buried(of, "it may have had its effect", "look", at=NOW)
    assert (written.result, written.outcome, written.remedy) == ("dead", "operator", "look")
    assert (written.attempts, written.age, written.unknown, written.steps) == (2, 500, 1, '["grant:a"]')
    assert (written.held, written.refs, written.exchanges) == (None, (), "[]")
