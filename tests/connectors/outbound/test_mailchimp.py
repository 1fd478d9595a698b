"""Mailchimp as a target: the suite, then what only Mailchimp does."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, TryLater
from connectors.outbound.mailchimp import Mailchimp, MailchimpSettings, subscriber_hash
from connectors.sandbox.mailchimp import KEY, LIST, Member
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig

ADAS = subscriber_hash(str(ADA.email))
PATH = f"/3.0/lists/{LIST}/members/{ADAS}"
REQUEST_ID = "995c5cb0-3280-4a6e-808b-3b096d0bb219"


def settings(**given: Any) -> MailchimpSettings:
    return MailchimpSettings.model_validate(
        {"connector": "mailchimp", "api_key": "0123456789abcdef-us19", "list_id": LIST, **given}
    )


def reset(rig: Rig, **changes: Any) -> None:
    """Give the rig's connector other settings."""
    before = rig.connector
    after = before._settings.model_copy(update=changes)
    rig.connector = Mailchimp(after, before._http, None)


def problem(title: str, status: int = 400, detail: str = "", **more: Any) -> dict[str, Any]:
    return {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": REQUEST_ID,
        **more,
    }


def requests_of(rig: Rig) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in rig.emulator.journal]


async def contact(rig: Rig, learner: Learner = ADA, **changes: Any) -> Outcome:
    return await rig.do(Operation.CONTACT, learner, **changes)


class TestMailchimp(OutboundSuite):
    """Members and tags, twice the same, and every kind of failure."""

    type = "mailchimp"
    target: ClassVar = {"list_id": LIST}
    course: ClassVar = {"tags": ["ce"]}
    first = Operation.CONTACT
    requests = 2

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


class TestTags:
    """Tags follow the enrollments."""

    rig = TestMailchimp.rig
    type = "mailchimp"
    target = TestMailchimp.target
    course = TestMailchimp.course

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


class TestConsent:
    """Nobody is brought back who left."""

    rig = TestMailchimp.rig
    type = "mailchimp"
    target = TestMailchimp.target
    course = TestMailchimp.course

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


class TestChangedAddress:
    """A changed address moves the member."""

    rig = TestMailchimp.rig
    type = "mailchimp"
    target = TestMailchimp.target
    course = TestMailchimp.course
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


class TestTable:
    """Every row of the vendor's table of errors."""

    rig = TestMailchimp.rig
    type = "mailchimp"
    target = TestMailchimp.target
    course = TestMailchimp.course

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("compliance", "Member In Compliance State: not subscribed"),
            ("forgotten", "Forgotten Email Not Subscribed: not subscribed"),
            ("fake", "looks fake or invalid"),
        ],
    )
    async def test_an_unwelcome_address_is_refused_for_good(self, rig: Rig, kind: str, words: str) -> None:
        """The reason is told, the address is not."""
        getattr(rig.emulator, kind).add(str(ADA.email).lower())
        outcome = await contact(rig)
        assert isinstance(outcome, Refused)
        assert words in outcome.why
        assert "Lovelace" not in outcome.why
        assert outcome.remedy
        assert len(rig.emulator.journal) == 1

    async def test_a_busy_signer_up_waits_for_hours_twice_at_most(self, rig: Rig) -> None:
        """It is this address's own trouble, and the third time it is the operator's."""
        rig.emulator.crowded.add(str(ADA.email).lower())
        steps: frozenset[str] = frozenset()
        for attempt in (4, 5):  # earlier tries met an outage, which says nothing of the address
            outcome = await contact(rig, attempt=attempt, steps=steps)
            assert isinstance(outcome, TryLater)
            assert (outcome.scope, outcome.cause, outcome.applied) == ("delivery", "busy", "no")
            assert outcome.after is not None
            assert outcome.after >= 3600
            steps |= outcome.steps
        assert isinstance(await contact(rig, attempt=6, steps=steps), Refused)
        assert isinstance(await contact(rig, attempt=1, steps=steps), TryLater)  # requeued

    async def test_an_invalid_resource_names_its_fields(self, rig: Rig) -> None:
        """The operator knows what to correct."""
        errors = [{"field": "COURSE", "message": "Value must be a number"}, {"field": "", "message": "Odd"}]
        rig.emulator.now_fails("status", status=400, body=problem("Invalid Resource", errors=errors))
        outcome = await contact(rig)
        assert isinstance(outcome, Refused)
        assert "COURSE: Value must be a number, resource: Odd" in outcome.why

    @pytest.mark.parametrize(
        ("status", "body"),
        [(400, problem("Bad Request")), (400, "<html></html>"), (405, {}), (414, {}), (422, {})],
    )
    async def test_any_other_4xx_is_refused(self, rig: Rig, status: int, body: Any) -> None:
        """Repeating it would change nothing."""
        rig.emulator.now_fails("status", status=status, body=body)
        assert isinstance(await contact(rig), Refused)

    async def test_403_without_json_throttles_the_lane(self, rig: Rig) -> None:
        """The edge refuses that way at high volume."""
        rig.emulator.now_fails("status", status=403, body="<html>Request Blocked</html>")
        outcome = await contact(rig)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_refused_key_stops_the_lane(self, rig: Rig, status: int) -> None:
        """401 with anything, 403 with JSON."""
        rig.emulator.now_fails("status", status=status, body=problem("User Does Not Have Permission", status))
        outcome = await contact(rig)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "User Does Not Have Permission" in outcome.why
        assert "api_key" in outcome.remedy

    async def test_a_wrong_key_is_told_by_the_ping(self, rig: Rig) -> None:
        """``bridge doctor`` says it before the first learner comes."""
        reset(rig, api_key=settings().api_key)
        outcome = await rig.connector.check()
        assert isinstance(outcome, NeedsOperator)
        assert "API Key Invalid" in outcome.why

    async def test_a_ping_that_answers_html_is_an_outage(self, rig: Rig) -> None:
        """A captive proxy is not Mailchimp."""
        rig.emulator.now_fails("garbage")
        outcome = await rig.connector.check()
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "outage"

    async def test_a_wrong_list_of_the_target_stops_the_lane(self, rig: Rig) -> None:
        """No learner would fare better."""
        rig.emulator.lists = {"other"}
        outcome = await contact(rig)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert LIST in outcome.why

    async def test_a_wrong_list_of_a_course_concerns_its_own_learners(self, rig: Rig) -> None:
        """The target's list and later lists are served all the same."""
        rig.emulator.lists = {LIST, "ghi789"}
        wrong = rig.enrollment("law", table={"list_id": "def456", "tags": ["law"]})
        right = rig.enrollment("art", table={"list_id": "ghi789", "tags": ["art"]})
        outcome = await contact(rig, enrollments=[wrong, right])
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "delivery"
        assert "def456" in outcome.why
        assert rig.emulator.members["ghi789"][ADAS].tags == ["art"]

    async def test_a_list_that_may_yet_take_the_person_is_not_given_up(self, rig: Rig) -> None:
        """One list refuses for good, the other for hours: the delivery is tried again."""
        forgotten = problem("Forgotten Email Not Subscribed")
        crowded = problem("Invalid Resource", detail="has signed up to a lot of lists very recently")
        rig.emulator.now_fails("status", status=400, body=forgotten, path=LIST)
        rig.emulator.now_fails("status", status=400, body=crowded, path="def456")
        other = rig.enrollment("law", table={"list_id": "def456"})
        assert isinstance(await contact(rig, enrollments=[other]), TryLater)

    async def test_the_id_of_the_request_is_kept(self, rig: Rig) -> None:
        """Mailchimp's support asks for it: from the header, or from the body."""
        rig.emulator.now_fails("status", status=500, body={}, headers={"X-Request-Id": "from-the-header"}, times=1)
        rig.emulator.now_fails("status", status=503, body=problem("Service Unavailable", 503), times=1)
        first, second = await contact(rig), await contact(rig)
        assert isinstance(first, TryLater)
        assert isinstance(second, TryLater)
        assert "from-the-header" in first.why
        assert REQUEST_ID in second.why

    async def test_an_eleventh_connection_is_throttled(self, rig: Rig) -> None:
        """Ten at a time is the vendor's limit."""
        rig.emulator.latency = 0.3
        outcomes = await asyncio.gather(*(rig.connector.check() for _ in range(11)))
        throttled = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
        assert len(throttled) == 1
        assert isinstance(throttled[0], TryLater)
        assert (throttled[0].scope, throttled[0].cause) == ("lane", "throttled")


class TestSettings:
    """What the operator may write."""

    def test_the_address_follows_from_the_key(self) -> None:
        """The data centre is what follows the last hyphen."""
        assert settings().base_url == "https://us19.api.mailchimp.com/3.0"
        assert settings(api_key="odd-key-eu2").base_url == "https://eu2.api.mailchimp.com/3.0"

    @pytest.mark.parametrize("address", ["http://localhost:9", "http://localhost:9/3.0", "http://localhost:9/3.0/"])
    def test_a_given_address_wins_and_gets_the_version(self, address: str) -> None:
        """Once, however it is written."""
        assert settings(base_url=address, api_key="token").base_url == "http://localhost:9/3.0"

    @pytest.mark.parametrize("key", ["0123456789abcdef", "key-", "key-evil.example/us1"])
    def test_a_key_without_a_data_centre_needs_an_address(self, key: str) -> None:
        """The fault says what to do, and doesn't repeat the key."""
        with pytest.raises(ValidationError, match="or set base_url") as caught:
            settings(api_key=key)
        assert key not in str(caught.value)

    @pytest.mark.parametrize("template", ["{lerner.email}", "{course}", "{item.quantity}"])
    def test_a_template_that_names_nothing_is_a_fault(self, template: str) -> None:
        """A merge field that is always empty is found before the first learner."""
        with pytest.raises(ValidationError, match="names nothing"):
            settings(merge_fields={"COURSE": template})

    def test_a_template_with_half_a_placeholder_is_a_fault(self) -> None:
        """Else every member of the list would carry the template itself."""
        with pytest.raises(ValidationError, match="FNAME has a brace too many or too few"):
            settings(merge_fields={"FNAME": "{learner.first_name"})

    def test_the_vendors_connections_are_not_exceeded(self) -> None:
        """Four by default, ten at most."""
        assert settings().concurrency == 4
        with pytest.raises(ValidationError):
            settings(concurrency=11)

    def test_hashes_as_the_vendor_documents(self) -> None:
        """The vendor's own example; case and white space don't count."""
        assert subscriber_hash("Urist.McVankab@freddiesjokes.com") == "62eeb292278cc15f5817cb78f7790b08"
        assert subscriber_hash(" urist.mcvankab@freddiesjokes.com ") == "62eeb292278cc15f5817cb78f7790b08"


class TestOfficialClient:
    """What the vendor's own client sends and accepts."""

    rig = TestMailchimp.rig
    type = "mailchimp"
    target = TestMailchimp.target
    course = TestMailchimp.course

    @pytest.mark.filterwarnings("ignore")  # the client's own: it is generated for older Pythons
    async def test_agrees_with_connector_and_emulator(self, rig: Rig) -> None:
        """The same requests, and each reads what the other wrote."""
        import mailchimp_marketing  # noqa: PLC0415 - its import warns, which only this test forgives

        client = mailchimp_marketing.Client({"api_key": KEY})
        client.api_client.host = f"{rig.emulator.base_url}/3.0"
        await contact(rig)
        ours = list(rig.emulator.journal)
        lists = client.lists

        def speak() -> tuple[Any, Any, Any]:
            lists.set_list_member(LIST, ADAS, ours[0].json, skip_merge_validation=True)
            lists.update_list_member_tags(LIST, ADAS, ours[1].json)
            return client.ping.get(), lists.get_list_member(LIST, ADAS), lists.get_list_member_tags(LIST, ADAS)

        ping, member, tags = await asyncio.to_thread(speak)
        theirs = rig.emulator.journal[len(ours) :]
        assert [(seen.method, seen.path, seen.json) for seen in theirs[:2]] == [
            (seen.method, seen.path, seen.json) for seen in ours
        ]
        assert theirs[0].query.keys() == ours[0].query.keys()
        assert ping == {"health_status": "Everything's Chimpy!"}
        assert (member["id"], member["status"]) == (ADAS, "transactional")
        assert member["merge_fields"] == {"FNAME": "Ada", "LNAME": "Lovelace"}
        assert [tag["name"] for tag in tags["tags"]] == ["ce"]
        assert len(rig.emulator.holdings()) == 1

    @pytest.mark.filterwarnings("ignore")  # as above
    async def test_reads_the_emulators_problems_and_archives(self, rig: Rig) -> None:
        """A bearer token is taken as well; an archived member is refused a second time."""
        import mailchimp_marketing  # noqa: PLC0415 - as above
        from mailchimp_marketing.api_client import ApiClientError  # noqa: PLC0415 - as above

        client = mailchimp_marketing.Client({"access_token": KEY, "server": "us1"})
        client.api_client.host = rig.emulator.base_url
        await contact(rig)
        await asyncio.to_thread(client.lists.delete_list_member, LIST, ADAS)
        with pytest.raises(ApiClientError) as again:
            await asyncio.to_thread(client.lists.delete_list_member, LIST, ADAS)
        assert again.value.status_code == 405
        with pytest.raises(ApiClientError) as missing:
            await asyncio.to_thread(client.lists.get_list_member, LIST, subscriber_hash(str(BOB.email)))
        assert missing.value.status_code == 404

    async def test_the_emulator_takes_no_other_credential(self, rig: Rig) -> None:
        """Basic or bearer, and the right key."""
        async with aiohttp.ClientSession() as session:
            for header in ("", "Basic !", f"Digest {KEY}", "Bearer wrong"):
                sent = {"Authorization": header} if header else {}
                async with session.get(f"{rig.emulator.base_url}/ping", headers=sent) as response:
                    assert response.status == 401
                    assert response.content_type == "application/problem+json"
                    assert response.headers["X-Request-Id"] == (await response.json())["instance"]
