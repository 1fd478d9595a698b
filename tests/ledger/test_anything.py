"""Whatever happens in whatever order, in the end everybody who is to be in is in, and nobody else."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge.contract.catalogue import person_key
from bridge.contract.command import Action, EnrollmentCommand, Learner, Options
from bridge.contract.outbound import NeedsOperator, Receipt, Refs, TryLater
from bridge.ledger import claims, repairs
from tests.ledger.rig import (
    AMS,
    CRM,
    LMS,
    PAY,
    SCHOOL,
    SHOP,
    World,
    at,
    buy,
    cancel,
    mapping,
    refund,
    update,
    with_targets,
)

PRODUCTS = ("INTRO", "ETHICS", "AGAIN", "BUNDLE", "WEB", "BOTH", "BOOK")
ADDRESSES = tuple(f"{name}@example.org" for name in ("a", "b", "c", "d"))
TARGETS = ("lms", "school", "crm")
STEPS = 150


class Chaos:
    """Senders, people and targets that do anything, by dice that can be thrown again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self._minute = 0

    def who(self) -> Learner:
        address = self._dice.choice(ADDRESSES)
        known = self._dice.choice((None, "u1", "u2", "u3"))
        return Learner(remote_user_id=known, email=address, first_name=self._dice.choice(("", "Ada", "Bob")))

    def command(self) -> EnrollmentCommand:
        dice = self._dice
        self._minute += 1
        minute = max(0, self._minute - dice.choice((0, 0, 0, 5, 30)))
        order = dice.choice((None, f"o-{dice.randrange(8)}"))
        products = dice.sample(PRODUCTS, dice.choice((1, 1, 2)))
        by = {"business_key": order} if order else {"learner": self.who()}
        return dice.choice(
            (
                lambda: buy(*products, who=self.who(), order=order, minute=minute),
                lambda: buy(
                    *products,
                    who=self.who(),
                    order=order,
                    minute=minute,
                    options=Options(expires_at=at(90_000), full_access=True),
                ),
                lambda: cancel(minute=minute, **by),
                lambda: cancel(products[0], minute=minute, **by | {"learner": self.who()}),
                lambda: refund(products[0], full=False, minute=minute, **by),
                lambda: cancel(action=Action.SUSPEND, minute=minute, **by),
                lambda: cancel(action=Action.RESUME, minute=minute, **by),
                lambda: update(self.who(), minute=minute, **({"event_key": f"e-{self._minute}"} if order else {})),
            )
        )()

    async def step(self) -> None:
        """Do one thing: a few events at once, some work at a target, or a crash."""
        match self._dice.randrange(10):
            case 0 | 1 | 2 | 3 | 4 | 5:
                events = [self.command() for _ in range(self._dice.choice((1, 1, 4)))]
                receptions = await self._world.together(*events, source=self._dice.choice((SHOP, PAY, AMS)))
                assert "unavailable" not in {reception.kind for reception in receptions}
            case 6 | 7 | 8:
                await self.work()
            case _:
                now = self._world.now
                await self._world.claim(self._dice.choice(TARGETS), 2)
                await self._world.ledger.write(lambda unit: claims.return_all(unit, now))

    async def work(self) -> None:
        """Let a target answer this and that; the mapping may change and the address of the learner may too, meanwhile."""
        claimed = await self._world.claim(self._dice.choice(TARGETS), self._dice.choice((1, 3, 50)))
        if self._dice.random() < 0.3:
            await self._world.accept(self.command(), source=SHOP)
        for one in claimed:
            refs = Refs(person={"user": str(one.delivery.id)})
            outcome = self._dice.choice(
                (
                    Receipt(refs),
                    Receipt(refs),
                    Receipt(),
                    TryLater("busy", after=1),
                    TryLater("?", applied="unknown"),
                    NeedsOperator("no", "act"),
                )
            )
            await self._world.settle(one, outcome)
        self._world.now += self._dice.choice((0, 1_000, 60_000))


async def calm(world: World) -> None:
    """Let everything answer well until nothing is left to do."""

    def requeue(unit) -> None:
        repairs.requeue(unit, repairs.dead_letters(unit, (), None), world.now)

    await world.ledger.write(requeue)
    for _ in range(3):
        world.now += 100_000_000
        for target in TARGETS:
            await world.deliver(target)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_ledger_comes_to_rest_as_everybody_wants_it(world: World, seed: int):
    """Rights are wanted while a live grant is behind them, targets hold what is wanted, and every state says so."""
    world.catalogue = with_targets(LMS, SCHOOL, CRM)
    chaos = Chaos(world, seed)
    for step in range(STEPS):
        if step == STEPS // 2:
            world.catalogue = mapping("second", targets=world.catalogue.targets)
        await chaos.step()
    await calm(world)
    await at_rest(world)


async def test_two_bridges_may_do_anything_at_once(pair: tuple[World, World]):
    """Two machines on one ledger, each with its own senders and crashes, about the same people and orders."""
    for world in pair:
        world.catalogue = with_targets(LMS, SCHOOL, CRM)

    async def live(chaos: Chaos) -> None:
        for _ in range(STEPS // 3):
            await chaos.step()

    await asyncio.gather(*(live(Chaos(world, 7 + n)) for n, world in enumerate(pair)))
    for world in pair:
        await calm(world)
    await at_rest(pair[0])


async def at_rest(world: World) -> None:
    """Check that nothing is left to do, and that nobody is in or out by mistake."""
    rights = await world.rows(
        'SELECT w.wanted, w.held, (SELECT count(*) FROM "grant" t WHERE t.right_id = w.id AND t.live = 1) AS live FROM "right" w'
    )
    assert {(row.wanted, row.held, row.live > 0) for row in rights} <= {(1, "yes", True), (0, "no", False)}
    assert {row.state for row in await world.rows("SELECT state FROM delivery")} == {"done"}
    # One without a mapping was taken back before its purchase arrived, and the purchase never did.
    rows = await world.rows(
        "SELECT intent, state FROM registration WHERE mapping_version_id IS NOT NULL OR intent <> 'live'"
    )
    states = {(row.intent, row.state) for row in rows}
    assert states <= {("live", "active"), ("suspended", "suspended"), ("cancelled", "cancelled")}
    await _everybody_is_known_by_their_own_name(world)


async def _everybody_is_known_by_their_own_name(world: World) -> None:
    """Every live registration rests on rights of its own learner, under the address they have now."""
    rows = await world.rows(
        "SELECT g.id, l.namespace, l.remote_user_id, l.email, w.target, w.person FROM registration g"
        ' JOIN learner l ON l.id = g.learner_id JOIN "grant" t ON t.registration_id = g.id AND t.live = 1'
        " JOIN \"right\" w ON w.id = t.right_id WHERE g.intent = 'live'"
    )
    assert rows
    for row in rows:
        known_by = world.catalogue.targets[row.target].known_by
        assert row.person == person_key(known_by, row.namespace, row.remote_user_id, row.email)
    without = await world.rows(
        "SELECT g.remote_product_id FROM registration g WHERE g.intent = 'live' AND g.mapping_version_id IS NOT NULL AND NOT EXISTS"
        ' (SELECT 1 FROM "grant" t WHERE t.registration_id = g.id AND t.live = 1)'
    )
    assert without == []
