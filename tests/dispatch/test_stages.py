"""A purchase arrives in the LMS, then in the CRM; and a dead CRM never delays the LMS."""

from __future__ import annotations

import time

import pytest

from tests.dispatch.rig import PATIENT, Rig, catalogue, until


async def test_a_purchase_arrives_in_the_lms_and_then_in_the_crm(rig: Rig) -> None:
    """The CRM hears of it at the receipt, and sees an active registration."""
    await rig.start()
    number = await rig.buy(1)
    await until(rig.contacts)
    await rig.done()
    assert rig.enrolled() == ["learner1@example.org remote-course-1"]
    assert rig.contacts() == ["learner1@example.org"]
    assert await rig.registration(number) == "active"
    assert rig.attempts == [("lms", "grant", "receipt"), ("crm", "contact", "receipt")]


async def test_the_crm_waits_for_the_last_right_of_a_bundle(rig: Rig) -> None:
    """Nine tenths of a bundle are no enrollment; and one learner's rights go one after the other, without a pause."""
    rig.catalogue = catalogue(courses=3)
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.1)
    started = time.monotonic()
    number = await rig.buy(1, "all")
    await until(lambda: len(rig.enrolled()) == 2)
    assert rig.crm.journal == []
    await until(rig.contacts)
    assert time.monotonic() - started < 5  # the safety net would come after a minute
    assert len(rig.enrolled()) == 3
    assert await rig.registration(number) == "active"


async def test_a_right_that_is_held_already_counts(rig: Rig) -> None:
    """The second purchase of a course opens the CRM's work at once."""
    await rig.start()
    await rig.buy(1, "course-1")
    await rig.done()
    rig.lms.now_fails("status", status=503)
    before = len(rig.crm.journal)
    await rig.buy(1, "course-1", remote_product_id="course-1", email="learner1@example.org", firstname="Ada")
    number = await rig.buy(1, "all")
    assert await rig.registration(number) == "pending"
    rig.lms.recovers()
    await rig.done()
    assert await rig.registration(number) == "active"
    assert len(rig.crm.journal) > before


async def test_a_target_that_wants_to_know_early_is_told_at_once(rig: Rig) -> None:
    """``when = "accepted"``: while the LMS still works on it."""
    rig.catalogue = catalogue(when="accepted")
    await rig.start()
    rig.lms.now_fails("delay", seconds=1.0)
    await rig.buy(1)
    await until(rig.contacts)
    assert rig.enrolled() == []


async def test_a_refusal_is_a_dead_letter_and_the_crm_waits(rig: Rig) -> None:
    """Shown as what it is: the registration failed, its CRM work waiting; nobody else is concerned."""
    await rig.start()
    rig.lms.products = {"remote-course-2"}
    refused, taken = await rig.buy(1, "course-1"), await rig.buy(2, "course-2")
    await rig.done()
    assert await rig.states("lms") == ["dead", "done"]
    assert (await rig.registration(refused), await rig.registration(taken)) == ("failed", "active")
    assert sorted(await rig.states("crm")) == ["done", "waiting"]
    assert rig.contacts() == ["learner2@example.org"]
    (letter,) = await rig.rows("SELECT why, remedy FROM delivery WHERE state = 'dead'")
    assert "The requested product could not be found." in letter.why
    assert letter.remedy


async def test_a_newer_command_supersedes_a_dead_letter(rig: Rig) -> None:
    """The mapping was mended at the LMS and the learner bought again."""
    await rig.start()
    rig.lms.products = set()
    number = await rig.buy(1)
    await rig.done()
    rig.lms.products = None
    assert await rig.buy(1) == number
    await until(rig.contacts)
    assert await rig.registration(number) == "active"


@pytest.mark.parametrize("fault", ["delay", "status", "cut"])
async def test_a_dead_crm_never_delays_the_lms(rig: Rig, fault: str) -> None:
    """A hundred enrollments go through while every request to the CRM hangs, fails or breaks."""
    rig.policy("crm", retry=PATIENT, deadline=10.0)
    rig.timeouts["crm"] = 10.0
    await rig.start()
    rig.crm.now_fails(fault, seconds=5.0)
    started = time.monotonic()
    await rig.buy_all(range(100))

    async def all_are_in() -> bool:
        return await rig.value("SELECT count(*) FROM registration WHERE state = 'active'") == 100

    await until(all_are_in, 15.0)
    assert time.monotonic() - started < 15
    assert len(rig.enrolled()) == 100
    assert rig.contacts() == []
    rig.crm.recovers()
    rig.lane("crm").resume()
    await until(lambda: len(rig.contacts()) == 100, 40.0)


async def test_delivery_happens_by_wake_up_not_by_polling(rig: Rig) -> None:
    """The safety net comes after a minute; every single purchase is there long before."""
    await rig.start()
    for number in range(10):
        started = time.monotonic()
        await rig.buy(number)
        await until(lambda expected=number + 1: len(rig.contacts()) == expected, 3.0)
        assert time.monotonic() - started < 2


async def test_the_story_of_an_attempt_is_kept_masked(rig: Rig) -> None:
    """What was sent, what came back, the remote ids; no key, no learner."""
    await rig.start()
    await rig.buy(1)
    await rig.done()
    (attempt,) = await rig.rows(
        "SELECT a.* FROM attempt a JOIN delivery d ON d.id = a.delivery_id AND d.target = 'lms'"
    )
    assert (attempt.operation, attempt.outcome) == ("grant", "receipt")
    assert '"status":200' in attempt.exchanges
    for hidden in ("sandbox-elevate-key", "learner1@", "Lovelace"):
        assert hidden not in attempt.exchanges
    refs = await rig.rows("SELECT target, kind, remote_id FROM remote_ref ORDER BY target, kind")
    assert ("lms", "registration", "583919") in [tuple(row) for row in refs]
