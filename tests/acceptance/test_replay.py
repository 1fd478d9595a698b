"""``replay``: an event is understood anew from its stored bytes, and what would come of it is shown first."""

from __future__ import annotations

import json

import pytest

from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ask, asked, look
from tests.acceptance.rig import configuration, emulators, live, running, until

LAW = """
[courses.law]
title = "Law"
elevate = { remote_product_id = "LAW" }

[[products]]
source = "ams"
remote_product_id = "LAW-1"
courses = ["law"]
"""
GENERIC = """
[sources.shop]
adapter = "generic"
namespace = "members"
verify = {{ scheme = "token", header = "X-Token", secret = "shop-secret-for-tests" }}
fields = {{ action = {{ default = "enroll" }}, learner = {{ email = "{email}" }}, items = {{ remote_product_id = "course" }} }}

[[products]]
source = "shop"
remote_product_id = "X"
courses = ["intro-ce"]
"""


def rows(folder, statement: str) -> list[tuple]:
    return look(folder / "bridge.db", statement)


async def test_a_purchase_follows_the_mapping_of_today(tmp_path) -> None:
    """The diff names registration and effect and changes nothing; the replay moves the learner to the new course."""
    async with emulators("elevate") as targets:
        async with running(tmp_path, targets) as (_, ams):
            await ams.register(user="1")
            await until(lambda: live(targets["elevate"]) == [("1@example.org", "INTRO")])
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text().replace('"INTRO"', '"INTRO-2"'))
        before = rows(tmp_path, "SELECT * FROM delivery")
        dry = await asked("replay", 1, "--dry-run", "--json", "--config", path)
        assert dry.code == 0
        [told] = dry.json
        assert (told["became"], told["actions"]) == ("replayed", ["enroll"])
        assert told["effects"] == [
            {"registration_id": 1, "remote_product_id": "ABCD1234", "before": "created", "after": "reopened"}
        ]
        assert list(told["opened"]) == ["elevate"]
        assert rows(tmp_path, "SELECT * FROM delivery") == before
        assert rows(tmp_path, "SELECT count(*) FROM operator_action") == [(0,)]
        done = await asked("replay", 1, "--yes", "--config", path)
        assert (done.code, done.out.splitlines()[-1]) == (0, "1 event replayed")
        again = await asked("replay", 1, "--dry-run", "--config", path)
        assert again.code == 0
        assert rows(tmp_path, "SELECT action, subject FROM operator_action") == [("replay", "1")]
        assert sorted(rows(tmp_path, 'SELECT course_key, wanted FROM "right"')) == [
            ('{"remote_product_id":"INTRO"}', 0),
            ('{"remote_product_id":"INTRO-2"}', 1),
        ]


async def test_nothing_is_done_without_a_yes(tmp_path) -> None:
    """The verb shows the change and asks; no answer is a no."""
    async with emulators("elevate") as targets:
        async with running(tmp_path, targets) as (_, ams):
            await ams.register(product="LAW-1")
        path = configuration(tmp_path, targets, extra=LAW)
        said = await asked("replay", 1, "--config", path)
        assert said.code == 1
        assert "created" in said.out
        assert rows(tmp_path, "SELECT count(*) FROM registration") == [(0,)]
        assert (await asked("replay", 1, "--json", "--config", path)).code == 2


async def test_a_replay_by_the_daemon_of_what_it_could_not_place(tmp_path) -> None:
    """The quarantined line ends with it, and the learner gets in."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        await ams.register(user="7", product="LAW-1")
        assert rows(tmp_path, "SELECT state FROM quarantine") == [("waiting",)]
        path = configuration(tmp_path, targets, extra=LAW)
        await bridge.reload(load(path, Registry(), env={}).settings)
        done = await asked("replay", 1, "--yes", "--json", "--config", path)
        assert (done.code, done.json[0]["became"]) == (0, "replayed")
        await until(lambda: live(targets["elevate"]) == [("7@example.org", "LAW")])
        assert rows(tmp_path, "SELECT state, note FROM quarantine") == [("superseded", "replayed")]


async def test_what_a_newer_event_did_is_not_undone(tmp_path) -> None:
    """The purchase was cancelled since."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, ams):
        _, said = await ams.register(user="1")
        await until(lambda: live(targets["elevate"]))
        await ams.cancel(said["registration_id"])
        await until(lambda: not live(targets["elevate"]))
        path = configuration(tmp_path, targets)
        [told] = (await asked("replay", 2, "--dry-run", "--json", "--config", path)).json
        assert told["became"] == "unchanged"
        assert [one["after"] for one in told["effects"]] == ["repeated"]


async def test_an_unreadable_event_is_read_once_its_source_is_set_right(tmp_path) -> None:
    """All of a source's at once; what is readable now is no longer counted as unreadable."""
    async with emulators("elevate") as targets:
        body = json.dumps({"mail": "eve@example.org", "course": "X"})
        async with running(tmp_path, targets, GENERIC.format(email="email")) as (_, ams):
            await ams.post("/in/shop", data=body, headers={"X-Token": "shop-secret-for-tests"})
        path = configuration(tmp_path, targets, extra=GENERIC.format(email="email"))
        still = await asked("replay", 1, "--dry-run", "--config", path)
        assert still.code == 1
        assert "event 1 can't be replayed" in still.err
        path = configuration(tmp_path, targets, extra=GENERIC.format(email="mail"))
        done = await asked("replay", "--source", "shop", "--state", "unreadable", "--yes", "--json", "--config", path)
        assert (done.code, done.json[0]["became"]) == (0, "replayed")
        assert rows(tmp_path, "SELECT state FROM event") == [("accepted",)]
        async with running(tmp_path, targets, GENERIC.format(email="mail")):
            await until(lambda: live(targets["elevate"]) == [("eve@example.org", "INTRO")])


def test_what_is_not_there_is_named(tmp_path) -> None:
    """Exit code 1, and the id."""
    path = configuration(tmp_path, {})
    said = ask("replay", 77, "--dry-run", "--config", path)
    assert said.code == 1
    assert "there is no event 77" in said.err


@pytest.mark.parametrize("words", [(), ("--source", "ams"), ("--state", "unreadable")])
def test_which_events_has_to_be_said(tmp_path, words) -> None:
    """All of them by accident would be much."""
    assert ask("replay", *words, "--config", configuration(tmp_path, {})).code == 2
