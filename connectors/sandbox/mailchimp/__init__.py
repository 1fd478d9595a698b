"""A Mailchimp Marketing API 3.0 that runs here: members by hash, tags, events, merge fields, batches, problem bodies.

Source: facts/outbound/mailchimp.md. Ours, because the vendor publishes nothing: that an archived member stays archived on
a PUT without ``status``, the words for a hash that is not the address's, the 400 when a PATCH wants an address that is a
member already, and the words for a batch that is too large or unknown.
"""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from urllib.parse import unquote

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Recorded
from connectors.sandbox.mailchimp.account import LIST, OTHER_LIST, Account, Ask, Member, Reply, absent, problem, read

__all__ = ["EMULATOR", "KEY", "LIST", "OTHER_LIST", "RESULTS", "Batch", "Mailchimp", "Member"]

KEY = "sandbox-mailchimp-key-us1"
RESULTS = "/batch-results/"
"""Where the results of batches lie: at the vendor another host, which asks for no credential."""

_VERSION = "/3.0"
_CONNECTIONS = 10
_MOST_OPERATIONS = 1_000


@dataclass(slots=True)
class Batch:
    """One batch operation. ``results`` are None until it is worked off; ``due`` is when that is."""

    id: str
    operations: Sequence[Mapping[str, Any]]
    due: float
    results: list[dict[str, Any]] | None = None
    looks: int = 0
    submitted: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def errors(self) -> int:
        """How many of its operations failed."""
        return sum(row["status_code"] >= 400 for row in self.results or ())


class Mailchimp(Account):
    """Speaks for the account.

    ``latency`` is how many seconds each answer takes; an 11th request meanwhile is told 429;
    ``most_open`` is how many there ever were at a time. A batch is worked off
    ``batch_seconds`` after it was handed over, at the earliest when it is asked for the ``batch_looks``-th time, in
    ``batch_order``; ``batch_params`` says whether it honours the parameters of its operations. ``batches`` may be cleared:
    results are kept for some days only. ``results_url`` replaces where results are said to lie.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY, "list_id": LIST}
    featured: ClassVar[Mapping[str, Any]] = {
        "actions": [
            {"on": "completed", "object": "tags", "add": ["completed:{course.key}"]},
            {
                "on": "completed",
                "object": "event",
                "name": "course_completed",
                "properties": {"course": "{course.title}"},
            },
        ]
    }

    def __init__(self) -> None:
        """Start without batches."""
        super().__init__()
        self.latency = 0.0
        self.batch_seconds = 0.0
        self.batch_looks = 1
        self.batch_order: Literal["given", "reversed"] = "given"
        self.batch_params = True
        self.batches: dict[str, Batch] = {}
        self.results_url = ""
        self.most_open = 0
        self._open = 0

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the API, and where results lie."""
        return [
            web.get(RESULTS + "{batch}.tar.gz", self._results),
            web.route("*", _VERSION + "{rest:/.*}", self._api),
        ]

    async def _api(self, request: web.Request) -> web.Response:
        if self._open >= _CONNECTIONS:
            detail = f"You have exceeded the limit of {_CONNECTIONS} simultaneous connections."
            return _sent(problem(429, "Too Many Requests", detail))
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            await asyncio.sleep(self.latency)
            if not _authorised(request.headers.get("Authorization", "")):
                detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
                return _sent(problem(401, "API Key Invalid", detail))
            path = request.path.removeprefix(_VERSION)
            body = read(await request.read())
            return _sent(self._answer(Ask(request.method, path, dict(request.query), body)))
        finally:
            self._open -= 1

    def _answer(self, ask: Ask) -> Reply:
        if ask.path == "/batches" and ask.method == "POST":
            return self._take(ask)
        if ask.path.startswith("/batches/") and ask.method == "GET":
            return self._look(ask.path.removeprefix("/batches/"))
        return self.act(ask)

    def _take(self, ask: Ask) -> Reply:
        operations = ask.body.get("operations")
        if not isinstance(operations, list) or not operations or len(operations) > _MOST_OPERATIONS:
            return problem(400, "Bad Request", f"A batch has 1 to {_MOST_OPERATIONS} operations.")
        batch = Batch(uuid.uuid4().hex[:10], operations, time.monotonic() + self.batch_seconds)
        self.batches[batch.id] = batch
        return self._told(batch)

    def _look(self, batch_id: str) -> Reply:
        batch = self.batches.get(batch_id)
        if batch is None:
            return absent()
        batch.looks += 1
        if batch.results is None and time.monotonic() >= batch.due and batch.looks >= self.batch_looks:
            self._work_off(batch)
        return self._told(batch)

    def _work_off(self, batch: Batch) -> None:
        batch.results = []
        for operation in batch.operations if self.batch_order == "given" else reversed(batch.operations):
            query = dict(operation.get("params", {})) if self.batch_params else {}
            text = operation.get("body", "")
            ask = Ask(operation["method"], unquote(operation["path"]), query, read(text))
            reply = self.act(ask)
            said = orjson.dumps(_identified(reply, str(uuid.uuid4()))) if reply.body is not None else b""
            if (witness := type(self).witness) is not None:
                asked = {str(name): str(value) for name, value in query.items()}
                witness(Recorded(ask.method, _VERSION + ask.path, asked, {}, text.encode()), reply.status, said)
            told = {"status_code": reply.status, "operation_id": operation["operation_id"], "response": said.decode()}
            batch.results.append(told)

    def _told(self, batch: Batch) -> Reply:
        done = batch.results is not None
        status = "finished" if done else "started" if batch.looks else "pending"
        url = self.results_url or f"{self.base_url}{RESULTS}{batch.id}.tar.gz?X-Amz-Signature={uuid.uuid4().hex}"
        at = batch.submitted.isoformat()
        finished = {"completed_at": at, "response_body_url": url} if done else {"response_body_url": ""}
        return Reply(
            200,
            {
                "id": batch.id,
                "status": status,
                "total_operations": len(batch.operations),
                "finished_operations": len(batch.results or ()),
                "errored_operations": batch.errors,
                "submitted_at": at,
                **finished,
                "_links": [],
            },
        )

    async def _results(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["batch"])
        if batch is None or batch.results is None:
            return web.Response(
                status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="application/xml"
            )
        if "Authorization" in request.headers:  # as the store does: one way to prove oneself, not two
            return web.Response(status=400, text="<Error><Code>InvalidArgument</Code></Error>")
        return web.Response(body=packed(batch.results), content_type="application/x-gzip")


def packed(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return results as the vendor gives them: a gzipped tar with a folder, and files of JSON in it."""
    half = (len(rows) + 1) // 2
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, part in enumerate((rows[:half], rows[half:])):
            text = orjson.dumps(list(part))
            one = tarfile.TarInfo(f"./{number:08x}ef.json")
            one.size = len(text)
            archive.addfile(one, io.BytesIO(text))
    return target.getvalue()


def _authorised(header: str) -> bool:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return False
    return scheme.lower() in ("basic", "bearer") and value == KEY


def _identified(reply: Reply, request_id: str) -> Mapping[str, Any]:
    body = reply.body or {}
    return {**body, "instance": request_id} if "instance" in body else body


def _sent(reply: Reply) -> web.Response:
    request_id = str(uuid.uuid4())
    headers = {"X-Request-Id": request_id}
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    kind = "application/problem+json" if reply.status >= 400 else "application/json"
    return web.json_response(_identified(reply, request_id), status=reply.status, headers=headers, content_type=kind)


EMULATOR: type[Emulator] = Mailchimp
