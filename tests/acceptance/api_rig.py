"""The admin API for acceptance tests: a program with a token, whose every answer is held against the document."""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from openapi_schema_validator import OAS31Validator

from bridge.edge.api.document import PREFIX, document
from tests.acceptance.console_rig import console

OPERATOR = "operator-token-for-tests-0123456789abcdef"
OLDER = "older-operator-token-for-tests-0123456789"
VIEWER = "viewer-token-for-tests-0123456789abcdefgh"
TOKENS = f"""
[admin.tokens.ci]
token = ["{OPERATOR}", "{OLDER}"]
role = "operator"

[admin.tokens.board]
sha256 = "{hashlib.sha256(VIEWER.encode()).hexdigest().upper()}"
"""


@cache
def _checker(pointer: str) -> OAS31Validator:
    schema: dict[str, Any] = {"$ref": pointer, "components": document()["components"]}
    return OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    """Return what the document says of an address; a fixed one comes before one with a place."""
    for template in sorted(document()["paths"], key=lambda one: one.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return document()["paths"][template].get("get" if method == "HEAD" else method.lower())
    return None


class Program:
    """Something that calls the API."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession, token: str | None = OPERATOR) -> None:
        self.base_url, self.session, self.token = base_url, session, token
        self.seen: set[str] = set()

    def holding(self, token: str | None) -> Program:
        """Return the same with another token."""
        return Program(self.base_url, self.session, token)

    async def calls(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, Any, dict[str, str]]:
        """Call an address below ``/admin/api/v1``; return status, answer and headers."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        given = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        url = self.base_url + PREFIX + path
        async with self.session.request(method, url, headers=headers, **given, **how) as answer:
            text = await answer.read()
            told = orjson.loads(text) if text else None
            self._holds(method, PREFIX + path.partition("?")[0], answer, told)
            return answer.status, told, dict(answer.headers)

    def _holds(self, method: str, path: str, answer: aiohttp.ClientResponse, told: Any) -> None:
        assert answer.headers["Cache-Control"] == "no-store"
        operation = _operation(method, path)
        kind = "application/json" if answer.status == 200 else "application/problem+json"
        assert answer.content_type == kind
        if operation is None:
            assert answer.status in (401, 404, 405, 429)
            _checker("#/components/schemas/Problem").validate(told)
            return
        described = operation["responses"][str(answer.status)]["content"][kind]["schema"]["$ref"]
        if method != "HEAD":
            _checker(described).validate(told)
            self.seen.add(operation["operationId"])

    async def gets(self, path: str, **how: Any) -> Any:
        """Return what an address tells."""
        status, told, _ = await self.calls("GET", path, **how)
        assert status == 200, told
        return told

    async def does(self, path: str, body: Any = None, **how: Any) -> Any:
        """Return what an action answers."""
        status, told, _ = await self.calls("POST", path, body, **how)
        assert status == 200, told
        return told

    async def refused(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, list[str], str]:
        """Return why a call is not done: status, fields, detail."""
        status, told, _ = await self.calls(method, path, body, **how)
        assert status != 200, told
        assert (told["status"], told["type"]) == (status, "about:blank")
        return status, [one["field"] for one in told["errors"]], told["detail"]


@asynccontextmanager
async def api(folder: Path, targets, extra: str = "", **how):
    """Run a bridge in this process; yields (bridge, sender, program)."""
    async with (
        console(folder, targets, extra=TOKENS + extra, **how) as (bridge, client, _),
        aiohttp.ClientSession() as session,
    ):
        yield bridge, client, Program(f"http://127.0.0.1:{bridge.admin_port or bridge.port}", session)
