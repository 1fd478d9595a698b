"""Order lines whose product nobody mapped wait; they neither get lost nor enroll anybody by surprise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.contract.catalogue import ProductEntry
from bridge.contract.command import Learner
from bridge.contract.errors import PayloadInvalid
from bridge.intake.release import Release, release
from bridge.ledger import quarantine
from tests.ledger.rig import ADA, AMS, BOB, CARELESS, SHOP, Adapter, World, buy, cancel, mapping, refund, request


async def waiting(world: World) -> list[tuple[str, int]]:
    rows = await world.rows("SELECT remote_product_id, seen FROM quarantine WHERE state = 'waiting' ORDER BY id")
    return [(row.remote_product_id, row.seen) for row in rows]


async def released(world: World, *, dry_run: bool = False) -> list[Release]:
    """Map NEW and NEWER to the introduction, and release everything."""
    known = mapping("later")
    mapped = {(name, key): ProductEntry(("intro",)) for name in known.sources for key in ("NEW", "NEWER")}
    world.catalogue = replace(known, products={**known.products, **mapped})

    def work(unit) -> list[Release]:
        rows = quarantine.waiting(unit, (), None, None)
        sources = world.catalogue.sources
        return [
            release(unit, row, sources.get(row.source), world.catalogue, world.now, dry_run=dry_run) for row in rows
        ]

    return await world.ledger.write(work)


async def test_an_unmapped_line_waits_once_however_often_it_comes(world: World):
    """The repeats are counted, and the newest wording is kept."""
    for n in range(3):
        reception = await world.accept(
            buy("NEW", minute=n, who=ADA.model_copy(update={"first_name": f"Ada {n}"})), source=AMS
        )
        assert reception.kind == "unmapped"
    await world.accept(buy("NEW", minute=1), source=AMS)
    assert await waiting(world) == [("NEW", 4)]
    assert "Ada 2" in await world.one("SELECT command FROM quarantine")
    assert await world.counts("registration", "delivery") == {"registration": 0, "delivery": 0}


async def test_the_same_unmapped_line_of_one_group_waits_once(world: World):
    """Also when it stands twice on one order."""
    await world.together(*[buy("NEW", "NEW") for _ in range(4)], source=AMS)
    assert await waiting(world) == [("NEW", 4)]


async def test_two_people_and_two_orders_wait_apart(world: World):
    """Each is somebody's purchase."""
    await world.accept(buy("NEW", who=ADA, order="o-1"))
    await world.accept(buy("NEW", who=ADA, order="o-2"))
    await world.accept(buy("NEW", who=BOB, order="o-3"))
    assert len(await waiting(world)) == 3


async def test_a_mixed_order_enrolls_what_is_mapped_now(world: World):
    """And the other line waits."""
    reception = await world.accept(buy("INTRO", "NEW", order="o-1"))
    assert reception.kind == "accepted"
    assert [found.remote_product_id for found in reception.lines] == ["INTRO"]
    assert await waiting(world) == [("NEW", 1)]
    assert await world.operations("lms") == ["grant"]


async def test_what_the_operator_wants_no_part_of_does_not_wait(world: World):
    """A product that is ignored, or any unmapped one of a source that says so."""
    assert (await world.accept(buy("MUG"))).kind == "ignored"
    assert (await world.accept(buy("NEW"), source=CARELESS)).kind == "ignored"
    assert (await world.accept(buy("INTRO", "MUG", order="o-1"))).kind == "accepted"
    assert await waiting(world) == []


async def test_a_repeated_event_says_again_why_it_has_no_lines(world: World):
    """The sender's second delivery of an unmapped purchase is answered like the first, and not counted."""
    for _ in range(2):
        assert (await world.accept(buy("NEW", order="o-1", event_key="e-1"))).kind == "unmapped"
        assert (await world.accept(buy("MUG", order="o-2", event_key="e-2"))).kind == "ignored"
    assert await waiting(world) == [("NEW", 1)]


async def test_a_released_line_enrolls_the_learner(world: World):
    """Once it is mapped; the story of the event names the registration."""
    reception = await world.accept(buy("NEW", order="o-1"))
    assert [found.became for found in await released(world, dry_run=True)] == ["released"]
    assert await waiting(world) == [("NEW", 1)]
    [done] = await released(world)
    assert await world.operations("lms") == ["grant"]
    assert await world.rows("SELECT event_id, registration_id, effect FROM effect") == [
        (reception.event_id, done.registration_id, "created")
    ]
    assert await released(world) == []


async def test_a_line_that_is_still_not_mapped_goes_on_waiting(world: World):
    """Releasing it says so."""
    await world.accept(buy("NOWHERE", order="o-1"))
    assert [found.became for found in await released(world)] == ["waiting"]
    assert await waiting(world) == [("NOWHERE", 1)]


async def test_a_line_is_not_released_over_a_newer_event(world: World):
    """Without a business key the learner's newer word on the product counts."""
    await world.accept(buy("NEW", minute=1), source=AMS)
    known = mapping("mapped")
    world.catalogue = replace(known, products={**known.products, ("ams", "NEW"): ProductEntry(("intro",))})
    [registration] = await world.ids(buy("NEW", minute=5), source=AMS)
    await world.accept(cancel(registration_id=registration, minute=9), source=AMS)
    assert [(found.became, found.registration_id) for found in await released(world)] == [("superseded", registration)]
    assert await world.wanted() == {"id:members:ada": 0}


async def test_a_purchase_of_its_own_is_released_whatever_else_the_learner_bought(world: World):
    """Two orders for one new product: both are paid, and both count."""
    await world.accept(buy("NEW", order="o-1", minute=1))
    await world.accept(buy("NEW", order="o-2", minute=2))
    assert [found.became for found in await released(world)] == ["released", "released"]
    await world.accept(refund(business_key="o-2", minute=3))
    assert await world.wanted() == {"id:shop:ada": 1}


@pytest.mark.parametrize("known", [True, False], ids=["of a mixed order", "of nothing but unmapped lines"])
async def test_a_cancelled_order_takes_its_waiting_lines_along(world: World, known: bool):
    """Releasing them later enrolls nobody."""
    await world.accept(buy("NEW", *(["INTRO"] if known else []), order="o-1", minute=1))
    await world.accept(cancel(business_key="o-1", minute=2))
    assert await waiting(world) == []
    assert await released(world) == []
    assert set((await world.wanted()).values()) <= {0}


@pytest.mark.parametrize(("minute", "became"), [(2, "superseded"), (4, "released")])
async def test_an_older_purchase_that_is_told_of_after_its_cancellation_is_not_released(
    world: World, minute: float, became: str
):
    """Whoever it names, and however often it came before; one that is newer than the cancellation is a purchase again."""
    await world.accept(buy("NEW", order="o-1", minute=1))
    await world.accept(cancel(business_key="o-1", minute=3))
    await world.accept(buy("NEW", order="o-1", minute=minute, who=Learner(email="ada@example.org")))
    assert [one.became for one in await released(world, dry_run=True)] == [became]
    assert [one.became for one in await released(world)] == [became]
    assert list((await world.wanted()).values()) == ([1] if became == "released" else [])


async def test_a_cancelled_order_leaves_other_waiting_lines_alone(world: World):
    """Of the same learner and the same product."""
    await world.accept(buy("NEW", order="o-1"))
    await world.accept(buy("NEW", order="o-2"))
    await world.accept(cancel("NEW", learner=ADA, business_key="o-1", minute=2))
    assert await waiting(world) == [("NEW", 1)]
    await world.accept(cancel("NEW", learner=ADA, minute=3))
    assert await waiting(world) == [("NEW", 1)]


async def test_a_learner_who_cancels_without_a_key_takes_their_waiting_line_along(world: World):
    """The product they name, or all of them."""
    await world.accept(buy("NEW", "NEWER", "NEWEST"), source=AMS)
    await world.accept(buy("NEW", who=BOB), source=AMS)
    await world.accept(cancel("NEW", learner=ADA), source=AMS)
    assert await waiting(world) == [("NEWER", 1), ("NEWEST", 1), ("NEW", 1)]
    await world.accept(cancel(learner=ADA), source=AMS)
    assert await waiting(world) == [("NEW", 1)]


@pytest.mark.parametrize("what", [{"pending": True}, {"full": False}], ids=["pending", "of no line"])
async def test_a_refund_that_takes_nothing_away_leaves_waiting_lines_alone(world: World, what: dict[str, bool]):
    """Whoever has paid goes on waiting."""
    await world.accept(buy("NEW", order="o-1"))
    await world.accept(refund(business_key="o-1", minute=2, learner=ADA, **what))
    assert await waiting(world) == [("NEW", 1)]


async def test_an_unmapped_purchase_that_was_overtaken_is_not_released(world: World):
    """The cancellation came first; the line waits, and releasing it finds the purchase taken back."""
    await world.accept(cancel("NEW", learner=ADA, business_key="o-1", minute=5))
    await world.accept(buy("NEW", order="o-1", minute=1))
    assert [found.became for found in await released(world)] == ["superseded"]
    assert await world.outbox("lms") == []


class Lost(Adapter):
    """An adapter that can't read what it gets."""

    def __init__(self, *, synchronous: bool, broken: bool = False) -> None:
        super().__init__()
        self.synchronous = synchronous
        self._broken = broken

    def normalise(self, _event):
        if self._broken:
            raise RuntimeError("a defect of the adapter")
        raise PayloadInvalid({"order": "is missing"})


@pytest.mark.parametrize("broken", [False, True], ids=["unreadable", "adapter broken"])
async def test_an_event_that_no_adapter_understands_is_kept_in_quarantine(world: World, broken: bool):
    """A webhook's sender is told 200; somebody may have paid, so an operator will see it."""
    reception = await world.intake.receive(SHOP, Lost(synchronous=False, broken=broken), request(b'{"n": 1}'))
    assert reception.kind == "ignored"
    assert await world.rows("SELECT kind, state FROM quarantine") == [("unreadable", "waiting")]
    assert await world.rows("SELECT state, body FROM event") == [("unreadable", '{"n": 1}')]


async def test_a_refused_call_is_kept_and_answered(world: World):
    """A synchronous sender learns what is wrong; the event is kept all the same."""
    reception = await world.intake.receive(SHOP, Lost(synchronous=True), request())
    assert (reception.kind, reception.faults) == ("invalid", {"order": "is missing"})
    assert await world.rows("SELECT state FROM event") == [("refused",)]
    assert await waiting(world) == []
