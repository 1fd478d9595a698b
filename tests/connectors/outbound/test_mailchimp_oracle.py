"""The vendor's own client, pointed at our emulator: it works, and says what our connector says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from bridge.contract.command import Learner
from bridge.contract.outbound import Operation
from bridge.contract.settings import Milestone
from bridge.kit.clock import SetClock
from connectors.outbound.mailchimp.plan import subscriber_hash
from connectors.outbound.mailchimp.results import read
from connectors.sandbox.mailchimp import KEY, LIST
from tests.connectors.outbound.mailchimp_rig import ADAS, AtMailchimp, contact, reset
from tests.suites.outbound import ADA, BOB, Rig

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def client(rig: Rig, **credentials: str) -> Any:
    import mailchimp_marketing  # noqa: PLC0415 - its import warns, which only these tests forgive

    made = mailchimp_marketing.Client(credentials or {"api_key": KEY})
    made.api_client.host = f"{rig.emulator.base_url}/3.0"
    return made


@pytest.mark.filterwarnings("ignore")  # the client's own: it is generated for older Pythons
class TestOfficialClient(AtMailchimp):
    """What the vendor's own client sends and accepts."""

    async def test_writes_members_tags_and_events_as_we_do(self, rig: Rig) -> None:
        """The same requests, and each reads what the other wrote."""
        reset(rig, SetClock(NOW), actions=[{"on": "enrolled", "object": "event", "name": "course_enrolled"}])
        await contact(rig, enrollments=[replace(rig.enrollment(), milestones={Milestone.ENROLLED: NOW})])
        ours = list(rig.emulator.journal)
        lists = client(rig).lists

        def speak() -> tuple[Any, Any, Any]:
            lists.set_list_member(LIST, ADAS, ours[0].json, skip_merge_validation="true")
            lists.update_list_member_tags(LIST, ADAS, ours[1].json)
            lists.create_list_member_event(LIST, ADAS, ours[2].json)
            return (
                lists.get_list_member(LIST, ADAS),
                lists.get_list_member_tags(LIST, ADAS),
                lists.get_list_member_events(LIST, ADAS, count=1000),
            )

        member, tags, events = await asyncio.to_thread(speak)
        theirs = rig.emulator.journal[len(ours) :]
        assert [(seen.method, seen.path, seen.json, seen.query) for seen in theirs[:3]] == [
            (seen.method, seen.path, seen.json, seen.query) for seen in ours
        ]
        assert (member["id"], member["status"]) == (ADAS, "transactional")
        assert member["merge_fields"] == {"FNAME": "Ada", "LNAME": "Lovelace"}
        assert [tag["name"] for tag in tags["tags"]] == ["ce"]
        assert [event["name"] for event in events["events"]] == ["course_enrolled"] * 2
        assert len(rig.emulator.holdings()) == 1

    async def test_moves_a_member_as_we_do(self, rig: Rig) -> None:
        """A PATCH of the former address's hash."""
        first = await contact(rig)
        rig.emulator.journal.clear()
        await contact(rig, ADA.model_copy(update={"email": "ada.king@example.org"}), refs=first.refs)
        ours = rig.emulator.journal[0]
        await contact(rig)
        lists = client(rig).lists
        body = {"email_address": "countess@example.org"}
        await asyncio.to_thread(lists.update_list_member, LIST, ADAS, body, skip_merge_validation="true")
        theirs = rig.emulator.journal[-1]
        assert (theirs.method, theirs.path, theirs.query) == (ours.method, ours.path, ours.query)
        assert theirs.json.keys() == ours.json.keys()

    async def test_hands_over_and_asks_for_batches_as_we_do(self, rig: Rig) -> None:
        """The same two addresses; and the results are read by us."""
        people = [Learner(remote_user_id=str(n), email=f"p{n}@example.org") for n in range(20)]
        works = [rig.work(Operation.CONTACT, person) for person in people]
        outcomes = await rig.deliver(works)
        pending: Any = outcomes[0]
        await rig.deliver(
            [rig.work(Operation.CONTACT, people[0], refs=replace(works[0].refs, person={"pending": pending.handle}))]
        )
        submitted, asked, _ = rig.emulator.journal
        batches = client(rig).batches

        def speak() -> Any:
            return batches.status(batches.start(submitted.json)["id"])

        told = await asyncio.to_thread(speak)
        theirs = rig.emulator.journal[3:]
        assert (theirs[0].method, theirs[0].path, theirs[0].json) == ("POST", submitted.path, submitted.json)
        assert (theirs[1].method, theirs[1].query) == (asked.method, asked.query)
        assert theirs[1].path.rpartition("/")[0] == asked.path.rpartition("/")[0]
        assert (told["status"], told["total_operations"], told["errored_operations"]) == ("finished", 40, 0)
        async with aiohttp.ClientSession() as session, session.get(told["response_body_url"]) as response:
            found = read(await response.read())
        assert {answer.status for answer in found.values()} == {200, 204}
        assert orjson.loads(next(iter(found.values())).body)["list_id"] == LIST

    async def test_examines_as_we_do(self, rig: Rig) -> None:
        """Account, list and merge fields are asked for alike, and a field is made alike."""
        reset(rig, merge_fields={"COURSE": "{course.title}"})
        await rig.connector.examine([], fix=True)
        ours = list(rig.emulator.journal)
        del rig.emulator.merge_fields["COURSE"]
        one = client(rig)

        def speak() -> None:
            one.root.get_root(fields=["account_id", "role"])
            one.lists.get_list(LIST, fields=["id", "name"])
            one.lists.get_list_merge_fields(LIST, count=1000)
            one.lists.add_list_merge_field(LIST, ours[3].json)

        await asyncio.to_thread(speak)
        theirs = rig.emulator.journal[len(ours) :]
        assert [(seen.method, seen.path, seen.query, seen.body and seen.json) for seen in theirs] == [
            (seen.method, seen.path, seen.query, seen.body and seen.json) for seen in ours
        ]

    async def test_pings_as_we_do(self, rig: Rig) -> None:
        """The health check."""
        await rig.connector.check()
        assert await asyncio.to_thread(client(rig).ping.get) == {"health_status": "Everything's Chimpy!"}
        ours, theirs = rig.emulator.journal
        assert (theirs.method, theirs.path) == (ours.method, ours.path)

    async def test_reads_the_emulators_problems_and_archives(self, rig: Rig) -> None:
        """A bearer token is taken as well; an archived member is refused a second time."""
        from mailchimp_marketing.api_client import ApiClientError  # noqa: PLC0415 - as above

        lists = client(rig, access_token=KEY, server="us1").lists
        await contact(rig)
        await asyncio.to_thread(lists.delete_list_member, LIST, ADAS)
        with pytest.raises(ApiClientError) as again:
            await asyncio.to_thread(lists.delete_list_member, LIST, ADAS)
        assert again.value.status_code == 405
        with pytest.raises(ApiClientError) as missing:
            await asyncio.to_thread(lists.get_list_member, LIST, subscriber_hash(str(BOB.email)))
        assert missing.value.status_code == 404

    async def test_the_emulator_takes_no_other_credential(self, rig: Rig) -> None:
        """Basic or bearer, and the right key."""
        async with aiohttp.ClientSession() as session:
            for header in ("", "Basic !", f"Digest {KEY}", "Bearer wrong"):
                sent = {"Authorization": header} if header else {}
                async with session.get(f"{rig.emulator.base_url}/3.0/ping", headers=sent) as response:
                    assert response.status == 401
                    assert response.content_type == "application/problem+json"
                    assert response.headers["X-Request-Id"] == (await response.json())["instance"]
