"""Notices of a whole bridge: who is told what, once, whatever is repeated, replayed, lost or killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bridge.actions import Actions
from bridge.actions.asked import LaneSwitch, ReplayEvents, Requeue
from bridge.app import Bridge
from bridge.ledger import reports
from bridge.ledger.reports import Filter
from bridge.ledger.story import story
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, Daemon, configuration, emulators, free_port, running, until
from tests.notices.server import MailServer, mail_server

LMS = "academy_of_mine"


def mailer(server: MailServer, *lines: str) -> str:
    return "\n".join(
        ["", "[mailer]", f'url = "{server.url}"', 'sender = "courses@example.org"', 'timeout = "1s"', *lines, ""]
    )


@asynccontextmanager
async def sold(
    folder: Path, *lines: str, lms: str = LMS, mails: bool = True
) -> AsyncIterator[tuple[Bridge, Client, MailServer, Any]]:
    async with mail_server() as server, emulators(lms) as targets:
        extra = mailer(server, *lines) if mails else ""
        async with running(folder, targets, extra) as (bridge, client):
            yield bridge, client, server, targets[lms]


async def rows(bridge: Bridge, question: str) -> list[Any]:
    return list(await bridge.ledger.read(lambda connection: connection.exec_driver_sql(question).all()))


async def states(bridge: Bridge) -> list[str]:
    found = await rows(bridge, "SELECT state FROM delivery WHERE target = 'mailer' ORDER BY id")
    return [row.state for row in found]


async def quiet(bridge: Bridge) -> None:
    async def is_quiet() -> bool:
        return not await rows(bridge, "SELECT 1 FROM delivery WHERE state IN ('open', 'blocked', 'leased', 'waiting')")

    await until_async(is_quiet)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - a commit wakes no test
            await asyncio.sleep(0.02)


class TestAccess:
    async def test_who_asked_for_a_mail_is_told_once_the_learner_is_in(self, tmp_path: Path) -> None:
        """The confirmation waits for the LMS, names the course, and goes out once."""
        async with sold(tmp_path) as (bridge, client, server, lms):
            lms.now_fails("status", times=1)
            status, answer = await client.register("ada", send_email=True)
            assert status == 200
            await until(lambda: server.taken)
            envelope, mail = server.taken[0]
            assert envelope.rcpt_tos == ["ada@example.org"]
            assert mail["Subject"] == "You have access to Introduction to Continuing Education"
            assert str(answer["registration_id"]) in mail.get_content()
            assert "https://school.example.org/courses/intro-ce?force_login=1" in mail.get_content()
            assert live_at(lms)
            await quiet(bridge)
            assert await states(bridge) == ["done"]

    async def test_nobody_is_told_who_did_not_ask(self, tmp_path: Path) -> None:
        """Without send_email nothing is planned."""
        async with sold(tmp_path) as (bridge, client, server, _):
            await client.register("ada")
            await quiet(bridge)
            assert (await rows(bridge, "SELECT * FROM notice"), server.taken) == ([], [])

    async def test_without_a_mailer_nothing_is_planned(self, tmp_path: Path) -> None:
        """A bridge without [mailer] keeps no notice."""
        async with sold(tmp_path, mails=False) as (bridge, client, _, _):
            await client.register("ada", send_email=True)
            await quiet(bridge)
            assert await rows(bridge, "SELECT * FROM notice") == []

    async def test_a_target_that_writes_itself_is_left_to_it(self, tmp_path: Path) -> None:
        """Elevate is told of send_email and of a cancellation's texts; nobody is written to twice."""
        async with sold(tmp_path, lms="elevate") as (bridge, client, server, _):
            _, answer = await client.register("ada", send_email=True)
            await quiet(bridge)
            await client.cancel(answer["registration_id"], notify_cancelled_user=True, cancellation_explanation="why")
            await quiet(bridge)
            assert (await rows(bridge, "SELECT * FROM notice"), server.taken) == ([], [])

    async def test_repeats_and_replays_confirm_nothing_again(self, tmp_path: Path) -> None:
        """The same purchase told again, or understood anew, sends no second mail."""
        async with sold(tmp_path) as (bridge, client, server, _):
            await client.register("ada", send_email=True)
            await until(lambda: server.taken)
            await client.register("ada", send_email=True)
            events = [row.id for row in await rows(bridge, "SELECT id FROM event")]
            await acts(bridge).do("replay", ReplayEvents(ids=tuple(events)), "ops")
            await quiet(bridge)
            assert len(server.taken) == 1

    async def test_what_is_cancelled_before_the_learner_is_in_is_not_confirmed(self, tmp_path: Path) -> None:
        """A confirmation that waited ends unsent when there is no access to confirm."""
        async with sold(tmp_path) as (bridge, client, server, lms):
            lms.now_fails("status")
            _, answer = await client.register("ada", send_email=True)
            await client.cancel(answer["registration_id"])
            lms.recovers()
            await quiet(bridge)
            assert server.taken == []
            assert await states(bridge) == ["done"]

    async def test_a_changed_address_is_the_one_that_is_written_to(self, tmp_path: Path) -> None:
        """The mail goes to the address that the learner has when it is sent."""
        async with sold(tmp_path) as (bridge, client, server, _):
            await acts(bridge).do("pause", LaneSwitch(target="mailer"), "ops")
            await client.register("ada", send_email=True)
            await client.register("ada", product="BUNDLE", email="new@example.org")
            await acts(bridge).do("resume", LaneSwitch(target="mailer"), "ops")
            await until(lambda: server.taken)
            assert server.taken[0][0].rcpt_tos == ["new@example.org"]


class TestCancelled:
    async def test_admin_and_user_are_told_in_the_senders_words(self, tmp_path: Path) -> None:
        """Each gets the text that the sender has for them; the operator's administrators get the admin's."""
        async with sold(tmp_path, 'admin = "office@example.org"') as (bridge, client, server, _):
            _, answer = await client.register("ada")
            told = {
                "cancellations_email": "boss@example.org",
                "cancellation_explanation": "Chargeback of invoice 9.",
                "notify_cancelled_user": True,
                "cancellation_explanation_for_user": "Your payment was returned.",
            }
            await client.cancel(answer["registration_id"], **told)
            await until(lambda: len(server.taken) == 3)
            await client.cancel(answer["registration_id"], **told)  # a repeat
            await quiet(bridge)
            texts = {envelope.rcpt_tos[0]: mail.get_content() for envelope, mail in server.taken}
            assert len(server.taken) == 3
        assert "Your payment was returned." in texts["ada@example.org"]
        assert "Chargeback" not in texts["ada@example.org"]
        for admin in ("boss@example.org", "office@example.org"):
            assert "Chargeback of invoice 9." in texts[admin]
            assert "Testfname Testlname <ada@example.org>" in texts[admin]

    async def test_a_user_who_is_not_to_be_told_is_not(self, tmp_path: Path) -> None:
        """notify_cancelled_user decides, whatever text there is."""
        async with sold(tmp_path) as (bridge, client, server, _):
            _, answer = await client.register("ada")
            told = {"notify_cancelled_user": False, "cancellation_explanation_for_user": "Bye."}
            await client.cancel(answer["registration_id"], **told)
            await quiet(bridge)
            assert server.taken == []

    async def test_an_admin_address_that_is_none_is_a_dead_letter(self, tmp_path: Path) -> None:
        """What can't be sent to is not lost: the operator sees it."""
        async with sold(tmp_path) as (bridge, client, _, _):
            _, answer = await client.register("ada")
            await client.cancel(answer["registration_id"], cancellations_email="the boss")
            await until_async(lambda: all_dead(bridge))


class TestRepair:
    async def test_a_refused_recipient_is_a_dead_letter_that_can_be_requeued(self, tmp_path: Path) -> None:
        """A bounce at RCPT waits for the operator, with what the server said and nobody's address."""
        async with sold(tmp_path) as (bridge, client, server, _):
            server.says = {"RCPT": "550 <ADDRESS> is unknown"}
            await client.register("ada", send_email=True)
            await until_async(lambda: all_dead(bridge))
            ((why, exchanges),) = await rows(
                bridge,
                "SELECT d.why, a.exchanges FROM delivery d JOIN attempt a ON a.delivery_id = d.id WHERE d.target = 'mailer'",
            )
            assert "is unknown" in why
            assert "ada@example.org" not in why + exchanges
            server.says = {}
            await acts(bridge).do("requeue", Requeue(target="mailer"), "ops")
            await until(lambda: server.taken)

    async def test_an_unknown_outcome_waits_for_the_operator(self, tmp_path: Path) -> None:
        """A mail whose answer was lost is sent again only when the operator says so."""
        async with sold(tmp_path) as (bridge, client, server, _):
            server.says = {"DATA": "drop"}
            await client.register("ada", send_email=True)
            await until_async(lambda: all_dead(bridge))
            server.says = {}
            assert server.arrived == 1
            await acts(bridge).do("requeue", Requeue(target="mailer"), "ops")
            await until(lambda: server.taken)
            assert server.arrived == 2

    async def test_a_wrong_password_pauses_the_lane_and_loses_nothing(self, tmp_path: Path) -> None:
        """The lane stops with the reason, and what waits goes out when the login is taken."""
        async with sold(tmp_path) as (bridge, client, server, _):
            server.says = {"MAIL": "530 log in first"}
            await client.register("ada", send_email=True)
            await until(lambda: bridge.dispatcher.lanes["mailer"].status == "paused")
            server.says = {}
            await acts(bridge).do("resume", LaneSwitch(target="mailer"), "ops")
            await until(lambda: server.taken)

    async def test_a_mail_server_that_is_away_is_waited_for(self, tmp_path: Path) -> None:
        """Nothing is lost while the server is down, and each mail goes out once."""
        async with mail_server() as server:
            port = server.port
        async with emulators(LMS) as targets:
            server = MailServer(port=port)
            async with running(tmp_path, targets, mailer(server)) as (bridge, client):
                await client.register("ada", send_email=True)
                await until_async(lambda: tried(bridge))
                await server.start()
                await until(lambda: server.taken)
                await quiet(bridge)
                assert len(server.taken) == 1
                await server.stop()


class TestKilled:
    async def test_a_bridge_that_is_killed_while_it_sends_does_not_send_again(self, tmp_path: Path) -> None:
        """The mail server has the mail, nobody settled it: after the start it is the operator's, and requeue repeats it."""
        async with mail_server() as server, emulators(LMS) as targets:
            port = free_port()
            config = configuration(tmp_path, targets, port=port, extra=mailer(server).replace('"1s"', '"20s"'))
            daemon = Daemon(config, port)
            await daemon.start()
            server.waits = asyncio.Event()
            async with aiohttp.ClientSession() as session:
                await Client(daemon.base_url, session).register("ada", send_email=True)
            await until(lambda: server.arrived == 1)
            await daemon.kill()
            server.waits.set()
            server.waits = None
            async with running_again(config) as bridge:
                await until_async(lambda: all_dead(bridge))
                assert server.arrived == 1
                ((unknown, why),) = await rows(bridge, "SELECT unknown, why FROM delivery WHERE target = 'mailer'")
                assert unknown == 1
                assert "may have had its effect" in why
                await acts(bridge).do("requeue", Requeue(target="mailer"), "ops")
                await until(lambda: server.arrived == 2)
                await quiet(bridge)


class TestShown:
    async def test_lists_and_stories_tell_of_notices(self, tmp_path: Path) -> None:
        """What became of a notice stands in the deliveries and in the story of its purchase."""
        async with sold(tmp_path, 'admin = "office@example.org"') as (bridge, client, server, _):
            _, answer = await client.register("ada")
            await client.cancel(answer["registration_id"], cancellation_explanation="Chargeback.")
            await until(lambda: server.taken)
            await quiet(bridge)
            listed = await bridge.ledger.read(lambda c: reports.deliveries(c, Filter(target="mailer")))
            assert [(row["kind"], row["notice"], row["recipient"]) for row in listed] == [
                ("notice", "cancelled_admin", "office@example.org")
            ]
            told = await bridge.ledger.read(lambda c: story(c, str(answer["registration_id"])))
            assert told is not None
            purchase = told["purchases"][0]
            assert "notice" in [entry["operation"] for entry in purchase["story"] if entry["what"] == "attempt"]
            assert "mailer" in [row["target"] for row in purchase["deliveries"]]


def acts(bridge: Bridge) -> Actions:
    assert bridge.dispatcher is not None
    return Actions(
        bridge.ledger, lambda: bridge.catalogue, bridge.clock, bridge.dispatcher.lanes, None, bridge._senders.adapter
    )


async def all_dead(bridge: Bridge) -> bool:
    found = await states(bridge)
    return bool(found) and set(found) == {"dead"}


async def tried(bridge: Bridge) -> bool:
    return bool(await rows(bridge, "SELECT 1 FROM attempt WHERE operation = 'notice'"))


def live_at(lms: Any) -> list[Any]:
    return [held for held in lms.holdings() if held.live]


@asynccontextmanager
async def running_again(config: Path) -> AsyncIterator[Bridge]:
    bridge = Bridge(load(config, Registry(), env={}).settings)
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop()
