"""Addresses that change hands: an LMS that knows people by e-mail must not give one person's course to another."""

from __future__ import annotations

from tests.acceptance.cli_rig import look
from tests.acceptance.rig import emulators, live, running, until

HELD = "SELECT person, held FROM \"right\" WHERE target = 'openedx' ORDER BY person"


async def test_an_address_passes_to_another_person(tmp_path) -> None:
    """The newcomer waits until the former owner's account carries its new address; then both are in, and apart."""
    async with emulators("academy_of_mine") as targets, running(tmp_path, targets) as (_, client):
        lms = targets["academy_of_mine"]
        await client.register("a", email="one@example.org")
        await until(lambda: live(lms) == [("one@example.org", "course:42")])
        lms.now_fails("status", method="PUT", status=503, times=2, body="<html>busy</html>")
        await client.register("a", email="two@example.org")
        _, newcomer = await client.register("b", email="one@example.org")
        await until(lambda: live(lms) == [("one@example.org", "course:42"), ("two@example.org", "course:42")])
        await client.cancel(newcomer["registration_id"])
        await until(lambda: live(lms) == [("two@example.org", "course:42")])


async def test_two_people_swap_addresses(tmp_path) -> None:
    """Neither waits for the other for ever, and nobody loses access."""
    async with emulators("elevate", "mailchimp") as targets, running(tmp_path, targets) as (_, client):
        await client.register("a", email="one@example.org")
        await client.register("b", email="two@example.org")
        await until(lambda: len(live(targets["elevate"])) == 2 and len(live(targets["mailchimp"])) == 2)
        await client.register("a", email="two@example.org")
        await client.register("b", email="one@example.org")
        await until(
            lambda: (
                {user: row["email"] for user, row in targets["elevate"].users.items()}
                == {"a": "two@example.org", "b": "one@example.org"}
            )
        )
        assert len(live(targets["elevate"])) == 2


def bodies(lms):
    """Return what Open edX was asked, in short."""
    asked = [seen.json for seen in lms.journal if "bulk_enroll" in seen.path and seen.method == "POST"]
    return [{name: body[name] for name in ("action", "identifiers")} for body in asked]


async def test_an_earlier_address_that_is_somebody_elses_by_now_is_left_to_them(tmp_path) -> None:
    """Open edX has a learner enrolled under each address that they had; the end of access takes none from its new owner."""
    async with emulators("openedx") as targets, running(tmp_path, targets) as (_, client):
        lms = targets["openedx"]
        _, mover = await client.register("a", email="one@example.org")
        await until(lambda: [row[0] for row in live(lms)] == ["one@example.org"])
        await client.register("a", email="two@example.org")
        await until(lambda: [row[0] for row in live(lms)] == ["one@example.org", "two@example.org"])
        _, newcomer = await client.register("b", email="one@example.org")
        asked = [{"action": "enroll", "identifiers": "one@example.org"}] * 2
        await until(lambda: [body for body in bodies(lms) if "two" not in body["identifiers"]] == asked)
        await client.cancel(mover["registration_id"])
        await until(lambda: [row[0] for row in live(lms)] == ["one@example.org"])
        await client.cancel(newcomer["registration_id"])
        await until(lambda: live(lms) == [])


async def test_an_address_that_its_new_owner_leaves_first_stays_with_the_earlier_one(tmp_path) -> None:
    """The account that holds the course may have that address; access there ends with the last of the two."""
    async with emulators("openedx") as targets, running(tmp_path, targets) as (_, client):
        lms = targets["openedx"]
        _, mover = await client.register("a", email="One@example.org")
        await until(lambda: len(live(lms)) == 1)
        await client.register("a", email="two@example.org")
        await until(lambda: len(live(lms)) == 2)
        _, newcomer = await client.register("b", email="one@example.org")
        await until(lambda: len(bodies(lms)) == 3)
        await client.cancel(newcomer["registration_id"])
        await until(
            lambda: (
                look(tmp_path / "bridge.db", HELD)
                == [("email:one@example.org", "no"), ("email:two@example.org", "yes")]
            )
        )
        assert len(live(lms)) == 2
        _, again = await client.register("b", email="one@example.org")
        await until(lambda: len(bodies(lms)) == 4)
        await client.cancel(again["registration_id"])
        await client.cancel(mover["registration_id"])
        await until(lambda: live(lms) == [])
