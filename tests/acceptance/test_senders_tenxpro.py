"""A payment system that calls 10XPRO's custom API: bought, given back, bought again."""

from __future__ import annotations

from tests.acceptance.rig import CHECKOUT_SECRET, emulators, live, running, until

WHO = {"secret": CHECKOUT_SECRET, "email": "ada@example.org", "course_id": "3"}


async def test_what_is_credited_is_taken_away_and_can_be_bought_again(tmp_path) -> None:
    """The call names the person and the course, and nothing else; of another course nothing is taken."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, client):
        school = targets["elevate"]
        await client.post("/customapi.php", data={**WHO, "type": "purchase"})
        await client.post("/customapi.php", data={**WHO, "type": "purchase", "course_id": "", "forum_category_id": "5"})
        await until(lambda: len(live(school)) == 2)
        status, said = await client.post("/customapi.php", data={**WHO, "type": "credit"})
        assert (status, said["success"]) == (200, True)
        await until(lambda: live(school) == [("ada@example.org", "ETHICS")])
        status, said = await client.post("/customapi.php", data={**WHO, "type": "purchase"})
        assert (status, said["success"]) == (200, True)
        await until(lambda: len(live(school)) == 2)
