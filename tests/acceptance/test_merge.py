"""Two accounts of one person, merged by the operator while the bridge runs: what ends up at the targets, also through a crash."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from bridge.kit.sandbox import Emulator
from tests.acceptance.cli_rig import Said, asked, look
from tests.acceptance.rig import CHECKOUT_SECRET, Client, Daemon, configuration, emulators, free_port, live, until

HERE, THERE = "here@example.org", "there@example.org"
TARGETS = ("academy_of_mine", "elevate", "hubspot")
LMS = ("academy_of_mine", "elevate")


async def buy_at_checkout(client: Client, course: str, email: str = THERE) -> None:
    fields = {
        "secret": CHECKOUT_SECRET,
        "type": "purchase",
        "email": email,
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    what = {"forum_category_id": course[6:]} if course.startswith("forum:") else {"course_id": course}
    status, _ = await client.get("/customapi.php", params={**fields, **what})
    assert status == 200


async def two_accounts(client: Client, targets: dict[str, Emulator]) -> int:
    """Let a person buy one course at the AMS and another at the checkout; return the registration at the AMS."""
    _, answer = await client.register("a", email=HERE, firstname="Ada", lastname="Lovelace")
    await buy_at_checkout(client, "forum:5")
    for name in LMS:
        await until(lambda name=name: {person for person, _ in live(targets[name])} == {HERE, THERE})
    await until(lambda: {person for person, _ in live(targets["hubspot"])} == {HERE, THERE})
    return int(answer["registration_id"])


async def learners(config: Path) -> tuple[int, int]:
    """Return who is known by the checkout's address, and who by the AMS's."""
    found = [await asked("learners", address, "--json", "--config", config) for address in (THERE, HERE)]
    [one], [other] = [said.json for said in found]
    return one["learner_id"], other["learner_id"]


async def merge(config: Path, *words: object) -> Said:
    return await asked("merge", *words, "--json", "--config", config)


def at_one(targets: dict[str, Emulator], address: str = HERE) -> bool:
    """Say whether the learning systems let the person into both courses, under one address only."""
    return all([person for person, _ in live(targets[name])] == [address, address] for name in LMS)


def apart(targets: dict[str, Emulator]) -> bool:
    return all([person for person, _ in live(targets[name])] == [HERE, THERE] for name in LMS)


async def test_the_running_bridge_merges_and_takes_it_back(tmp_path) -> None:
    """Shown first, done, told in the story by either name, and undone; events of either name go on to the one person."""
    async with emulators(*TARGETS) as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        daemon = Daemon(config, port)
        await daemon.start()
        client = Client(daemon.base_url, session)
        first = await two_accounts(client, targets)
        one, other = await learners(config)
        said = await asked("merge", one, other, "--dry-run", "--reveal", "--config", config)
        assert said.code == 0
        assert "nothing was changed" in said.out
        for words in (
            f"for {HERE} is given first",
            f"for {THERE} is taken away after",
            f"the contact {HERE} is brought up",
        ):
            assert words in said.out
        assert apart(targets)
        assert (await merge(config, one, other)).json["became"] == "merged"
        await until(lambda: at_one(targets))
        await buy_at_checkout(client, "forum:5")
        assert (await merge(config, one, other)).json["became"] == "unchanged"
        for name in (HERE, THERE):
            told = (await asked("trace", name, "--by", "email", "--json", "--config", config)).json["purchases"]
            assert len(told) == 2
            assert first in [purchase["registration_id"] for purchase in told]
            for purchase in told:
                assert "merge" in [entry.get("action") for entry in purchase["story"]]
        listed = await asked("registrations", "--learner", THERE, "--json", "--config", config)
        assert len(listed.json) == 2
        assert "also known as learner" in (await asked("trace", HERE, "--config", config)).out
        assert at_one(targets)
        assert (await merge(config, one, "--undo")).json["became"] == "undone"
        await until(lambda: apart(targets))
        await until(
            lambda: look(tmp_path / "bridge.db", "SELECT count(*) FROM delivery WHERE state <> 'done'") == [(0,)]
        )
        assert await daemon.stop() == 0


async def test_nobody_is_out_while_a_target_is_down(tmp_path) -> None:
    """The one system refuses for a while: its account there keeps the course until the other has it."""
    async with emulators(*TARGETS) as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        daemon = Daemon(config, port)
        await daemon.start()
        await two_accounts(Client(daemon.base_url, session), targets)
        lms = targets["academy_of_mine"]
        fault = lms.now_fails("status", status=503, body="<html>busy</html>")
        await merge(config, *await learners(config))
        await until(lambda: [person for person, _ in live(targets["elevate"])] == [HERE, HERE])
        assert [person for person, _ in live(lms)] == [HERE, THERE]
        lms.recovers(fault)
        await until(lambda: at_one(targets))
        assert await daemon.stop() == 0


async def test_killed_around_a_merge(tmp_path) -> None:
    """Whenever the bridge dies, the same command again brings it to the same end; nobody holds a course twice."""
    async with emulators(*TARGETS) as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        daemon = Daemon(config, port)
        await daemon.start()
        await two_accounts(Client(daemon.base_url, session), targets)
        one, other = await learners(config)
        asking = asyncio.create_task(merge(config, one, other))
        await asyncio.sleep(0.9)
        await daemon.kill()
        await asking
        await daemon.start()
        assert (await merge(config, one, other)).json["became"] in ("merged", "unchanged")
        await until(lambda: at_one(targets), 30)
        undoing = asyncio.create_task(merge(config, one, "--undo"))
        await asyncio.sleep(0.9)
        await daemon.kill()
        await undoing
        await daemon.start()
        assert (await merge(config, one, "--undo")).json["became"] in ("undone", "unchanged")
        await until(lambda: apart(targets), 30)
        assert await daemon.stop() == 0


async def test_without_a_bridge_it_is_written_directly(tmp_path) -> None:
    """What follows is done when the bridge starts; what can't be is refused with exit code 1 or 2, in words."""
    async with emulators(*TARGETS) as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        daemon = Daemon(config, port)
        await daemon.start()
        await two_accounts(Client(daemon.base_url, session), targets)
        assert await daemon.stop() == 0
        one, other = await learners(config)
        assert (await asked("merge", one, "--config", config)).code == 2
        refused = await asked("merge", one, one, "--config", config)
        assert (refused.code, "can't be merged into itself" in refused.err) == (1, True)
        said = await asked("merge", one, other, "--config", config)
        assert f"bridge merge --undo {one}" in said.out
        assert HERE not in said.out
        assert apart(targets)
        await daemon.start()
        await until(lambda: at_one(targets))
        assert await daemon.stop() == 0


async def test_learners_are_found_with_their_twins(tmp_path) -> None:
    """By address, name and number; masked unless asked for; who shares an address is shown without being asked for."""
    async with emulators() as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        daemon = Daemon(config, port)
        await daemon.start()
        client = Client(daemon.base_url, session)
        await client.register("a", email=HERE, firstname="Ada", lastname="Lovelace")
        await buy_at_checkout(client, "3", HERE)
        await client.register("b", email=THERE, firstname="Bob", lastname="Best")
        assert await daemon.stop() == 0
        found = (await asked("learners", "love", "--json", "--config", config)).json
        assert [row["remote_user_id"] for row in found] == ["a", None]
        assert [twin["why"] for row in found for twin in row["twins"]] == ["same address and name"] * 2
        assert HERE not in json.dumps(found)
        twins = (await asked("learners", "--json", "--reveal", "--config", config)).json
        assert [row["email"] for row in twins] == [HERE, HERE]
        assert [
            row["email"] for row in (await asked("learners", "b", "--json", "--reveal", "--config", config)).json
        ] == [THERE]
        assert (await asked("learners", "nobody", "--config", config)).out.strip() == "none"
        assert "same address" in (await asked("learners", HERE, "--config", config)).out
