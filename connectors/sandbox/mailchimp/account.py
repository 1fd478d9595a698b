"""What a Mailchimp account holds, and what it says to each call: the same by HTTP and within a batch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.kit.sandbox import Emulator, Holding

LIST = "abc123"
OTHER_LIST = "def456"

_PATCHABLE = frozenset({"subscribed", "unsubscribed", "cleaned", "pending"})
_STATUSES = _PATCHABLE | {"transactional"}
_LONGEST_TAG = 10
_PAGE, _LARGEST_PAGE = 10, 1_000
_EVENT_NAME = range(2, 31)


@dataclass(slots=True)
class Member:
    """One address on one list. ``tags``: in the order they were set. ``events``: the newest first."""

    email: str
    status: str
    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ask:
    """One call, however it came. ``body`` is empty where none, or none that can be read, came along."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; a body of None is none."""

    status: int
    body: Mapping[str, Any] | None = None


class Account(Emulator):
    """Holds members by list and hash.

    ``lists`` limits what lists there are; None takes every list. ``merge_fields`` says of each merge tag whether it is
    required, ``merge_types`` of what type it is if not text; every list has the same. ``compliance``, ``forgotten``,
    ``fake`` and ``crowded`` hold lower-case addresses that are refused for that reason. ``role`` is the key's user's.
    """

    def __init__(self) -> None:
        """Start without members, with the two merge fields that every new list has."""
        super().__init__()
        self.lists: set[str] | None = {LIST, OTHER_LIST}
        self.merge_fields: dict[str, bool] = {"FNAME": False, "LNAME": False}
        self.merge_types: dict[str, str] = {}
        self.members: dict[str, dict[str, Member]] = {}
        self.compliance: set[str] = set()
        self.forgotten: set[str] = set()
        self.fake: set[str] = set()
        self.crowded: set[str] = set()
        self.role = "owner"
        self._next = 1

    def holdings(self) -> list[Holding]:
        """Return every membership; an archived one is not live."""
        return [
            Holding("contact", member.email, _what(member), key, member.status != "archived")
            for members in self.members.values()
            for key, member in members.items()
        ]

    def act(self, ask: Ask) -> Reply:
        """Do what a call says, and answer it."""
        for method, pattern, handler in self._calls():
            if method == ask.method and (named := pattern.fullmatch(ask.path)) is not None:
                list_id = named.groupdict().get("list_id")
                if list_id is not None and self.lists is not None and list_id not in self.lists:
                    return absent()
                return handler(ask, **named.groupdict())
        return absent()

    def _calls(self) -> Sequence[tuple[str, re.Pattern[str], Callable[..., Reply]]]:
        return (
            ("GET", _ROOT, self._root),
            ("GET", _PING, self._ping),
            ("GET", _LIST, self._list),
            ("GET", _FIELDS, self._get_fields),
            ("POST", _FIELDS, self._add_field),
            ("PUT", _MEMBER, self._put),
            ("GET", _MEMBER, self._get),
            ("PATCH", _MEMBER, self._patch),
            ("DELETE", _MEMBER, self._archive),
            ("GET", _TAGS, self._get_tags),
            ("POST", _TAGS, self._set_tags),
            ("GET", _EVENTS, self._get_events),
            ("POST", _EVENTS, self._add_event),
        )

    def _root(self, ask: Ask) -> Reply:
        return Reply(200, {"account_id": "8d3a3db4d97663a9074efcc16", "role": self.role})

    def _ping(self, ask: Ask) -> Reply:
        return Reply(200, {"health_status": "Everything's Chimpy!"})

    def _list(self, ask: Ask, list_id: str) -> Reply:
        return Reply(200, {"id": list_id, "name": "Learners"})

    def _get_fields(self, ask: Ask, list_id: str) -> Reply:
        rows = [self._field(tag, list_id, place) for place, tag in enumerate(self.merge_fields, 1)]
        return Reply(200, {"merge_fields": _page(ask, rows), "list_id": list_id, "total_items": len(rows)})

    def _add_field(self, ask: Ask, list_id: str) -> Reply:
        tag, kind = ask.body.get("tag"), ask.body.get("type")
        if not isinstance(tag, str) or len(tag) > _LONGEST_TAG or not ask.body.get("name"):
            return invalid([{"field": "tag", "message": "Merge tags have 10 characters at most"}])
        if tag in self.merge_fields:
            return problem(400, "Bad Request", f'A Merge Field with the tag "{tag}" already exists for this list.')
        self.merge_fields[tag] = bool(ask.body.get("required"))
        self.merge_types[tag] = str(kind)
        return Reply(200, self._field(tag, list_id, len(self.merge_fields)))

    def _field(self, tag: str, list_id: str, number: int) -> dict[str, Any]:
        kind, required = self.merge_types.get(tag, "text"), self.merge_fields[tag]
        return {"merge_id": number, "tag": tag, "name": tag, "type": kind, "required": required, "list_id": list_id}

    def _found(self, list_id: str, named: str) -> tuple[dict[str, Member], str, Member | None]:
        """Return the list's members, the hash that the path names, and its member."""
        members = self.members.setdefault(list_id, {})
        key = hash_of(named) if "@" in named else named.lower()
        return members, key, members.get(key)

    def _get(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, key, found = self._found(list_id, member)
        return absent() if found is None else _shown(list_id, key, found)

    def _put(self, ask: Ask, list_id: str, member: str) -> Reply:
        members, key, found = self._found(list_id, member)
        errors = _faults(ask.body, key, is_new=found is None) or self._missing(ask, found)
        if errors:
            return invalid(errors)
        refusal = self._unwelcome(ask.body["email_address"], joins=found is None or "status" in ask.body)
        if refusal is not None:
            return refusal
        if found is None:
            found = members[key] = Member("", ask.body.get("status") or ask.body["status_if_new"], self._next)
            self._next += 1
        self._fill(found, ask.body)
        return _shown(list_id, key, found)

    def _patch(self, ask: Ask, list_id: str, member: str) -> Reply:
        members, key, found = self._found(list_id, member)
        if found is None:
            return absent()
        errors = self._missing(ask, found)
        if ask.body.get("status", "pending") not in _PATCHABLE:
            errors.append({"field": "status", "message": "The value you selected is not a valid choice."})
        if errors:
            return invalid(errors)
        email = ask.body.get("email_address", found.email)
        refusal = self._unwelcome(email, joins="status" in ask.body)
        if refusal is not None:
            return refusal
        moved = hash_of(email)
        if moved != key and moved in members:
            return problem(400, "Member Exists", f"{email} is already a list member.")
        members[moved] = members.pop(key)
        self._fill(found, ask.body)
        return _shown(list_id, moved, found)

    def _archive(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, _, found = self._found(list_id, member)
        if found is None:
            return absent()
        if found.status == "archived":
            return problem(405, "Method Not Allowed", "This list member cannot be removed.")
        found.status = "archived"
        return Reply(204)

    def _get_tags(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, _, found = self._found(list_id, member)
        if found is None:
            return absent()
        return Reply(200, {"tags": _page(ask, _tags(found)), "total_items": len(found.tags), "_links": []})

    def _set_tags(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, _, found = self._found(list_id, member)
        if found is None:
            return absent()
        tags = ask.body.get("tags")
        if not isinstance(tags, list) or not all(_is_tag(tag) for tag in tags):
            return invalid([{"field": "tags", "message": "Schema describes array of name and status"}])
        for tag in tags:
            if tag["status"] == "inactive":
                found.tags = [name for name in found.tags if name != tag["name"]]
            elif tag["name"] not in found.tags:
                found.tags.append(tag["name"])
        return Reply(204)

    def _get_events(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, _, found = self._found(list_id, member)
        if found is None:
            return absent()
        return Reply(200, {"events": _page(ask, found.events), "total_items": len(found.events), "_links": []})

    def _add_event(self, ask: Ask, list_id: str, member: str) -> Reply:
        _, _, found = self._found(list_id, member)
        if found is None:
            return absent()
        name, properties = ask.body.get("name"), ask.body.get("properties", {})
        if not isinstance(name, str) or len(name) not in _EVENT_NAME:
            return invalid([{"field": "name", "message": "Event names have 2 to 30 characters"}])
        if not all(isinstance(value, str) for value in properties.values()):
            return invalid([{"field": "properties", "message": "Schema describes string"}])
        found.events.insert(0, {key: ask.body[key] for key in ("name", "properties", "occurred_at") if key in ask.body})
        return Reply(204)

    def _missing(self, ask: Ask, member: Member | None) -> list[dict[str, str]]:
        if str(ask.query.get("skip_merge_validation", "")).lower() == "true":
            return []
        given = {**(member.fields if member else {}), **(ask.body.get("merge_fields") or {})}
        return [
            {"field": tag, "message": "Please enter a value"}
            for tag, required in self.merge_fields.items()
            if required and not given.get(tag)
        ]

    def _unwelcome(self, email: str, *, joins: bool) -> Reply | None:
        address = email.strip().lower()
        if address in self.fake:
            detail = f"{email} looks fake or invalid, please enter a real email address."
            return problem(400, "Invalid Resource", detail)
        if address in self.forgotten:
            detail = f"{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
            return problem(400, "Forgotten Email Not Subscribed", detail)
        if joins and address in self.crowded:
            detail = f"{email} has signed up to a lot of lists very recently; we're not allowing more signups for now"
            return problem(400, "Invalid Resource", detail)
        if joins and address in self.compliance:
            detail = f"{email} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return problem(400, "Member In Compliance State", detail)
        return None

    def _fill(self, member: Member, body: Mapping[str, Any]) -> None:
        member.email = body.get("email_address", member.email)
        member.status = body.get("status", member.status)
        given = body.get("merge_fields") or {}
        member.fields |= {tag: value for tag, value in given.items() if tag in self.merge_fields}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


_ROOT, _PING, _LIST = _pattern("/"), _pattern("/ping"), _pattern("/lists/{list_id}")
_FIELDS, _MEMBER = _pattern("/lists/{list_id}/merge-fields"), _pattern("/lists/{list_id}/members/{member}")
_TAGS, _EVENTS = (
    _pattern("/lists/{list_id}/members/{member}/tags"),
    _pattern("/lists/{list_id}/members/{member}/events"),
)


def hash_of(email: str) -> str:
    """Return the subscriber hash."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def read(body: bytes | str) -> Mapping[str, Any]:
    """Return a JSON object; an empty one where it is anything else."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def absent() -> Reply:
    """Return the answer to what does not exist."""
    return problem(404, "Resource Not Found", "The requested resource could not be found.")


def invalid(errors: Sequence[Mapping[str, str]]) -> Reply:
    """Return the answer to fields that can't be taken."""
    detail = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
    return problem(400, "Invalid Resource", detail, errors)


def problem(status: int, title: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> Reply:
    """Return a problem in the vendor's form; whoever sends it adds the request's id as ``instance``."""
    body: dict[str, Any] = {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "",
    }
    return Reply(status, {**body, "errors": [*errors]} if errors else body)


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, dict) and bool(tag.get("name")) and tag.get("status") in ("active", "inactive")


def _faults(body: Mapping[str, Any], key: str, *, is_new: bool) -> list[dict[str, str]]:
    email = body.get("email_address")
    if not isinstance(email, str) or "@" not in email:
        return [{"field": "email_address", "message": "This value should be a valid email."}]
    if is_new and hash_of(email) != key:
        return [{"field": "email_address", "message": "The address does not fit the subscriber hash."}]
    if is_new and (body.get("status") or body.get("status_if_new")) not in _STATUSES:
        return [{"field": "status_if_new", "message": "The value you selected is not a valid choice."}]
    return []


def _what(member: Member) -> str:
    parts = [f"tags: {', '.join(member.tags)}", f"status: {member.status}"]
    return "; ".join(parts + [f"{tag}={value}" for tag, value in member.fields.items()])


def _tags(member: Member) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(member.tags, 1)]


def _page(ask: Ask, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    start = int(ask.query.get("offset", "0"))
    return list(rows[start : start + min(int(ask.query.get("count", _PAGE)), _LARGEST_PAGE)])


def _shown(list_id: str, key: str, member: Member) -> Reply:
    return Reply(
        200,
        {
            "id": key,
            "email_address": member.email,
            "unique_email_id": f"{member.number:010x}",
            "contact_id": f"{member.number:032x}",
            "web_id": member.number,
            "status": member.status,
            "merge_fields": dict(member.fields),
            "tags_count": len(member.tags),
            "tags": _tags(member)[:50],
            "list_id": list_id,
            "last_changed": "2026-11-22T10:00:00+00:00",
            "_links": [],
        },
    )
