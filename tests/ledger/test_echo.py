"""What an LMS tells of access that the bridge gave there is progress, and never a purchase."""

from __future__ import annotations

from dataclasses import replace

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Progress, ProgressKind
from tests.ledger.rig import ADA, SHOP, SourceEntry, World, at, buy, mapping

LMS_ITSELF = SourceEntry("school-says", "fake", namespace="school-says", business_scope="school-says", echo_of="school")
MET = Learner(email="Ada@Example.org", first_name="Ada")


def _world(world: World, source: SourceEntry) -> SourceEntry:
    usual = mapping()
    products = {**usual.products, (source.name, "7"): usual.products["shop", "WEB"]}
    world.catalogue = mapping("echo", sources={**usual.sources, source.name: source}, products=products)
    return source


def _enrolled(course: str = "7", who: Learner = MET) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.ENROLL, occurred_at=at(5), learner=who, items=(Item(remote_product_id=course),)
    )


async def test_our_own_enrollment_comes_back_as_progress(world: World):
    """It is noted on the registration that gave the access, and makes none."""
    source = _world(world, LMS_ITSELF)
    [registration] = await world.ids(buy("WEB", who=ADA))
    assert (await world.accept(_enrolled(), source=source)).kind == "accepted"
    assert await world.counts("registration", "quarantine") == {"registration": 1, "quarantine": 0}
    rows = await world.rows("SELECT registration_id, effect FROM effect ORDER BY event_id")
    assert [tuple(row) for row in rows] == [(registration, "created"), (registration, "noted")]


async def test_what_a_learner_completes_is_noted(world: World):
    """By the person and the course as the LMS knows them."""
    source = _world(world, LMS_ITSELF)
    await world.ids(buy("WEB", who=ADA))
    done = EnrollmentCommand(
        action=Action.PROGRESS,
        occurred_at=at(9),
        learner=MET,
        items=(Item(remote_product_id="7"),),
        progress=Progress(kind=ProgressKind.COMPLETED),
    )
    await world.accept(done, source=source)
    assert await world.one("SELECT count(*) FROM effect WHERE effect = 'progressed'") == 1


async def test_somebody_the_lms_let_in_by_itself_is_no_purchase(world: World):
    """Not even where the product is mapped, and nothing waits for an operator."""
    source = _world(world, LMS_ITSELF)
    assert (await world.accept(_enrolled(), source=source)).kind == "ignored"
    assert (await world.accept(_enrolled("unmapped"), source=source)).kind == "ignored"
    assert await world.counts("registration", "quarantine") == {"registration": 0, "quarantine": 0}


async def test_a_source_that_accepts_enrollments_enrolls_strangers_and_hears_its_echo(world: World):
    """The same event for somebody whom we let in stays an echo."""
    source = _world(world, replace(LMS_ITSELF, accept_enrollments=True))
    await world.ids(buy("WEB", who=ADA), source=SHOP)
    await world.accept(_enrolled(), source=source)
    assert await world.counts("registration") == {"registration": 1}
    await world.accept(_enrolled(who=Learner(email="eve@example.org")), source=source)
    assert await world.counts("registration") == {"registration": 2}
    assert await world.wanted("school") == {"email:ada@example.org": 1, "email:eve@example.org": 1}
