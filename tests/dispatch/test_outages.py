"""Targets that are down, slow, throttling, or refuse the credential: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.contract.outbound import Receipt
from bridge.contract.settings import Rate
from tests.dispatch.rig import BREAKER, PATIENT, Rig, until


async def attempts_of(rig: Rig, target: str = "lms") -> list[int]:
    return [
        row.attempts for row in await rig.rows(f"SELECT attempts FROM delivery WHERE target = '{target}' ORDER BY id")
    ]


async def test_a_target_that_was_down_gets_everything_at_once_when_it_is_back(rig: Rig) -> None:
    """Without loss, and without waiting for the next try in an hour: the probe brings the work forward."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    await rig.lms.stop()
    await rig.buy_all(range(30))
    await until(lambda: rig.lane("lms").status == "open")
    await rig.settled("lms")
    tried = await rig.value("SELECT count(*) FROM delivery WHERE attempts > 0")
    assert 5 <= tried <= 20  # the breaker spares the rest
    await rig.lms.start()
    await until(lambda: len(rig.enrolled()) == 30)
    await rig.done()
    assert len(rig.contacts()) == 30
    assert rig.lane("lms").status == "running"
    assert not await rig.value("SELECT count(*) FROM delivery WHERE state = 'dead'")


async def test_a_probe_that_is_faster_than_the_ledger_leaves_nobody_behind(rig: Rig, monkeypatch) -> None:
    """The target is well again before the failed tries are on disk: they are brought forward like all others."""
    monkeypatch.setattr("bridge.dispatch.settler._LINGER", 0.5)
    rig.policy("lms", retry=PATIENT, breaker=replace(BREAKER, first=0.02, longest=0.02))
    rig.lms.now_fails("status", status=503)
    await rig.buy_all(range(40))
    await rig.start()
    await until(lambda: rig.lane("lms").status == "open")
    rig.lms.recovers()
    await until(lambda: len(rig.enrolled()) == 40)


async def test_an_open_breaker_sends_probes_only(rig: Rig) -> None:
    """One harmless request at a time, less and less often; time in an open breaker makes nobody older."""
    rig.policy("lms", retry=PATIENT, breaker=replace(BREAKER, first=0.05, longest=0.4))
    await rig.start()
    rig.lms.now_fails("status", status=503)
    await rig.buy_all(range(8))
    await until(lambda: rig.lane("lms").status == "open")
    await rig.settled("lms")
    before = len(rig.lms.journal)
    tries = await attempts_of(rig)
    await asyncio.sleep(0.8)
    seen = rig.lms.journal[before:]
    assert 1 <= len(seen) <= 5
    assert {request.path for request in seen} == {"/registrations/cancel"}  # the connector's harmless question
    assert await attempts_of(rig) == tries
    rig.lms.recovers()
    await until(lambda: len(rig.enrolled()) == 8)


async def test_a_target_whose_probe_is_good_and_whose_work_fails_buries_nobody(rig: Rig) -> None:
    """Its work is brought forward at each good probe; what was not waited is no age, so that three days stay three days."""
    rig.policy("lms", breaker=replace(BREAKER, first=0.02, longest=0.02))
    rig.policy("lms", retry=replace(PATIENT, max_age=timedelta(hours=1.5)))
    await rig.start()
    rig.lms.now_fails("status", status=503, path="/api/registrations")
    rig.lms.now_fails(
        "status", status=404, path="/registrations/cancel", body={"error_messages": {"registration": "?"}}
    )
    await rig.buy_all(range(8))
    await until(lambda: len(rig.attempts) >= 24)
    assert max(await attempts_of(rig)) >= 3
    assert not await rig.value("SELECT count(*) FROM delivery WHERE state = 'dead'")
    rig.lms.recovers()
    await until(lambda: len(rig.enrolled()) == 8)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_answer_lost_after_the_effect_leaves_one_effect(rig: Rig, times: int) -> None:
    """However often it is lost."""
    await rig.start()
    rig.lms.now_fails("lost", times=times)
    await rig.buy(1)
    await until(rig.contacts)
    assert rig.enrolled() == ["learner1@example.org remote-course-1"]
    assert len(rig.lms.registrations) == 1
    assert await attempts_of(rig) == [0]
    outcomes = [row.outcome for row in await rig.rows("SELECT outcome FROM attempt ORDER BY id LIMIT 9")]
    assert outcomes[: times + 1] == ["later"] * times + ["receipt"]


async def test_throttling_holds_the_whole_lane_and_costs_no_attempt(rig: Rig) -> None:
    """For as long as the target asks; the other lane goes on."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    await rig.buy(1)
    await rig.done()
    rig.lms.now_fails("status", status=429, headers={"Retry-After": "2"}, times=1)
    held = await rig.buy(2)
    await until(lambda: rig.lane("lms").condition.hold > 0)
    started, hold, before = time.monotonic(), rig.lane("lms").condition.hold, len(rig.lms.journal)
    assert hold > 1
    await rig.buy_all(range(3, 9))
    assert rig.lane("lms").condition.pace.slots == 4
    await asyncio.sleep(0.5)
    assert len(rig.lms.journal) == before
    await until(lambda: len(rig.enrolled()) == 8)
    assert time.monotonic() - started >= hold
    await rig.done()
    assert await attempts_of(rig) == [0] * 8
    assert await rig.registration(held) == "active"
    assert len(rig.contacts()) == 8


async def test_a_refused_credential_pauses_the_lane_and_buries_nothing(rig: Rig) -> None:
    """The operator reads why; when it is mended the lane goes on by itself."""
    rig.policy("lms", retry=PATIENT, reprobe=0.2)
    await rig.start()
    rig.lms.now_fails("status", status=401, body={"error_messages": {"api_key": "The API key is not valid."}})
    await rig.buy_all(range(20))
    await until(lambda: rig.lane("lms").status == "paused")
    await until(lambda: rig.rows("SELECT * FROM lane"))
    (pause,) = await rig.rows("SELECT * FROM lane")
    assert (pause.target, pause.paused_by) == ("lms", "bridge")
    assert "API key" in pause.why
    assert pause.remedy
    await asyncio.sleep(0.3)
    assert len(rig.lms.journal) <= 8 + 3
    assert set(await rig.states("lms")) == {"open"}
    assert await attempts_of(rig) == [0] * 20
    rig.lms.recovers()
    await until(lambda: len(rig.enrolled()) == 20)
    await rig.done()
    assert await rig.rows("SELECT * FROM lane") == []
    assert len(rig.contacts()) == 20


async def test_an_operators_pause_is_the_operators(rig: Rig) -> None:
    """No probe ends it; the resume brings everything forward."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    rig.lms.now_fails("status", times=1, status=503)
    await rig.buy(1)
    await until(lambda: rig.attempts)
    rig.lane("lms").pause("ada")
    await rig.buy(2)
    before = len(rig.lms.journal)
    await asyncio.sleep(0.4)
    assert len(rig.lms.journal) == before
    assert rig.lane("lms").status == "paused"
    rig.lane("lms").resume()
    await until(lambda: len(rig.enrolled()) == 2)


async def test_a_restart_remembers_an_operators_pause_and_forgets_its_own(rig: Rig) -> None:
    """The cause of its own may have been mended while the bridge was down."""
    for name, by in (("lms", "ada"), ("crm", "bridge")):
        await rig.ledger.write(
            lambda unit, name=name, by=by: unit.run(
                "INSERT INTO lane (target, paused_at, paused_by) VALUES (:t, 1, :b)", t=name, b=by
            )
        )
    await rig.start()
    assert rig.lane("lms").status == "paused"
    assert rig.lane("crm").status == "running"
    assert [row.paused_by for row in await rig.rows("SELECT paused_by FROM lane")] == ["ada"]


async def test_a_rate_limit_counts_requests_and_no_deadline(rig: Rig) -> None:
    """Waiting for a token is not the target's fault."""
    rig.rates["lms"] = [Rate(10, 1.0)]
    rig.policy("lms", deadline=0.9, concurrency=16)
    await rig.start()
    started = time.monotonic()
    await rig.buy_all(range(35))
    await until(lambda: len(rig.enrolled()) == 35)
    assert time.monotonic() - started > 2.9
    await rig.done()
    assert {outcome for name, _, outcome in rig.attempts if name == "lms"} == {"receipt"}


async def test_time_outs_slow_the_lane_and_receipts_bring_it_back(rig: Rig) -> None:
    """Halved for each, one more for each round."""
    rig.timeouts["lms"] = 0.5
    await rig.start()
    rig.lms.now_fails("delay", seconds=1.0, times=2)
    await rig.buy_all(range(2))
    await until(lambda: rig.lane("lms").condition.pace.slots <= 4)
    await rig.buy_all(range(2, 60))
    await until(lambda: len(rig.enrolled()) == 60)
    assert rig.lane("lms").condition.pace.slots > 4


async def test_a_deadline_that_strikes_is_an_outage(rig: Rig) -> None:
    """A connector that hangs somewhere else than in a request."""

    class Hanging:
        def __init__(self, real):
            self._real = real
            self.hangs = True

        def __getattr__(self, name):
            return getattr(self._real, name)

        async def deliver(self, batch):
            if self.hangs:
                self.hangs = False
                await asyncio.Event().wait()
            return await self._real.deliver(batch)

        async def check(self):
            return Receipt()

    rig.policy("lms", deadline=0.5)
    rig.instead("lms", Hanging)
    await rig.start()
    await rig.buy(1)
    await until(rig.enrolled)
    await rig.done()
    assert [(operation, outcome) for name, operation, outcome in rig.attempts if name == "lms"] == [
        ("grant", "later"),
        ("grant", "receipt"),
    ]
