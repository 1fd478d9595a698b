"""Targets that quote learners and credentials back: neither the log nor the ledger repeats them."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.kit.sandbox import Emulator
from bridge.ledger.store import Ledger
from tests.acceptance.rig import running
from tests.dispatch.rig import until

KEY = "our+own/key=for-elevate"
LEARNER = {
    "firstname": "Zaphodium",
    "lastname": 'O\'Beeble "Brox"',
    "email": "zaphod.b@bee.example",
}
HIDDEN = ("zaphodium", "beeble", "zaphod.b", "our+own", "our%2bown", "for-elevate")


class Echo(Emulator):
    """Says what it was told to, with the request in place of ``{}``."""

    credentials: ClassVar = {"api_key": KEY}

    def __init__(self) -> None:
        super().__init__()
        self.status = 422
        self.says: Any = "{}"

    def routes(self):
        return [web.route("*", "/{path:.*}", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.Response(status=self.status, text=self.says(body), content_type="application/json")


def whole(body: Any) -> str:
    return json.dumps({"message": "invalid", "input": body})


def text(body: Any) -> str:
    return f"Cannot create {json.dumps(body)} for {LEARNER['firstname'].upper()}"


def fields(body: Any) -> str:
    return json.dumps({"error_messages": {"x": f"{LEARNER['lastname']} and {body['api_key']} are not allowed"}})


def trace(body: Any) -> str:
    return "Traceback: " + ", ".join(f"{name}={value}" for name, value in {**LEARNER, **body}.items())


def quoted(body: Any) -> str:
    return "at /create?" + "&".join(f"{name}={quote(str(value), safe='')}" for name, value in body.items())


def keys(_: Any) -> str:
    return json.dumps({"who": [LEARNER["firstname"]], LEARNER["firstname"]: True})


def far(body: Any) -> str:
    return "x " * 140 + f"{LEARNER['firstname']} {body['api_key']} " * 200


@pytest.fixture
async def echo():
    async with Echo() as emulator:
        yield emulator


@pytest.mark.parametrize("status", [200, 401, 422, 503])
@pytest.mark.parametrize("says", [whole, text, fields, trace, quoted, keys, far])
async def test_what_a_target_quotes_back_is_neither_logged_nor_kept(
    tmp_path, echo: Echo, says: Any, status: int
) -> None:
    """Whatever the form; the id by which operators find the person stays, and so does the sense."""
    echo.says, echo.status = says, status
    with capture_logs() as lines:
        async with running(tmp_path, {"elevate": echo}) as (bridge, client):
            assert (await client.register("user-77", **LEARNER))[0] == 200
            kept = await _kept(bridge.ledger)
    log = str(lines).lower()
    assert "dispatch.attempted" in log
    for hidden in HIDDEN:
        assert hidden not in log
        assert hidden not in kept.lower()
    assert "user-77" in kept


async def _kept(ledger: Ledger) -> str:
    """Return what the ledger holds of the attempts, once there is one."""
    question = (
        "SELECT d.why, d.remedy, a.exchanges FROM attempt a JOIN delivery d ON d.id = a.delivery_id"
        " UNION ALL SELECT why, remedy, '' FROM lane"
    )
    rows: list[Any] = []

    async def look() -> bool:
        rows[:] = await ledger.read(lambda connection: connection.exec_driver_sql(question).all())
        return any(row.exchanges for row in rows)

    await until(look)
    return str([tuple(row) for row in rows])
