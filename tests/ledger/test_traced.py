"""The outbox keeps the trace of the request that first asked for the work, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.contract.inbound import Reception
from bridge.kit.tracing import of_request
from tests.ledger.rig import ADA, BOB, CRM, LMS, SCHOOL, World, buy, with_targets

FIRST, SECOND = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")


class Span:
    """A span that only says where it belongs."""

    ids: Mapping[str, str] = MappingProxyType({})

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def say(self, about) -> None: ...

    def fail(self) -> None: ...

    def end(self) -> None: ...


async def traced(world: World, traceparent: str | None, *commands) -> Reception:
    token = of_request.set(Span(traceparent) if traceparent else None)
    try:
        return await world.accept(*commands)
    finally:
        of_request.reset(token)


async def test_the_first_request_keeps_the_work(world: World):
    """Rights and what waits for them; a later request changes nothing of open work, and an untraced one has none."""
    world.catalogue = with_targets(LMS, SCHOOL, CRM)
    await traced(world, FIRST, buy("INTRO"))
    await traced(world, SECOND, buy("AGAIN", minute=2))
    await traced(world, None, buy("ETHICS", who=BOB))
    rows = await world.rows(
        "SELECT l.remote_user_id, d.target, d.traceparent FROM delivery d JOIN learner l ON l.id = d.learner_id ORDER BY d.id"
    )
    adas = [(row.target, row.traceparent) for row in rows if row.remote_user_id == ADA.remote_user_id]
    assert [trace for target, trace in adas if target == "lms"] == [FIRST]
    assert [trace for target, trace in adas if target == "crm"] == [FIRST, SECOND]
    assert {row.traceparent for row in rows if row.remote_user_id == BOB.remote_user_id} == {None}
    (ada, bob) = sorted(await world.claim("lms"), key=lambda one: one.delivery.id)
    assert (ada.delivery.traceparent, bob.delivery.traceparent) == (FIRST, None)
