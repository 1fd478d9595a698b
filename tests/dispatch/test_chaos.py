"""Everything at once: whatever the targets do and however often the bridge dies, the end is what the sender said last."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.dispatch.rig import Rig, catalogue, until

PEOPLE = 25
FAULTS = [
    ("status", {"status": 503}),
    ("status", {"status": 429, "headers": {"Retry-After": "0"}}),
    ("status", {"status": 401, "body": {"error_messages": {"api_key": "The API key is not valid."}}}),
    ("cut", {}),
    ("lost", {}),
    ("garbage", {}),
    ("delay", {"seconds": 0.05}),
]
TOO_SLOW = (
    "delay",
    {"seconds": 0.6},
)  # for the CRM only: an LMS that enrolls after it was given up may undo a later cancellation


async def sender(rig: Rig, who: int, chance: random.Random, live: dict[tuple[int, str], int]) -> None:
    for _ in range(4):
        await asyncio.sleep(chance.random() * 0.6)
        product = chance.choice(["course-1", "course-2", "all"])
        bought = live.pop((who, product), None)
        if bought is not None:
            await rig.cancel(bought)
        else:
            live[who, product] = await rig.buy(who, product)


async def weather(rig: Rig, chance: random.Random, *, crashes: bool) -> None:
    for turn in range(8):
        emulator = chance.choice([rig.lms, rig.crm])
        mode, how = chance.choice(FAULTS if emulator is rig.lms else [*FAULTS, TOO_SLOW])
        fault = emulator.now_fails(mode, times=chance.randint(1, 12), **how)
        await asyncio.sleep(chance.random() * 0.3)
        emulator.recovers(fault)
        if turn % 3 == 2 and crashes:
            await rig.crash()
            await rig.start()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_the_end_is_what_the_sender_said_last(rig: Rig, seed: int) -> None:
    """Everybody who bought is in, once; nobody else is; the CRM knows them all; nothing is buried or left over."""
    chance = random.Random(seed)
    rig.catalogue = catalogue(courses=2)
    rig.timeouts["crm"] = 0.4
    await rig.start()
    live: dict[tuple[int, str], int] = {}
    await asyncio.gather(
        *(sender(rig, who, chance, live) for who in range(PEOPLE)), weather(rig, chance, crashes=False)
    )
    await weather(rig, chance, crashes=True)
    rig.lms.recovers()
    rig.crm.recovers()
    for name in ("lms", "crm"):
        rig.lane(name).resume()
    await until(rig.quiet, 30.0)
    wanted = set()
    for who, product in live:
        for course in ("course-1", "course-2") if product == "all" else (product,):
            wanted.add(f"learner{who}@example.org remote-{course}")
    assert rig.enrolled() == sorted(wanted)
    assert set(rig.contacts()) >= {f"learner{who}@example.org" for who, _ in live}
    assert not await rig.value("SELECT count(*) FROM delivery WHERE state NOT IN ('done')")
    assert not await rig.value("SELECT count(*) FROM \"right\" WHERE (wanted = 1) <> (held = 'yes')")
    states = {row.state for row in await rig.rows("SELECT state FROM registration WHERE intent = 'live'")}
    assert states <= {"active"}
    assert rig.lane("lms").in_flight == 0
