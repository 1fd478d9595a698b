"""Mailchimp as a target: the suite, then what only Mailchimp does."""

from __future__ import annotations

from typing import ClassVar

import pytest

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import Operation, Receipt, Refs, Refused, TryLater
from connectors.outbound.mailchimp.plan import subscriber_hash
from connectors.sandbox.mailchimp import LIST, Member
from tests.connectors.outbound.mailchimp_rig import (
    ADAS,
    PATH,
    AtMailchimp,
    contact,
    problem,
    requests_of,
    reset,
)
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig


class TestMailchimp(OutboundSuite):
    """Members and tags, twice the same, and every kind of failure."""

    type = "mailchimp"
    target: ClassVar = {"list_id": LIST}
    course: ClassVar = {"tags": ["ce"]}
    first = Operation.CONTACT
    requests = 2
    missing: ClassVar = {"tags": ["ce"], "list_id": "nolist"}

    async def test_sends_the_documented_requests(self, rig: Rig) -> None:
        """A PUT on the hash of the address, then the tags; nothing else."""
        outcome = await contact(rig)
        assert outcome == Receipt(Refs(person={"member": ADAS}))
        put, tags = rig.emulator.journal
        assert (put.method, put.path, put.query) == ("PUT", PATH, {"skip_merge_validation": "true"})
        assert put.json == {
            "email_address": "Ada.Lovelace@example.org",
            "status_if_new": "transactional",
            "merge_fields": {"FNAME": "Ada", "LNAME": "Lovelace"},
        }
        assert (tags.method, tags.path) == ("POST", f"{PATH}/tags")
        assert tags.json == {"tags": [{"name": "ce", "status": "active"}]}

    async def test_holds_the_member_as_the_demo_shows_it(self, rig: Rig) -> None:
        """One membership, with its tags, status and fields."""
        await contact(rig)
        (held,) = rig.emulator.holdings()
        assert (held.kind, held.person, held.remote_id) == ("contact", ADA.email, ADAS)
        assert held.what == "tags: ce; status: transactional; FNAME=Ada; LNAME=Lovelace"

    async def test_merge_fields_come_from_the_enrollment_that_changed_last(self, rig: Rig) -> None:
        """Learner, course, registration and order are at hand, and an empty value overwrites nothing."""
        rig.emulator.merge_fields |= {"COURSE": False, "ORDER": False, "STATE": False, "COUPON": False}
        templates = {"COURSE": "{course.key}", "ORDER": "No. {order.number}", "STATE": "{registration.state}"}
        reset(rig, merge_fields={**templates, "COUPON": "{order.coupon}"})
        await contact(rig, enrollments=[rig.enrollment("first"), rig.enrollment("latest", "cancelled")])
        assert rig.emulator.journal[0].json["merge_fields"] == {
            "COURSE": "latest",
            "ORDER": "No. A-1001",
            "STATE": "cancelled",
        }

    async def test_without_skipping_a_missing_required_field_is_refused_by_name(self, rig: Rig) -> None:
        """The operator reads which merge tag the list requires."""
        rig.emulator.merge_fields["CHAPTER"] = True
        reset(rig, skip_merge_validation=False)
        outcome = await contact(rig)
        assert isinstance(outcome, Refused)
        assert "CHAPTER: Please enter a value" in outcome.why
        assert rig.emulator.journal[0].query == {}

    async def test_skips_merge_validation_by_default(self, rig: Rig) -> None:
        """A field that marketing made required keeps nobody out."""
        rig.emulator.merge_fields["CHAPTER"] = True
        assert isinstance(await contact(rig), Receipt)

    async def test_the_target_address_may_lack_the_version(self, rig: Rig) -> None:
        """An emulator's address is enough; the paths are the vendor's."""
        assert rig.connector._settings.base_url == f"{rig.emulator.base_url}/3.0"
        await rig.connector.check()
        assert rig.emulator.journal[-1].path == "/3.0/ping"

    async def test_a_learner_without_an_address_is_refused(self, rig: Rig) -> None:
        """Mailchimp knows people by address only; nothing is sent."""
        nameless = Learner(remote_user_id="4713")
        outcome = await contact(rig, nameless, person="id:members:4713")
        assert isinstance(outcome, Refused)
        assert rig.emulator.journal == []


class TestTags(AtMailchimp):
    """Tags follow the enrollments."""

    async def test_a_course_without_tags_makes_no_tags_call(self, rig: Rig) -> None:
        """Nothing to say, nothing sent."""
        await contact(rig, enrollments=[rig.enrollment(table={})])
        assert requests_of(rig) == [("PUT", PATH)]

    async def test_an_ended_enrollment_takes_its_tag_along(self, rig: Rig) -> None:
        """Set while the learner is in, unset afterwards."""
        await contact(rig)
        await contact(rig, enrollments=[rig.enrollment(state="cancelled")])
        assert rig.emulator.members[LIST][ADAS].tags == []

    @pytest.mark.parametrize("states", [("active", "cancelled"), ("cancelled", "active")])
    async def test_a_tag_stays_while_any_live_enrollment_has_it(self, rig: Rig, states: tuple[str, str]) -> None:
        """One of two courses ended; what both share stays, what only the ended one has goes."""
        tables = {"active": {"tags": ["member", "ce"]}, "cancelled": {"tags": ["member", "law"]}}
        enrollments = [rig.enrollment(state, state, tables[state]) for state in states]
        rig.emulator.members[LIST] = {ADAS: Member(str(ADA.email), "subscribed", 1, tags=["law", "vip"])}
        await contact(rig, enrollments=enrollments)
        assert set(rig.emulator.members[LIST][ADAS].tags) == {"member", "ce", "vip"}

    async def test_one_that_has_not_begun_touches_no_tag(self, rig: Rig) -> None:
        """A pending registration is neither in nor over."""
        await contact(rig, enrollments=[rig.enrollment(state="pending")])
        assert requests_of(rig) == [("PUT", PATH)]

    async def test_a_course_may_have_a_list_of_its_own(self, rig: Rig) -> None:
        """The learner joins both lists; each gets the tags of its own courses."""
        other = rig.enrollment("law", table={"tags": ["law"], "list_id": "def456"})
        outcome = await contact(rig, enrollments=[rig.enrollment(), other])
        assert isinstance(outcome, Receipt)
        assert {name: members[ADAS].tags for name, members in rig.emulator.members.items()} == {
            LIST: ["ce"],
            "def456": ["law"],
        }

    async def test_the_tags_that_failed_are_set_by_the_next_try(self, rig: Rig) -> None:
        """The member is written again, which is harmless, and then tagged."""
        rig.emulator.now_fails("status", path="/tags", times=1)
        failed = await contact(rig)
        assert isinstance(failed, TryLater)
        assert rig.emulator.members[LIST][ADAS].tags == []
        done = await contact(rig, attempt=2, refs=failed.refs, steps=failed.steps)
        assert isinstance(done, Receipt)
        assert rig.emulator.members[LIST][ADAS].tags == ["ce"]

    async def test_a_member_that_vanished_is_written_once_more(self, rig: Rig) -> None:
        """404 on the tags: PUT and tags once more, within the same try."""
        rig.emulator.now_fails("status", path="/tags", times=1, status=404, body=problem("Resource Not Found", 404))
        assert isinstance(await contact(rig), Receipt)
        assert [method for method, _ in requests_of(rig)] == ["PUT", "POST", "PUT", "POST"]

    async def test_a_member_that_keeps_vanishing_is_tried_later(self, rig: Rig) -> None:
        """Twice is enough for one try."""
        rig.emulator.now_fails("status", path="/tags", status=404, body=problem("Resource Not Found", 404))
        outcome = await contact(rig)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause) == ("delivery", "busy")
        assert len(rig.emulator.journal) == 4

    async def test_a_page_of_html_tags_nobody(self, rig: Rig) -> None:
        """204 without a body is the answer; anything with markup is a proxy's."""
        rig.emulator.now_fails("garbage", path="/tags")
        outcome = await contact(rig)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "outage"


class TestConsent(AtMailchimp):
    """Nobody is brought back who left."""

    @pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
    async def test_who_left_stays_away_and_the_receipt_says_so(self, rig: Rig, status: str) -> None:
        """The profile is updated, the consent is not."""
        rig.emulator.members[LIST] = {ADAS: Member(str(ADA.email), status, 1)}
        rig.emulator.compliance.add(str(ADA.email).lower())
        outcome = await contact(rig)
        assert isinstance(outcome, Receipt)
        assert outcome.note == f"updated, not subscribed ({status} on list {LIST})"
        member = rig.emulator.members[LIST][ADAS]
        assert (member.status, member.fields["FNAME"]) == (status, "Ada")

    async def test_a_subscriber_stays_subscribed(self, rig: Rig) -> None:
        """``status_if_new`` is for new members."""
        rig.emulator.members[LIST] = {ADAS: Member(str(ADA.email), "subscribed", 1)}
        outcome = await contact(rig)
        assert isinstance(outcome, Receipt)
        assert outcome.note == ""
        assert rig.emulator.members[LIST][ADAS].status == "subscribed"

    async def test_status_is_never_sent(self, rig: Rig) -> None:
        """Not for a new member, a known one, a moved one, or one in compliance state."""
        first = await contact(rig)
        assert isinstance(first, Receipt)
        await contact(rig, refs=first.refs)
        await contact(rig, BOB, refs=first.refs)
        rig.emulator.compliance.add(str(ADA.email).lower())
        await contact(rig)
        bodies = [seen.json for seen in rig.emulator.journal if seen.method in ("PUT", "PATCH")]
        assert len(bodies) == 5
        assert not any("status" in body for body in bodies)

    async def test_the_operator_chooses_what_a_new_member_becomes(self, rig: Rig) -> None:
        """Double opt-in, for one."""
        reset(rig, status_if_new="pending")
        await contact(rig)
        assert rig.emulator.members[LIST][ADAS].status == "pending"


class TestChangedAddress(AtMailchimp):
    """A changed address moves the member."""

    moved = ADA.model_copy(update={"email": "ada.king@example.org"})
    news = subscriber_hash("ada.king@example.org")

    async def test_the_member_moves_with_its_tags(self, rig: Rig) -> None:
        """One member under the new hash, and the receipt names it."""
        first = await contact(rig)
        assert isinstance(first, Receipt)
        rig.emulator.members[LIST][ADAS].tags.append("vip")
        rig.emulator.merge_fields["CHAPTER"] = True
        outcome = await contact(rig, self.moved, refs=first.refs)
        assert outcome == Receipt(Refs(person={"member": self.news}))
        assert {key: member.tags for key, member in rig.emulator.members[LIST].items()} == {self.news: ["ce", "vip"]}

    async def test_another_spelling_is_no_move(self, rig: Rig) -> None:
        """Upper and lower case share one hash."""
        first = await contact(rig)
        assert isinstance(first, Receipt)
        rig.emulator.journal.clear()
        await contact(rig, ADA.model_copy(update={"email": "ADA.LOVELACE@example.org"}), refs=first.refs)
        assert [method for method, _ in requests_of(rig)] == ["PUT", "POST"]

    async def test_a_former_member_that_is_gone_is_no_hindrance(self, rig: Rig) -> None:
        """404 on the old hash: the new address joins as anybody does."""
        outcome = await contact(rig, self.moved, refs=Refs(person={"member": ADAS}))
        assert outcome == Receipt(Refs(person={"member": self.news}))
        assert list(rig.emulator.members[LIST]) == [self.news]

    async def test_a_new_address_that_is_a_member_already_is_updated(self, rig: Rig) -> None:
        """The two are not merged, and the operator is told that one stays."""
        await contact(rig)
        await contact(rig, self.moved)
        outcome = await contact(rig, self.moved, refs=Refs(person={"member": ADAS}))
        assert isinstance(outcome, Receipt)
        assert outcome.note == f"the former address stays on list {LIST}"
        assert outcome.refs.person == {"member": self.news}

    async def test_an_outage_during_the_move_leaves_the_former_ref(self, rig: Rig) -> None:
        """The next try still knows which member to move, on every list."""
        other = rig.enrollment("law", table={"list_id": "def456"})
        first = await contact(rig, enrollments=[other])
        assert isinstance(first, Receipt)
        rig.emulator.now_fails("status", path="def456", method="PATCH", times=1)
        failed = await contact(rig, self.moved, refs=first.refs, enrollments=[other])
        assert isinstance(failed, TryLater)
        assert failed.refs == Refs()
        await contact(rig, self.moved, refs=first.refs, enrollments=[other], attempt=2)
        assert {name: list(members) for name, members in rig.emulator.members.items()} == {
            LIST: [self.news],
            "def456": [self.news],
        }

    async def test_a_move_whose_answer_is_lost_is_not_made_twice(self, rig: Rig) -> None:
        """The old hash is gone then, and the new one is there."""
        first = await contact(rig)
        assert isinstance(first, Receipt)
        rig.emulator.now_fails("lost", method="PATCH", times=1)
        with pytest.raises(AnswerLost):
            await contact(rig, self.moved, refs=first.refs)
        outcome = await contact(rig, self.moved, refs=first.refs, unknown=True)
        assert outcome == Receipt(Refs(person={"member": self.news}))
        assert list(rig.emulator.members[LIST]) == [self.news]
