"""Killed at each await of the mailer in turn, the bridge sends no mail twice and forgets none."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

import aiohttp

from tests.acceptance.cli_rig import look
from tests.acceptance.rig import Client, configuration, emulators, until
from tests.acceptance.test_every_await import Dying
from tests.notices.server import MailServer, mail_server
from tests.notices.test_notices import LMS, mailer

STATES = """
SELECT d.state, d.unknown FROM delivery d JOIN registration g ON g.id = d.registration_id JOIN learner l ON l.id = g.learner_id
WHERE d.target = 'mailer' AND l.email_key = '{user}@example.org'
"""


async def test_no_await_of_the_mailer_is_a_bad_moment_to_die(tmp_path: Path) -> None:
    """A mail that is told to have gone out went out once; one of which nobody knows is a dead letter, and none is repeated."""
    async with mail_server() as server, emulators(LMS) as targets, aiohttp.ClientSession() as session:
        config = configuration(tmp_path, targets, extra=mailer(server))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.acceptance.dying", str(config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        dying, ledger = Dying(process, session), tmp_path / "bridge.db"
        try:
            await asks(await dying.born(), "first")
            await until(lambda: settled(ledger, "first"))
            points = [point for point in await dying.ended() if "notices/" in point]
            assert any("notices/smtp" in point for point in points), points
            plan = list(itertools.product(points, ("before", "after")))
            ends = [await died(dying, server, ledger, f"m{n}", *how) for n, how in enumerate(plan)]
        finally:
            process.kill()
            await process.wait()
    assert ends.count("dead") >= len(plan) // 2, "most of the points were met"


async def died(dying: Dying, server: MailServer, ledger: Path, user: str, point: str, when: str) -> str:
    """Die at a point while a mail to somebody goes out, live again, and return what became of that mail."""
    await asks(await dying.born(point, when, 1), user)
    killed = asyncio.create_task(dying.line())
    done = asyncio.create_task(until(lambda: settled(ledger, user)))
    await asyncio.wait({killed, done}, return_when=asyncio.FIRST_COMPLETED)
    if not killed.done():  # after the last step of a mail, or never
        await asyncio.wait({killed}, timeout=0.2)
    if not killed.done():
        dying.say("end")
        await killed
        assert await dying.line() == "ended"
    done.cancel()
    await asyncio.gather(done, return_exceptions=True)
    await asks(await dying.born(), user)
    await until(lambda: settled(ledger, user))
    await dying.ended()
    ((state, unknown),) = look(ledger, STATES.format(user=user))
    arrived = [envelope.rcpt_tos for envelope, _ in server.taken].count([f"{user}@example.org"])
    assert (arrived == 1) if state == "done" else (arrived <= 1 and unknown == 1), (point, when, arrived, state)
    return str(state)


async def asks(client: Client, user: str) -> None:
    """Register somebody who is to be told; what was killed meanwhile gives no answer."""
    try:
        await client.register(user, send_email=True)
    except (aiohttp.ClientError, OSError):
        return


def settled(ledger: Path, user: str) -> bool:
    found = look(ledger, STATES.format(user=user))
    return bool(found) and all(state in ("done", "dead") for state, _ in found)
