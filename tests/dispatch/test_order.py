"""One in flight per learner and target, and the last word of the sender is what remains."""

from __future__ import annotations

import asyncio

from bridge.contract.outbound import Work
from tests.dispatch.rig import Rig, catalogue, until


class Watched:
    """A connector beside which somebody counts who is in flight."""

    def __init__(self, real) -> None:
        self._real = real
        self.now: list[str] = []
        self.doubles: list[str] = []
        self.most = 0
        self.works: list[Work] = []

    def __getattr__(self, name):
        return getattr(self._real, name)

    async def deliver(self, batch):
        self.works += batch
        people = [work.person for work in batch]
        self.doubles += [person for person in people if person in self.now]
        self.now += people
        self.most = max(self.most, len(self.now))
        try:
            await asyncio.sleep(0.005)
            return await self._real.deliver(batch)
        finally:
            for person in people:
                self.now.remove(person)


async def test_one_in_flight_per_learner_and_target(rig: Rig) -> None:
    """Ten people with six rights each: never two of one person at once, and yet eight people side by side."""
    rig.catalogue = catalogue(courses=6)
    watched: list[Watched] = []
    rig.instead("lms", lambda real: watched.append(Watched(real)) or watched[0])
    await rig.start()
    await rig.buy_all(range(10), "all")
    await until(lambda: len(rig.enrolled()) == 60)
    await rig.done()
    assert watched[0].doubles == []
    assert watched[0].most == 8


async def test_a_cancellation_while_the_grant_is_in_flight_ends_with_the_person_out(rig: Rig) -> None:
    """It can't be called back, so it is taken back."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.4, times=1)
    number = await rig.buy(1)
    await until(lambda: rig.lms.journal)
    await rig.cancel(number)
    await rig.done()
    assert rig.enrolled() == []
    assert await rig.registration(number) == "cancelled"
    assert [operation for name, operation, _ in rig.attempts if name == "lms"] == ["grant", "revoke"]


async def test_a_cancellation_before_the_grant_went_out_costs_no_request(rig: Rig) -> None:
    """Nothing is wanted and nothing held."""
    number = await rig.buy(1)
    await rig.cancel(number)
    await rig.start()
    await rig.done()
    assert rig.lms.journal == []
    assert await rig.registration(number) == "cancelled"


async def test_a_purchase_while_the_revocation_is_in_flight_ends_with_the_person_in(rig: Rig) -> None:
    """The newest word counts."""
    await rig.start()
    first = await rig.buy(1)
    await rig.done()
    rig.lms.now_fails("delay", seconds=0.4, times=1)
    seen = len(rig.lms.journal)
    await rig.cancel(first)
    await until(lambda: len(rig.lms.journal) > seen)
    second = await rig.buy(1)
    assert second != first
    await rig.done()
    assert rig.enrolled() == ["learner1@example.org remote-course-1"]
    assert await rig.registration(second) == "active"
    assert await rig.registration(first) in ("cancelled", "active")


async def test_many_changes_of_mind_end_as_the_last_one_says(rig: Rig) -> None:
    """Twenty people, each buying and cancelling three times while the lane works."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.01)

    async def undecided(who: int) -> None:
        for _ in range(3):
            number = await rig.buy(who)
            await asyncio.sleep(0.002 * (who % 5))
            await rig.cancel(number)
        if who % 2:
            await rig.buy(who)

    await asyncio.gather(*(undecided(who) for who in range(20)))
    await rig.done()
    expected = sorted(f"learner{who}@example.org remote-course-1" for who in range(20) if who % 2)
    assert rig.enrolled() == expected


async def test_one_of_two_purchases_cancelled_leaves_the_person_in(rig: Rig) -> None:
    """Access is counted."""
    await rig.start()
    alone, bundle = await rig.buy(1, "course-1"), await rig.buy(1, "all")
    await rig.done()
    await rig.cancel(alone)
    await rig.done()
    assert "learner1@example.org remote-course-1" in rig.enrolled()
    await rig.cancel(bundle)
    await rig.done()
    assert rig.enrolled() == []


async def test_changed_learners_are_updated_where_they_are_in(rig: Rig) -> None:
    """Name and address follow to both targets; nobody is enrolled twice."""
    await rig.start()
    await rig.buy_all(range(12))
    await rig.done()
    for who in range(12):
        await rig.buy(who, lastname="King", email=f"king{who}@example.org")
    await rig.done()
    assert len(rig.lms.registrations) == 12
    assert sorted({row["lastname"] for row in rig.lms.users.values()}) == ["King"]
    assert rig.contacts() == sorted(f"king{who}@example.org" for who in range(12))


async def test_a_change_while_the_grant_is_in_flight_follows_it(rig: Rig) -> None:
    """What was confirmed is what was sent, not what is wanted meanwhile."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.3, times=1)
    await rig.buy(1)
    await until(lambda: rig.lms.journal)
    await rig.buy(1, lastname="King")
    await rig.done()
    assert [row["lastname"] for row in rig.lms.users.values()] == ["King"]
    assert [operation for name, operation, _ in rig.attempts if name == "lms"] == ["grant", "update"]


async def test_a_purchase_released_while_another_contact_is_in_flight_is_not_lost(rig: Rig) -> None:
    """The CRM's record of one person, twice within one request."""
    await rig.start()
    rig.crm.now_fails("delay", seconds=0.3, times=1)
    await rig.buy(1, "course-1")
    await until(lambda: rig.crm.journal)
    await rig.buy(1, "course-2")
    await rig.done()
    assert len([one for one in rig.attempts if one[0] == "crm"]) == 2
    assert rig.contacts() == ["learner1@example.org"]
