"""A Mailchimp Marketing API 3.0 that runs here: members by hash, tags, merge fields, problem bodies, request ids.

Both ``/3.0/lists/...`` and ``/lists/...`` are answered. Source: facts/outbound/mailchimp.md. Ours, because the vendor
publishes nothing: that an archived member stays archived on a PUT without ``status``, the words for a hash that is not
the address's, and the 400 when a PATCH wants an address that is a member already.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-mailchimp-key-us1"
LIST = "abc123"

_CONNECTIONS = 10
_PATCHABLE = frozenset({"subscribed", "unsubscribed", "cleaned", "pending"})
_STATUSES = _PATCHABLE | {"transactional"}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Member:
    """One address on one list. ``tags``: in the order they were set."""

    email: str
    status: str
    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


class Mailchimp(Emulator):
    """Holds members by list and hash.

    ``lists`` limits what lists there are; None takes every list. ``merge_fields`` says of each merge tag whether it is
    required. ``compliance``, ``forgotten``, ``fake`` and ``crowded`` hold lower-case addresses that are refused for
    that reason. ``latency`` is how many seconds each answer takes; an 11th request meanwhile is told 429.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY, "list_id": LIST}

    def __init__(self) -> None:
        """Start without members, with the two merge fields that every new list has."""
        super().__init__()
        self.lists: set[str] | None = None
        self.merge_fields: dict[str, bool] = {"FNAME": False, "LNAME": False}
        self.members: dict[str, dict[str, Member]] = {}
        self.compliance: set[str] = set()
        self.forgotten: set[str] = set()
        self.fake: set[str] = set()
        self.crowded: set[str] = set()
        self.latency = 0.0
        self._open = 0
        self._next = 1

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the health check, and the member's addresses, with and without the version."""
        member = "/lists/{list_id}/members/{member}"
        return [
            route
            for version in ("", "/3.0")
            for route in (
                web.get(f"{version}/ping", self._guarded(self._ping)),
                web.put(version + member, self._guarded(self._put)),
                web.get(version + member, self._guarded(self._get)),
                web.patch(version + member, self._guarded(self._patch)),
                web.delete(version + member, self._guarded(self._archive)),
                web.get(f"{version}{member}/tags", self._guarded(self._get_tags)),
                web.post(f"{version}{member}/tags", self._guarded(self._set_tags)),
            )
        ]

    def holdings(self) -> list[Holding]:
        """Return every membership; an archived one is not live."""
        return [
            Holding("contact", member.email, _what(member), key, member.status != "archived")
            for members in self.members.values()
            for key, member in members.items()
        ]

    def _guarded(self, handler: _Handler) -> _Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if self._open >= _CONNECTIONS:
                detail = f"You have exceeded the limit of {_CONNECTIONS} simultaneous connections."
                return _problem(429, "Too Many Requests", detail)
            self._open += 1
            try:
                await asyncio.sleep(self.latency)
                return self._refusal(request) or await handler(request)
            finally:
                self._open -= 1

        return answer

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not _authorised(request.headers.get("Authorization", "")):
            detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
            return _problem(401, "API Key Invalid", detail)
        list_id = request.match_info.get("list_id")
        return _absent() if list_id is not None and self.lists is not None and list_id not in self.lists else None

    def _found(self, request: web.Request) -> tuple[dict[str, Member], str, Member | None]:
        """Return the list's members, the hash that the path names, and its member."""
        members = self.members.setdefault(request.match_info["list_id"], {})
        named = request.match_info["member"]
        key = _hash(named) if "@" in named else named.lower()
        return members, key, members.get(key)

    async def _ping(self, _: web.Request) -> web.Response:
        return _json({"health_status": "Everything's Chimpy!"})

    async def _get(self, request: web.Request) -> web.Response:
        _, key, member = self._found(request)
        return _absent() if member is None else _shown(request, key, member)

    async def _put(self, request: web.Request) -> web.Response:
        members, key, member = self._found(request)
        body = await _body(request)
        errors = _faults(body, key, is_new=member is None) or self._missing(request, body, member)
        if errors:
            return _invalid(errors)
        refusal = self._unwelcome(body["email_address"], joins=member is None or "status" in body)
        if refusal is not None:
            return refusal
        if member is None:
            member = members[key] = Member("", body.get("status") or body["status_if_new"], self._next)
            self._next += 1
        self._fill(member, body)
        return _shown(request, key, member)

    async def _patch(self, request: web.Request) -> web.Response:
        members, key, member = self._found(request)
        if member is None:
            return _absent()
        body = await _body(request)
        errors = self._missing(request, body, member)
        if body.get("status", "pending") not in _PATCHABLE:
            errors.append({"field": "status", "message": "The value you selected is not a valid choice."})
        if errors:
            return _invalid(errors)
        email = body.get("email_address", member.email)
        refusal = self._unwelcome(email, joins="status" in body)
        if refusal is not None:
            return refusal
        moved = _hash(email)
        if moved != key and moved in members:
            return _problem(400, "Member Exists", f"{email} is already a list member.")
        members[moved] = members.pop(key)
        self._fill(member, body)
        return _shown(request, moved, member)

    async def _archive(self, request: web.Request) -> web.Response:
        _, _, member = self._found(request)
        if member is None:
            return _absent()
        if member.status == "archived":
            return _problem(405, "Method Not Allowed", "This list member cannot be removed.")
        member.status = "archived"
        return _nothing()

    async def _get_tags(self, request: web.Request) -> web.Response:
        _, _, member = self._found(request)
        if member is None:
            return _absent()
        start, count = int(request.query.get("offset", "0")), min(int(request.query.get("count", "10")), 1000)
        return _json({"tags": _tags(member)[start : start + count], "total_items": len(member.tags), "_links": []})

    async def _set_tags(self, request: web.Request) -> web.Response:
        _, _, member = self._found(request)
        if member is None:
            return _absent()
        tags = (await _body(request)).get("tags")
        if not isinstance(tags, list) or not all(_is_tag(tag) for tag in tags):
            return _invalid([{"field": "tags", "message": "Schema describes array of name and status"}])
        for tag in tags:
            if tag["status"] == "inactive":
                member.tags = [name for name in member.tags if name != tag["name"]]
            elif tag["name"] not in member.tags:
                member.tags.append(tag["name"])
        return _nothing()

    def _missing(self, request: web.Request, body: Mapping[str, Any], member: Member | None) -> list[dict[str, str]]:
        if request.query.get("skip_merge_validation", "").lower() == "true":
            return []
        given = {**(member.fields if member else {}), **(body.get("merge_fields") or {})}
        return [
            {"field": tag, "message": "Please enter a value"}
            for tag, required in self.merge_fields.items()
            if required and not given.get(tag)
        ]

    def _unwelcome(self, email: str, *, joins: bool) -> web.Response | None:
        address = email.strip().lower()
        if address in self.fake:
            detail = f"{email} looks fake or invalid, please enter a real email address."
            return _problem(400, "Invalid Resource", detail)
        if address in self.forgotten:
            detail = f"{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
            return _problem(400, "Forgotten Email Not Subscribed", detail)
        if joins and address in self.crowded:
            detail = f"{email} has signed up to a lot of lists very recently; we're not allowing more signups for now"
            return _problem(400, "Invalid Resource", detail)
        if joins and address in self.compliance:
            detail = f"{email} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return _problem(400, "Member In Compliance State", detail)
        return None

    def _fill(self, member: Member, body: Mapping[str, Any]) -> None:
        member.email = body.get("email_address", member.email)
        member.status = body.get("status", member.status)
        given = body.get("merge_fields") or {}
        member.fields |= {tag: value for tag, value in given.items() if tag in self.merge_fields}


def _authorised(header: str) -> bool:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return False
    return scheme.lower() in ("basic", "bearer") and value == KEY


def _faults(body: Mapping[str, Any], key: str, *, is_new: bool) -> list[dict[str, str]]:
    email = body.get("email_address")
    if not isinstance(email, str) or "@" not in email:
        return [{"field": "email_address", "message": "This value should be a valid email."}]
    if is_new and _hash(email) != key:
        return [{"field": "email_address", "message": "The address does not fit the subscriber hash."}]
    if is_new and (body.get("status") or body.get("status_if_new")) not in _STATUSES:
        return [{"field": "status_if_new", "message": "The value you selected is not a valid choice."}]
    return []


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, dict) and bool(tag.get("name")) and tag.get("status") in ("active", "inactive")


def _hash(email: str) -> str:
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def _what(member: Member) -> str:
    parts = [f"tags: {', '.join(member.tags)}", f"status: {member.status}"]
    return "; ".join(parts + [f"{tag}={value}" for tag, value in member.fields.items()])


def _tags(member: Member) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(member.tags, 1)]


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _shown(request: web.Request, key: str, member: Member) -> web.Response:
    return _json(
        {
            "id": key,
            "email_address": member.email,
            "unique_email_id": f"{member.number:010x}",
            "contact_id": f"{member.number:032x}",
            "web_id": member.number,
            "status": member.status,
            "merge_fields": member.fields,
            "tags_count": len(member.tags),
            "tags": _tags(member)[:50],
            "list_id": request.match_info["list_id"],
            "last_changed": "2026-11-22T10:00:00+00:00",
            "_links": [],
        }
    )


def _json(body: Mapping[str, Any]) -> web.Response:
    return web.json_response(body, headers={"X-Request-Id": str(uuid.uuid4())})


def _nothing() -> web.Response:
    return web.Response(status=204, headers={"X-Request-Id": str(uuid.uuid4())})


def _absent() -> web.Response:
    return _problem(404, "Resource Not Found", "The requested resource could not be found.")


def _invalid(errors: Sequence[Mapping[str, str]]) -> web.Response:
    detail = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
    return _problem(400, "Invalid Resource", detail, errors)


def _problem(status: int, title: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> web.Response:
    request_id = str(uuid.uuid4())
    body: dict[str, Any] = {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request_id,
    }
    if errors:
        body["errors"] = list(errors)
    return web.json_response(
        body, status=status, headers={"X-Request-Id": request_id}, content_type="application/problem+json"
    )


EMULATOR: type[Emulator] = Mailchimp
