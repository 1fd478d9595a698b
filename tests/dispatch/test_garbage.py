"""Targets that answer garbage, and connectors that make garbage of answers: every delivery is settled, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bridge.contract.outbound import NeedsOperator, Outcome, Pending, Receipt, Refs, Refused, TryLater, Work
from bridge.dispatch.attempt import PatientLimiter
from bridge.kit.http import Http, Windows
from connectors.outbound.mailchimp import Mailchimp
from tests.dispatch.rig import Rig, until
from tests.dispatch.test_defects import Broken


class Panic(BaseException):
    """What a library that is not written in Python ends with, where it is at its wits' end."""


def gives(outcome: Any) -> Callable[[list[Work]], Any]:
    """Return what answers every piece of work with this."""

    async def deliver(batch: list[Work]) -> list[Any]:
        return [outcome for _ in batch]

    return deliver


def raises(fault: BaseException) -> Callable[[list[Work]], Any]:
    async def deliver(_: list[Work]) -> list[Outcome]:
        raise fault

    return deliver


ODD: dict[str, Any] = {
    "seconds as text": TryLater("busy", after="60", cause="throttled"),  # type: ignore[arg-type]
    "seconds as text, for the lane": TryLater("busy", after="60", scope="lane"),  # type: ignore[arg-type]
    "a scope of another kind": NeedsOperator("no", "mend", scope=["lane"]),  # type: ignore[arg-type]
    "no remote id": Receipt(Refs({"user": None})),  # type: ignore[dict-item]
    "several remote ids": Receipt(Refs({"user": ["81"]})),  # type: ignore[dict-item]
    "an id without end": Receipt(Refs({"user": 2**70})),  # type: ignore[dict-item]
    "a reason in bytes": Refused(b"no", "mend"),  # type: ignore[arg-type]
    "half a sign in a remedy": Refused("no", "mend \ud800"),
}


@pytest.mark.parametrize("what", ODD)
async def test_an_outcome_of_the_wrong_kind_is_a_dead_letter_and_keeps_nobody_out(rig: Rig, what: str) -> None:
    """It is asked for once, says what to do, and its learner's other courses are delivered."""
    calls: list[int] = []

    async def odd(batch: list[Work]) -> list[Any]:
        calls.append(len(batch))
        return [ODD[what] for _ in batch] if len(calls) == 1 else [Receipt() for _ in batch]

    rig.instead("lms", lambda real: Broken(real, odd))
    await rig.start()
    await rig.buy(1)
    await until(lambda: calls)
    await rig.settled("lms")
    await rig.buy(1, "course-2")
    await until(lambda: len(calls) == 2)
    await rig.settled("lms")
    letters = await rig.rows("SELECT state, remedy FROM delivery WHERE target = 'lms' ORDER BY id")
    assert [row.state for row in letters] == ["dead", "done"]
    assert letters[0].remedy
    assert rig.lane("lms").status == "running"


@pytest.mark.parametrize(
    "fault",
    [Panic("learner1@example.org"), BaseExceptionGroup("two", [Panic()]), SystemExit(3)],
    ids=lambda it: type(it).__name__,
)
async def test_a_panic_of_a_connector_is_a_dead_letter_and_not_tried_without_end(
    rig: Rig, fault: BaseException
) -> None:
    """Neither does it end the bridge, nor does the lane call the connector over and over."""
    rig.instead("lms", lambda real: Broken(real, raises(fault)))
    await rig.start()
    broken = await rig.buy(1)
    await rig.buy_all(range(2, 6))
    await until(lambda: len(rig.enrolled()) == 4)
    await rig.done()
    (letter,) = await rig.rows("SELECT why, registration_id FROM delivery WHERE state = 'dead'")
    assert (letter.registration_id, letter.why) == (broken, f"the connector failed: {type(fault).__name__}")


async def test_a_panic_while_the_target_is_asked_says_that_it_is_not_well(rig: Rig) -> None:
    """It is asked again in a while, and not all the time; once it answers, everything goes out."""
    asked: list[int] = []

    class Panicking(Broken):
        async def check(self) -> Outcome:
            asked.append(1)
            if len(asked) <= 2:
                raise Panic
            outcome: Outcome = await self._real.check()
            return outcome

    rig.instead("lms", lambda real: Panicking(real, real.deliver))
    rig.lms.now_fails("status", status=503, times=5)
    await rig.start()
    await rig.buy_all(range(5))
    await until(lambda: len(rig.enrolled()) == 5)
    assert len(asked) == 3


async def _latin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a proxy that writes its headers in another encoding than the rest of the world."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 400 Bad Request\r\nX-Request-Id: caf\xe9\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )
    writer.close()


async def test_a_header_that_is_no_text_does_not_keep_an_outcome_from_the_ledger(rig: Rig) -> None:
    """Mailchimp's support asks for the id of the request; it is shown as far as it goes."""
    server = await asyncio.start_server(_latin, "127.0.0.1", 0)
    settings = Mailchimp.Settings.model_validate(
        {
            "connector": "mailchimp",
            "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "api_key": "secret-us1",
            "list_id": "l1",
        }
    )
    session = aiohttp.ClientSession()
    http = Http(str(settings.base_url), PatientLimiter(Windows((), rig.clock)), 2.0, session)
    rig.instead("crm", lambda _real: Mailchimp(settings, http, rig.clock))
    await rig.start()
    await rig.buy(1)
    await until(lambda: rig.rows("SELECT 1 FROM attempt WHERE operation = 'contact'"))
    assert "caf?" in await rig.value("SELECT why FROM delivery WHERE target = 'crm'")
    await session.close()
    server.close()


async def test_what_the_ledger_refuses_of_a_receipt_does_not_undo_it(rig: Rig) -> None:
    """Access was given: that is kept, what came with it goes to the operator, and asked for again it is not given twice."""
    rig.instead("lms", lambda real: Broken(real, gives(Receipt(Refs(right={"enrollment": None})))))  # type: ignore[dict-item]
    await rig.start()
    with capture_logs() as logs:
        await rig.buy(1)
        await until(lambda: rig.rows("SELECT 1 FROM attempt"))
        await rig.settled("lms")
    assert await rig.value('SELECT held FROM "right"') == "yes"
    assert [line["target"] for line in logs if line["event"] == "dispatch.not_kept"] == ["lms"]


async def test_pending_work_without_a_name_of_text_is_kept(rig: Rig) -> None:
    """A number is as good a handle as any; what it comes to is asked for by it."""
    rig.instead("lms", lambda real: Broken(real, gives(Pending(123, 60.0))))  # type: ignore[arg-type]
    await rig.start()
    await rig.buy(1)
    await until(lambda: rig.rows("SELECT 1 FROM attempt"))
    await rig.settled("lms")
    assert await rig.states("lms") == ["open"]
    assert await rig.value("SELECT remote_id FROM remote_ref WHERE kind = 'pending'") == "123"
