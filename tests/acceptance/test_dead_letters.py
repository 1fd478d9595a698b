"""What becomes of a dead letter whose cause was mended elsewhere: planned anew, or dismissed for good."""

from __future__ import annotations

import getpass

from tests.acceptance.cli_rig import asked, look
from tests.acceptance.rig import configuration, emulators, live, running, until

UNKNOWN = {"status": 422, "body": {"error_messages": {"product": "The requested product could not be found."}}}


def rows(folder, statement: str) -> list[tuple]:
    return look(folder / "bridge.db", statement)


def is_dead(folder) -> bool:
    return rows(folder, "SELECT state FROM registration WHERE state = 'failed'") != []


async def test_requeueing_delivers_the_course_of_todays_mapping(tmp_path) -> None:
    """The course's id was wrong. The dry run says that the purchase is planned anew, and the verb does it."""
    async with emulators("elevate", "mailchimp") as targets:
        school = targets["elevate"]
        school.now_fails("status", **UNKNOWN)
        async with running(tmp_path, targets) as (_, ams):
            await ams.register(user="1")
            await until(lambda: is_dead(tmp_path))
        school.recovers()
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text().replace('"INTRO"', '"INTRO-2"'))
        dry = await asked("requeue", "--target", "elevate", "--dry-run", "--json", "--config", path)
        assert [row["became"] for row in dry.json] == ["planned anew from event 1"]
        assert is_dead(tmp_path)
        done = await asked("requeue", "--target", "elevate", "--config", path)
        assert "planned anew from event 1" in " ".join(done.out.split())
        right = '{"remote_product_id":"INTRO-2"}'
        assert rows(tmp_path, 'SELECT course_key FROM "right" WHERE wanted = 1') == [(right,)]
        async with running(tmp_path, targets):  # with the file of before: the right stays what requeueing made of it
            await until(lambda: live(school) == [("1@example.org", "INTRO-2")])
            await until(lambda: "intro" in dict(live(targets["mailchimp"])).get("1@example.org", ""))
            assert not is_dead(tmp_path)


async def test_requeueing_through_the_daemon_plans_anew_after_a_reload(tmp_path) -> None:
    """Where the mapping is as it was, the same course is asked for again."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, ams):
        targets["elevate"].now_fails("status", **UNKNOWN)
        await ams.register(user="1")
        await until(lambda: is_dead(tmp_path))
        targets["elevate"].recovers()
        done = await asked("requeue", "--all", "--json", "--config", tmp_path / "bridge.toml")
        assert [row["became"] for row in done.json] == ["requeued"]
        await until(lambda: live(targets["elevate"]) == [("1@example.org", "INTRO")])


async def test_a_purchase_whose_event_is_gone_is_requeued_as_it_was(tmp_path) -> None:
    """Nothing tells any more what it was; the verb says so."""
    async with emulators("elevate") as targets:
        targets["elevate"].now_fails("status", **UNKNOWN)
        async with running(tmp_path, targets) as (bridge, ams):
            await ams.register(user="1")
            await until(lambda: is_dead(tmp_path))
            await bridge.ledger.write(lambda unit: unit.run("UPDATE event SET body = '', encoding = 'emptied'"))
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text().replace('"INTRO"', '"INTRO-2"'))
        done = await asked("requeue", "--all", "--json", "--config", path)
        assert done.json[0]["became"].startswith("requeued for the former course: event 1 its bytes are older")
        assert rows(tmp_path, "SELECT state FROM delivery WHERE kind = 'right'") == [("open",)]


async def test_a_dead_letter_that_was_settled_by_hand_is_dismissed(tmp_path) -> None:
    """The learner counts as in, the mailing list hears of it, and who said so stands in the trace."""
    async with emulators("elevate", "mailchimp") as targets, running(tmp_path, targets) as (_, ams):
        targets["elevate"].now_fails("status", **UNKNOWN)
        await ams.register(user="1")
        await until(lambda: is_dead(tmp_path))
        ((letter,),) = rows(tmp_path, "SELECT id FROM delivery WHERE state = 'dead'")
        path = tmp_path / "bridge.toml"
        words = ("dismiss", letter, "--why", "enrolled by hand", "--config", path)
        dry = await asked(*words, "--dry-run", "--json")
        assert [row["delivery_id"] for row in dry.json] == [letter]
        assert is_dead(tmp_path)
        done = await asked(*words)
        assert (done.code, done.out.splitlines()[-1]) == (0, "1 dead letter dismissed")
        await until(lambda: "intro" in dict(live(targets["mailchimp"])).get("1@example.org", ""))
        assert rows(tmp_path, "SELECT state FROM registration") == [("active",)]
        assert rows(tmp_path, "SELECT state, outcome, why FROM delivery WHERE kind = 'right'") == [
            ("done", "dismissed", "enrolled by hand")
        ]
        acts = rows(tmp_path, "SELECT operator, action, subject, note FROM operator_action")
        assert acts == [(getpass.getuser(), "dismiss", str(letter), "enrolled by hand")]
        told = (await asked("trace", "1@example.org", "--json", "--config", path)).json["purchases"][0]
        assert [entry["note"] for entry in told["story"] if entry.get("action") == "dismiss"] == ["enrolled by hand"]
        assert told["next"] == []


async def test_access_that_was_taken_away_by_hand_is_dismissed_too(tmp_path) -> None:
    """The registration is cancelled then; bought again, the learner is let in again."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, ams):
        school = targets["elevate"]
        _, answer = await ams.register(user="1")
        await until(lambda: live(school) == [("1@example.org", "INTRO")])
        school.now_fails("status", **UNKNOWN)
        await ams.cancel(answer["registration_id"])
        await until(lambda: is_dead(tmp_path))
        ((letter,),) = rows(tmp_path, "SELECT id FROM delivery WHERE state = 'dead'")
        await asked("dismiss", letter, "--why", "taken out by hand", "--config", tmp_path / "bridge.toml")
        assert rows(tmp_path, "SELECT state FROM registration") == [("cancelled",)]
        school.recovers()
        heard = len(school.journal)
        await ams.register(user="1")
        await until(lambda: len(school.journal) > heard)


async def test_only_a_dead_letter_is_dismissed_and_never_without_a_reason(tmp_path) -> None:
    """What is done or under way is named, and changes nothing."""
    async with emulators("elevate") as targets:
        async with running(tmp_path, targets) as (_, ams):
            await ams.register(user="1")
            await until(lambda: rows(tmp_path, "SELECT 1 FROM delivery WHERE state = 'done'") != [])
        path = configuration(tmp_path, targets)
        said = await asked("dismiss", 1, "--why", "x", "--config", path)
        assert (said.code, said.out.strip()) == (1, "nothing to dismiss")
        assert "delivery 1 is not a dead letter" in said.err
        assert (await asked("dismiss", 1, "--why", " ", "--config", path)).code == 2
        assert (await asked("dismiss", 1, "--config", path)).code == 2
