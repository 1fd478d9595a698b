"""The rehearsal box: what a recorded call would lead to, tried out against emulated targets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import structlog
from aiohttp import web

from bridge.contract.errors import BridgeError
from bridge.edge.console.access import Visitor
from bridge.edge.console.pages import page, said
from bridge.edge.masked import veil

log = structlog.get_logger(__name__)

Rehearses = Callable[[str, bytes], Awaitable[Mapping[str, Any]]]
"""Given a source and a recorded call, returns what ``bridge rehearse --json`` says of it."""

MOST_BYTES: Final = 800 * 1024
"""Of the form: a body that is sent by a form takes up to three times its size."""

_LONGEST: Final = 256 * 1024


_NO_FILE: Final = (
    "A rehearsal reads bridge.toml in a process of its own, and this bridge was given its settings without a file.",
    "On the command line: bridge rehearse FILE --source NAME --config bridge.toml",
)


class NotRehearsed(BridgeError):
    """A call could not be rehearsed; the message says why."""


class RehearsalBox:
    """Takes a call from an operator and shows what would come of it."""

    def __init__(self, sources: Callable[[], Iterable[str]], rehearses: Rehearses | None) -> None:
        """Offer ``sources``; without ``rehearses`` nothing can be rehearsed."""
        self._sources = sources
        self._rehearses = rehearses

    async def show(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show the empty box."""
        return self._refusal(visitor) or self._page(visitor)

    async def play(self, _: web.Request, visitor: Visitor, form: Mapping[str, str]) -> web.Response:
        """Rehearse what was pasted, and show what came of it."""
        refusal = self._refusal(visitor)
        if refusal is not None or self._rehearses is None:
            return refusal or self._page(visitor)
        source = form.get("source", "")
        if source not in self._sources():
            return self._page(visitor, fault="There is no such source.", status=422)
        try:
            found = veil(await self._rehearses(source, _recorded(form)))
        except NotRehearsed as fault:
            log.info("console.not_rehearsed", user=visitor.name, source=source)
            return self._page(visitor, source, fault=veil(str(fault)), status=422)
        log.info("console.rehearsed", user=visitor.name, source=source)
        return self._page(visitor, source, found=found)

    def _page(
        self, visitor: Visitor, source: str = "", fault: str = "", found: Any = None, status: int = 200
    ) -> web.Response:
        sources = sorted(self._sources())
        return page(
            "rehearse",
            visitor,
            status=status,
            here="rehearse",
            sources=sources,
            source=source,
            fault=fault,
            found=found,
            pairs=[*zip(found["commands"], found["plan"], strict=True)] if found else [],
        )

    def _refusal(self, visitor: Visitor) -> web.Response | None:
        if not visitor.operates:
            return said(visitor, 403, "Viewers rehearse nothing", "Ask an operator.")
        if self._rehearses is None:
            return said(visitor, 404, "Nothing can be rehearsed here", *_NO_FILE)
        return None


def _recorded(form: Mapping[str, str]) -> bytes:
    """Return the call as ``bridge rehearse`` reads it from a file.

    A browser sends the lines of a box with its own kind of ends; the last ones came with the pasting.

    Raises:
        NotRehearsed: it is too long, or a header is none.
    """
    body = form.get("body", "").replace("\r\n", "\n").rstrip("\n")
    if len(body.encode()) > _LONGEST:
        raise NotRehearsed(f"The body is longer than {_LONGEST // 1024} KiB: rehearse it on the command line.")
    headers, query = _headers(form.get("headers", "")), form.get("query", "").strip().removeprefix("?")
    method = "GET" if form.get("method") == "GET" else "POST"
    if not headers and not query and method == "POST":
        return body.encode()
    parts = {"method": method, "headers": headers, "query": dict(parse_qsl(query, keep_blank_values=True))}
    return orjson.dumps({**parts, "body": body})


def _headers(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip():
            found[name.strip().lower()] = value.strip()
        elif line.strip():
            raise NotRehearsed("A header is written as NAME: VALUE, each on a line of its own.")
    return found
