"""Mailchimp behind a real lane and a real ledger: what dispatch makes of batches that are under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch.loop import Dispatcher
from connectors.outbound.mailchimp import Mailchimp, delivery
from connectors.outbound.mailchimp.settings import MailchimpCourse
from connectors.sandbox.mailchimp import LIST
from connectors.sandbox.mailchimp import Mailchimp as Sandbox
from tests.dispatch.rig import Rig, catalogue, target, until


class AtMailchimp(Rig):
    """A bridge that tells Mailchimp of purchases as soon as they are accepted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        sold: Any = catalogue()
        courses = {
            key: replace(course, tables={"crm": MailchimpCourse(tags=(key,))}) for key, course in sold.courses.items()
        }
        targets = {"crm": target("crm", Mailchimp, when="accepted")}
        self.catalogue = replace(sold, targets=targets, courses=courses)
        self.crm = Sandbox()

    async def start(self) -> None:
        self.dispatcher = Dispatcher(self.ledger, {"crm": self._lane("crm", Mailchimp, self.crm)}, self.clock, 30.0)
        await self.dispatcher.start()

    def calls(self, method: str, path: str) -> int:
        return sum(seen.method == method and path in seen.path for seen in self.crm.journal)

    async def all_done(self) -> bool:
        return set(await self.states("crm")) == {"done"}


@pytest.fixture
async def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AtMailchimp]:
    monkeypatch.setattr(delivery, "_FIRST_LOOK", 1.0)  # seconds; ten would only be waited for
    made = AtMailchimp(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_a_backlog_goes_by_batches_and_ends(bridge: AtMailchimp) -> None:
    """Sixty purchases wait: a few requests bring them all, and nothing stays behind as pending."""
    await bridge.buy_all(range(60))
    await bridge.start()
    await until(bridge.all_done)
    assert len(bridge.crm.members[LIST]) == 60
    assert {tuple(member.tags) for member in bridge.crm.members[LIST].values()} == {("course-1",)}
    assert bridge.calls("PUT", "/members/") == 0
    assert bridge.calls("POST", "/batches") <= 3
    assert bridge.calls("GET", "/batches/") <= 6
    assert await bridge.value("SELECT count(*) FROM remote_ref WHERE kind = 'pending' AND remote_id <> ''") == 0
    assert await bridge.value("SELECT count(*) FROM remote_ref WHERE kind = 'member'") == 60


async def test_a_purchase_while_the_batch_is_under_way_is_not_forgotten(bridge: AtMailchimp) -> None:
    """The batch brings the first course; its receipt does not stand for the second."""
    bridge.crm.batch_looks = 2
    await bridge.buy_all(range(30))
    await bridge.start()
    await until(lambda: bridge.calls("POST", "/batches") >= 1)
    await bridge.buy(3, "course-2")
    await until(bridge.all_done)
    member = next(one for one in bridge.crm.members[LIST].values() if one.email == "learner3@example.org")
    assert member.tags == ["course-1", "course-2"]


async def test_who_is_refused_in_a_batch_waits_for_a_person_and_can_be_requeued(bridge: AtMailchimp) -> None:
    """One dead letter among thirty; the batch that it was in is not asked for again."""
    bridge.crm.compliance.add("learner7@example.org")
    await bridge.buy_all(range(30))
    await bridge.start()
    await until(lambda: len(bridge.crm.members.get(LIST, {})) == 29)

    async def settled() -> bool:
        return sorted(set(await bridge.states("crm"))) == ["dead", "done"]

    await until(settled)
    assert await bridge.value("SELECT count(*) FROM remote_ref WHERE kind = 'pending' AND remote_id <> ''") == 0
    (why,) = [row[0] for row in await bridge.rows("SELECT why FROM delivery WHERE state = 'dead'")]
    assert why.startswith(Mailchimp.errors["compliance-state"].sentence)
