"""Mailchimp's batch operations: many at once, one outcome for each, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Pending, Receipt, Refs, Refused, TryLater, Work
from bridge.contract.settings import Milestone
from bridge.kit.clock import SetClock
from bridge.kit.http import Exchange, exchanges
from connectors.outbound.mailchimp.plan import subscriber_hash
from connectors.sandbox.mailchimp import KEY, LIST, OTHER_LIST, RESULTS
from tests.connectors.outbound.mailchimp_rig import AtMailchimp, problem, requests_of, reset
from tests.suites.outbound import Rig

EVENT = {"on": ["enrolled"], "object": "event", "name": "course_enrolled", "within": "365000d"}


def crowd(rig: Rig, size: int, **changes: Any) -> list[Work]:
    """Work for so many people."""
    people = [Learner(remote_user_id=str(n), email=f"p{n}@example.org", last_name=f"N{n}") for n in range(size)]
    return [rig.work(Operation.CONTACT, person, **changes) for person in people]


def next_try(work: Work, outcome: Outcome) -> Work:
    """The work as dispatch would claim it after that outcome."""
    person = {**work.refs.person, **outcome.refs.person}
    if isinstance(outcome, Pending):
        person["pending"] = outcome.handle
    attempt = work.attempt + 1 if isinstance(outcome, TryLater) and outcome.cause != "throttled" else work.attempt
    steps = work.steps | getattr(outcome, "steps", frozenset())
    unknown = work.unknown or getattr(outcome, "applied", "no") == "unknown"
    return replace(work, refs=Refs(person), steps=steps, attempt=attempt, unknown=unknown)


def following(works: Sequence[Work], outcomes: Sequence[Outcome]) -> list[Work]:
    return [next_try(work, outcome) for work, outcome in zip(works, outcomes, strict=True)]


async def until_done(rig: Rig, works: list[Work], calls: int = 50) -> list[Outcome]:
    """Deliver as dispatch would, until nothing is pending or to be tried later."""
    last: dict[int, Outcome] = {}
    left = list(enumerate(works))
    for _ in range(calls):
        outcomes = await rig.deliver([work for _, work in left])
        last |= {place: outcome for (place, _), outcome in zip(left, outcomes, strict=True)}
        left = [
            (place, next_try(work, outcome))
            for (place, work), outcome in zip(left, outcomes, strict=True)
            if isinstance(outcome, Pending | TryLater)
        ]
        if not left:
            break
    return [last[place] for place in range(len(works))]


def calls_of(rig: Rig, method: str, path: str) -> int:
    return sum(seen.method == method and path in seen.path for seen in rig.emulator.journal)


class TestSubmitted(AtMailchimp):
    """A backlog is handed over in one request."""

    async def test_many_go_as_one_batch_operation(self, rig: Rig) -> None:
        """A PUT and the tags of each, their bodies as text; everybody is pending under the one batch."""
        works = crowd(rig, 20)
        outcomes = await rig.deliver(works)
        assert requests_of(rig) == [("POST", "/3.0/batches")]
        (batch,) = rig.emulator.batches.values()
        put, tags = rig.emulator.journal[0].json["operations"][:2]
        path = f"/lists/{LIST}/members/{subscriber_hash('p0@example.org')}"
        assert (put["method"], put["path"], put["params"]) == ("PUT", path, {"skip_merge_validation": "true"})
        assert orjson.loads(put["body"]) == {
            "email_address": "p0@example.org",
            "status_if_new": "transactional",
            "merge_fields": {"LNAME": "N0"},
        }
        assert (tags["method"], tags["path"], "params" in tags) == ("POST", f"{path}/tags", False)
        assert orjson.loads(tags["body"]) == {"tags": [{"name": "ce", "status": "active"}]}
        assert all(isinstance(outcome, Pending) for outcome in outcomes)
        assert {outcome.handle.split(":")[0] for outcome in outcomes} == {batch.id}
        assert len({outcome.handle for outcome in outcomes}) == 20

    async def test_fewer_go_at_once(self, rig: Rig) -> None:
        """Live traffic does not wait for Mailchimp's batches."""
        outcomes = await rig.deliver(crowd(rig, 19))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert calls_of(rig, "POST", "/batches") == 0
        assert len(rig.live()) == 19
        assert rig.emulator.most_open <= 4

    async def test_batches_can_be_switched_off(self, rig: Rig) -> None:
        """Then a crowd goes one by one, a bounded part of it in each call; who waits has not been tried."""
        reset(rig, batch_from=0)
        works = crowd(rig, 50)
        first = await rig.deliver(works)
        assert sum(isinstance(outcome, Receipt) for outcome in first) == 20
        waiting = [outcome for outcome in first if isinstance(outcome, Pending)]
        assert [outcome.handle for outcome in waiting] == [""] * 30
        assert waiting[-1].after > waiting[0].after
        outcomes = await until_done(rig, following(works, first))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.live()) == 50
        assert calls_of(rig, "POST", "/batches") == 0

    async def test_no_batch_is_larger_than_the_vendor_takes(self, rig: Rig) -> None:
        """250 people on two lists each, with tags: 1000 operations; the ones beyond come again soon."""
        other = rig.enrollment("law", table={"tags": ["law"], "list_id": OTHER_LIST})
        third = rig.enrollment("art", table={"tags": ["art"], "list_id": "ghi789"})
        rig.emulator.lists.add("ghi789")
        works = crowd(rig, 200, enrollments=[rig.enrollment(), other, third])
        outcomes = await rig.deliver(works)
        (batch,) = rig.emulator.batches.values()
        assert len(batch.operations) == 996
        assert [outcome.handle for outcome in outcomes[166:]] == [""] * 34
        done = await until_done(rig, following(works, outcomes))
        assert all(isinstance(outcome, Receipt) for outcome in done)
        assert len(rig.live()) == 600

    async def test_a_lost_answer_to_the_batch_doubles_nothing(self, rig: Rig) -> None:
        """It is handed over again, and its operations may be repeated."""
        rig.emulator.now_fails("lost", path="/batches", times=1)
        works = crowd(rig, 20)
        with pytest.raises(AnswerLost):
            await rig.deliver(works)
        outcomes = await until_done(rig, [replace(work, unknown=True) for work in works])
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.live()) == 20

    async def test_who_has_no_address_keeps_nobody_else_back(self, rig: Rig) -> None:
        """One outcome for each, in the order of the batch."""
        works = crowd(rig, 21)
        works[3] = replace(works[3], learner=Learner(remote_user_id="3"))
        outcomes = await rig.deliver(works)
        assert isinstance(outcomes[3], Refused)
        assert sum(isinstance(outcome, Pending) for outcome in outcomes) == 20

    async def test_a_refused_batch_is_done_singly(self, rig: Rig) -> None:
        """There may be too many batches under way: everybody arrives all the same."""
        rig.emulator.now_fails("status", path="/batches", status=400, body=problem("Bad Request"))
        outcomes = await until_done(rig, crowd(rig, 45))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert calls_of(rig, "POST", "/batches") == 1
        assert len(rig.live()) == 45

    @pytest.mark.parametrize(
        ("status", "kind", "cause"), [(429, TryLater, "throttled"), (503, TryLater, "outage"), (401, NeedsOperator, "")]
    )
    async def test_what_concerns_everybody_is_told_of_everybody(
        self, rig: Rig, status: int, kind: Any, cause: str
    ) -> None:
        """Throttled, down, or a bad key: no one is tried singly behind it."""
        rig.emulator.now_fails("status", status=status, body={})
        outcomes = await rig.deliver(crowd(rig, 25))
        assert all(isinstance(outcome, kind) for outcome in outcomes)
        assert all(getattr(outcome, "cause", "") == cause for outcome in outcomes)
        assert len(rig.emulator.journal) == 1

    async def test_neither_key_nor_learner_is_in_the_record_of_a_batch(self, rig: Rig) -> None:
        """The bodies are text within text, and only their length is kept."""
        story: list[Exchange] = []
        token = exchanges.set(story)
        works = crowd(rig, 20)
        await rig.deliver(following(works, await rig.deliver(works)))
        exchanges.reset(token)
        kept = repr(story)
        assert len(story) == 3
        for word in ("p0@example.org", "N7", KEY):
            assert word not in kept
        assert rig.emulator.journal[-1].query["X-Amz-Signature"] not in kept


class TestPolled(AtMailchimp):
    """The results, and what they mean for each."""

    async def test_each_batch_is_asked_for_once_however_many_come_back(self, rig: Rig) -> None:
        """Two batches come back mixed: two questions, two archives, forty receipts."""
        works = crowd(rig, 40)
        first = await rig.deliver(works[:20])
        second = await rig.deliver(works[20:])
        rig.emulator.journal.clear()
        mixed = following(works, [*first, *second])[::-1]
        outcomes = await rig.deliver(mixed)
        assert [method for method, _ in requests_of(rig)] == ["GET"] * 4
        assert [outcome.refs.person["member"] for outcome in outcomes] == [
            subscriber_hash(str(work.learner.email)) for work in mixed
        ]
        assert len(rig.live()) == 40

    async def test_one_comes_back_alone(self, rig: Rig) -> None:
        """Whoever is claimed first learns only what is theirs, and the others theirs later."""
        works = crowd(rig, 20)
        again = following(works, await rig.deliver(works))
        (alone,) = await rig.deliver(again[7:8])
        assert alone == Receipt(Refs({"member": subscriber_hash("p7@example.org")}))
        rest = await rig.deliver([*again[:7], *again[8:]])
        assert all(isinstance(outcome, Receipt) for outcome in rest)

    async def test_what_is_not_finished_stays_pending_and_is_asked_less_and_less(self, rig: Rig) -> None:
        """Ten seconds at first, two minutes at last, by how long ago it was handed over."""
        clock = SetClock(datetime.now(UTC))
        reset(rig, clock)
        rig.emulator.batch_looks = 4
        works = crowd(rig, 20)
        outcomes = await rig.deliver(works)
        handles = [outcome.handle for outcome in outcomes]
        after = []
        for seconds in (10, 90, 900):
            clock.move(seconds)
            works = following(works, outcomes)
            outcomes = await rig.deliver(works)
            assert [outcome.handle for outcome in outcomes] == handles
            after.append(outcomes[0].after)
        assert after == [10.0, pytest.approx(50, abs=2), 120.0]
        assert all(isinstance(one, Receipt) for one in await rig.deliver(following(works, outcomes)))

    async def test_the_results_are_fetched_without_our_credential(self, rig: Rig) -> None:
        """They lie on another host, and the address itself is the permission."""
        works = crowd(rig, 20)
        await rig.deliver(following(works, await rig.deliver(works)))
        (fetched,) = [seen for seen in rig.emulator.journal if seen.path.startswith(RESULTS)]
        assert "Authorization" not in fetched.headers

    async def test_a_partial_failure_is_settled_one_by_one(self, rig: Rig) -> None:
        """Who left, who was deleted, who is mistyped: each is told alone, everybody else is in."""
        rig.emulator.compliance.add("p1@example.org")
        rig.emulator.forgotten.add("p2@example.org")
        rig.emulator.fake.add("p3@example.org")
        rig.emulator.crowded.add("p4@example.org")
        works = crowd(rig, 20)
        outcomes = await rig.deliver(following(works, await rig.deliver(works)))
        errors = rig.connector.errors
        for place, name in ((1, "compliance-state"), (2, "forgotten-address"), (3, "bad-address")):
            assert outcomes[place].why.startswith(errors[name].sentence)
            assert outcomes[place].remedy == errors[name].next_step
        assert outcomes[1].refs.person == outcomes[2].refs.person == {"pending": ""}
        assert isinstance(outcomes[4], TryLater)
        assert (outcomes[4].cause, outcomes[4].refs.person) == ("busy", {"pending": ""})
        others = [outcome for place, outcome in enumerate(outcomes) if place not in (1, 2, 3, 4)]
        assert all(isinstance(outcome, Receipt) for outcome in others)
        assert len(rig.live()) == 16

    async def test_a_requeued_delivery_is_not_held_against_its_old_batch(self, rig: Rig) -> None:
        """The person came back by the form: the next try writes anew."""
        rig.emulator.compliance.add("p1@example.org")
        works = crowd(rig, 20)
        again = following(works, await rig.deliver(works))
        outcomes = await rig.deliver(again)
        rig.emulator.compliance.clear()
        (outcome,) = await rig.deliver([next_try(again[1], outcomes[1])])
        assert isinstance(outcome, Receipt)

    async def test_who_left_is_said_to_have_left(self, rig: Rig) -> None:
        """The notes of the singles are the notes of the batch."""
        works = crowd(rig, 20)
        await rig.deliver(following(works, await rig.deliver(works)))
        rig.emulator.members[LIST][subscriber_hash("p5@example.org")].status = "unsubscribed"
        outcomes = await rig.deliver(following(works, await rig.deliver(works)))
        assert outcomes[5].note == f"updated, not subscribed (unsubscribed on list {LIST})"
        assert outcomes[6].note == ""

    async def test_any_order_of_work_is_coped_with(self, rig: Rig) -> None:
        """Tags before their member fail in the batch, and are set afterwards."""
        rig.emulator.batch_order = "reversed"
        outcomes = await until_done(rig, crowd(rig, 30))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert {tuple(member.tags) for member in rig.emulator.members[LIST].values()} == {("ce",)}

    async def test_a_batch_without_parameters_is_coped_with(self, rig: Rig) -> None:
        """Whom the batch refuses for a required field is written singly, where the setting counts."""
        rig.emulator.batch_params = False
        rig.emulator.merge_fields["CHAPTER"] = True
        outcomes = await until_done(rig, crowd(rig, 30))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.live()) == 30

    async def test_what_changed_meanwhile_is_sent_after_the_batch(self, rig: Rig) -> None:
        """The batch brought what was wanted then; another course was bought since."""
        works = crowd(rig, 20)
        again = following(works, await rig.deliver(works))
        more = (rig.enrollment(), rig.enrollment("law", table={"tags": ["law"]}))
        again[2] = replace(again[2], enrollments=more)
        outcomes = await rig.deliver(again)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert rig.emulator.members[LIST][subscriber_hash("p2@example.org")].tags == ["ce", "law"]

    async def test_nothing_newer_is_sent_while_the_batch_is_under_way(self, rig: Rig) -> None:
        """It might be overtaken by what is older."""
        rig.emulator.batch_looks = 2
        works = crowd(rig, 20)
        again = following(works, await rig.deliver(works))
        again[2] = replace(again[2], learner=again[2].learner.model_copy(update={"last_name": "King"}))
        rig.emulator.journal.clear()
        assert isinstance((await rig.deliver(again))[2], Pending)
        assert [method for method, _ in requests_of(rig)] == ["GET"]
        await rig.deliver(again)
        member = rig.emulator.members[LIST][subscriber_hash("p2@example.org")]
        assert member.fields["LNAME"] == "King"

    async def test_an_address_that_changes_meanwhile_moves_the_member(self, rig: Rig) -> None:
        """The batch made the member of the former one, which nobody had seen yet."""
        works = crowd(rig, 20)
        again = following(works, await rig.deliver(works))
        again[2] = replace(again[2], learner=again[2].learner.model_copy(update={"email": "new@example.org"}))
        outcomes = await rig.deliver(again)
        assert outcomes[2].refs.person["member"] == subscriber_hash("new@example.org")
        assert len(rig.live()) == 20
        assert ("p2@example.org", "tags: ce; status: transactional; LNAME=N2") not in rig.live()

    async def test_a_changed_address_does_not_go_by_batch(self, rig: Rig) -> None:
        """The former member has to be changed first, and a batch promises no order."""
        works = crowd(rig, 21)
        works[0] = replace(works[0], refs=Refs({"member": subscriber_hash("old@example.org")}))
        outcomes = await rig.deliver(works)
        assert isinstance(outcomes[0], Receipt)
        assert [isinstance(outcome, Pending) for outcome in outcomes[1:]] == [True] * 20
        assert calls_of(rig, "PATCH", "/members/") == 1

    async def test_an_unknown_batch_is_sent_again(self, rig: Rig) -> None:
        """Results are kept for days only; at the second time each goes singly."""
        works = crowd(rig, 20)
        outcomes = await rig.deliver(works)
        for _ in range(2):
            rig.emulator.batches.clear()
            works = following(works, outcomes)
            outcomes = await rig.deliver(works)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert calls_of(rig, "POST", "/batches") == 2
        assert len(rig.live()) == 20

    async def test_a_handle_of_another_make_is_not_asked_for(self, rig: Rig) -> None:
        """It could be part of any address."""
        (work,) = crowd(rig, 1, refs=Refs({"pending": "../lists/abc123:x"}))
        (outcome,) = await rig.deliver([work])
        assert isinstance(outcome, Receipt)
        assert [method for method, _ in requests_of(rig)] == ["PUT", "POST"]


class TestTrouble(AtMailchimp):
    """Whatever goes wrong on the way, each is told truly, and nothing is forgotten."""

    async def test_an_outage_while_asking_leaves_everybody_pending(self, rig: Rig) -> None:
        """Nobody is sent anew because Mailchimp is down for a moment."""
        works = crowd(rig, 20)
        works = following(works, await rig.deliver(works))
        rig.emulator.now_fails("status", path="/batches/", times=1)
        outcomes = await rig.deliver(works)
        assert all(isinstance(outcome, TryLater) and outcome.cause == "outage" for outcome in outcomes)
        assert all("pending" not in outcome.refs.person for outcome in outcomes)
        done = await rig.deliver(following(works, outcomes))
        assert all(isinstance(outcome, Receipt) for outcome in done)
        assert calls_of(rig, "POST", "/batches") == 1

    async def test_a_refused_key_while_asking_stops_the_lane(self, rig: Rig) -> None:
        """And everybody is still pending afterwards."""
        works = crowd(rig, 20)
        works = following(works, await rig.deliver(works))
        rig.emulator.now_fails("status", status=401, body=problem("API Key Invalid", 401), times=1)
        outcomes = await rig.deliver(works)
        assert all(isinstance(outcome, NeedsOperator) and outcome.scope == "lane" for outcome in outcomes)
        assert all(outcome.refs == Refs() for outcome in outcomes)

    @pytest.mark.parametrize("mode", ["status", "garbage", "cut"])
    async def test_results_that_can_not_be_read_are_asked_for_twice_more(self, rig: Rig, mode: Any) -> None:
        """Then it is done singly: what is written twice is there once."""
        works = crowd(rig, 20)
        outcomes = await rig.deliver(works)
        rig.emulator.now_fails(mode, path=RESULTS, status=403, body="<Error/>")
        for _ in range(2):
            works = following(works, outcomes)
            outcomes = await rig.deliver(works)
            assert all(isinstance(outcome, TryLater) and outcome.cause == "busy" for outcome in outcomes)
        outcomes = await until_done(rig, following(works, outcomes))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(rig.live()) == 20

    @pytest.mark.parametrize(
        "url",
        ["http://results.example.org/x.tar.gz", "file:///etc/passwd", "https://us1@evil.example/x", "https://[", ""],
    )
    async def test_results_elsewhere_are_not_fetched(self, rig: Rig, url: str) -> None:
        """Only by TLS, or at the target itself; the address comes out of an answer."""
        works = crowd(rig, 20)
        works = following(works, await rig.deliver(works))
        rig.emulator.results_url = url or " "
        rig.emulator.journal.clear()
        outcomes = await rig.deliver(works)
        assert all("not safe to ask" in outcome.why for outcome in outcomes)
        assert len(rig.emulator.journal) == 1

    async def test_one_lost_answer_does_not_take_the_others_along(self, rig: Rig) -> None:
        """Whose answer was lost does not know; who was served has a receipt."""
        path = subscriber_hash("p0@example.org")
        rig.emulator.now_fails("lost", path=f"{path}/tags", times=1)
        works = crowd(rig, 4)
        outcomes = await rig.deliver(works)
        assert isinstance(outcomes[0], TryLater)
        assert (outcomes[0].applied, outcomes[0].cause) == ("unknown", "outage")
        assert any(isinstance(outcome, Receipt) for outcome in outcomes[1:])
        done = await until_done(rig, following(works, outcomes))
        assert all(isinstance(outcome, Receipt) for outcome in done)
        assert len(rig.live()) == 4

    async def test_a_target_that_is_away_is_told_as_such(self, rig: Rig) -> None:
        """Nothing had any effect, and dispatch may repeat anything."""
        await rig.emulator.stop()
        with pytest.raises(Unreachable):
            await rig.deliver(crowd(rig, 30))

    async def test_an_outage_is_told_of_those_too_whose_turn_did_not_come(self, rig: Rig) -> None:
        """Put off as if all were well, they would have the breaker believe that it is."""
        reset(rig, batch_from=0)
        rig.emulator.now_fails("status", status=503)
        outcomes = await rig.deliver(crowd(rig, 45))
        assert all(isinstance(outcome, TryLater) and outcome.cause == "outage" for outcome in outcomes)
        assert [outcome.applied for outcome in outcomes[20:]] == ["no"] * 25
        assert len(rig.emulator.journal) <= 4

    async def test_a_throttle_ends_the_singles_behind_it(self, rig: Rig) -> None:
        """What was under way ends; nobody else is sent into it."""
        rig.emulator.now_fails("status", status=429, body={}, headers={"Retry-After": "9"})
        outcomes = await rig.deliver(crowd(rig, 19))
        assert all(isinstance(outcome, TryLater) and outcome.after == 9.0 for outcome in outcomes)
        assert all((outcome.scope, outcome.cause) == ("lane", "throttled") for outcome in outcomes)
        assert len(rig.emulator.journal) <= 4


class TestEventsAfterwards(AtMailchimp):
    """What a batch can't do without risk comes after it."""

    @staticmethod
    def enrolled(rig: Rig) -> list[Any]:
        return [replace(rig.enrollment(), milestones={Milestone.ENROLLED: datetime(2026, 11, 22, 10, tzinfo=UTC)})]

    async def test_events_are_told_once_the_batch_has_brought_the_members(self, rig: Rig) -> None:
        """Each once, and no member is written a second time for it."""
        reset(rig, actions=[EVENT])
        works = crowd(rig, 45, enrollments=self.enrolled(rig))
        outcomes = await until_done(rig, works)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        members = rig.emulator.members[LIST].values()
        assert [len(member.events) for member in members] == [1] * 45
        assert calls_of(rig, "PUT", "/members/") == 0
        assert calls_of(rig, "POST", "/events") == 45

    async def test_an_event_that_fails_after_the_batch_forgets_the_batch(self, rig: Rig) -> None:
        """The next try goes singly, and tells it."""
        reset(rig, actions=[EVENT])
        works = crowd(rig, 20, enrollments=self.enrolled(rig))
        works = following(works, await rig.deliver(works))
        rig.emulator.now_fails("status", path=f"{subscriber_hash('p0@example.org')}/events", status=404, times=1)
        outcomes = await rig.deliver(works)
        assert isinstance(outcomes[0], TryLater)
        assert outcomes[0].refs.person == {"pending": ""}
        assert isinstance((await rig.deliver([next_try(works[0], outcomes[0])]))[0], Receipt)
        assert {len(member.events) for member in rig.emulator.members[LIST].values()} == {1}
