"""A HubSpot CRM that runs here: contacts by their v3 and date-version addresses, with HubSpot's limits and errors.

Source: facts ``outbound/hubspot.md``, sections 2 to 5. What those call unverified is played as they describe it: e-mails
match without regard to case, an error of a 207 carries the trace id in its context, a batch above the limit is a 400.
Results of a batch come back in reverse, because HubSpot promises no order.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

TOKEN = "pat-na1-sandbox-4a6f"  # noqa: S105 - opens nothing but this emulator
BATCH_LIMIT = 100

_READ, _WRITE = "crm.objects.contacts.read", "crm.objects.contacts.write"
_PREFIXES = ("/crm/v3/objects/contacts", r"/crm/objects/{version:\d{4}-\d{2}}/contacts")
_SHOWN = ("email", "firstname", "lastname")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_OPERATORS: Mapping[str, Callable[[str | None, Mapping[str, Any]], bool]] = {
    "EQ": lambda value, wanted: value == str(wanted.get("value", "")).lower(),
    "IN": lambda value, wanted: value in [str(one).lower() for one in wanted.get("values") or ()],
    "HAS_PROPERTY": lambda value, _: value is not None,
    "NOT_HAS_PROPERTY": lambda value, _: value is None,
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class Contact:
    """One contact. ``searchable_from``: monotonic second from which a search finds it as it is."""

    id: str
    email: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    searchable_from: float = 0.0


class _Refusal(Exception):
    def __init__(
        self, status: int, category: str, message: str, context: Mapping[str, list[str]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"status": "error", "message": message, "category": category}
        if context:
            self.error["context"] = dict(context)


class Hubspot(Emulator):
    """Holds contacts by id and by lower-case e-mail.

    Attributes:
        properties: names of the contact properties that exist.
        invalid: lower-case e-mails that fail HubSpot's validation.
        scopes: what the token may do.
        search_lag: seconds until a search finds what was written.
        limit: requests in 10 s above which the answer is 429; None counts and never refuses.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"token": TOKEN}

    def __init__(self) -> None:
        """Start without contacts."""
        super().__init__()
        self.properties = {*_SHOWN, "phone", "company", "jobtitle", "country", "last_course", "last_course_state"}
        self.invalid: set[str] = set()
        self.scopes = {_READ, _WRITE}
        self.search_lag = 0.0
        self.limit: int | None = None
        self.contacts: dict[str, Contact] = {}
        self._next_id = 512
        self._calls: list[float] = []
        self._today = 0

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of the contacts API, once for v3 and once for date versions."""
        return [
            route
            for prefix in _PREFIXES
            for route in (
                web.get(prefix, self._guarded(self._list, _READ)),
                web.post(prefix, self._guarded(self._create, _WRITE)),
                web.post(f"{prefix}/search", self._guarded(self._search, _READ, counted=False)),
                web.post(f"{prefix}/batch/upsert", self._guarded(self._batch_upsert, _WRITE)),
                web.post(f"{prefix}/batch/create", self._guarded(self._batch_create, _WRITE)),
                web.post(f"{prefix}/batch/update", self._guarded(self._batch_update, _WRITE)),
                web.get(f"{prefix}/{{id}}", self._guarded(self._read, _READ)),
                web.patch(f"{prefix}/{{id}}", self._guarded(self._update, _WRITE)),
            )
        ]

    def holdings(self) -> list[Holding]:
        """Return every contact, with its properties other than the e-mail."""
        return [
            Holding(
                "contact", one.email, ", ".join(f"{k}={v}" for k, v in sorted(one.properties.items())), one.id, True
            )
            for one in self.contacts.values()
        ]

    def by_email(self, email: str) -> Contact | None:
        """Return the contact with this e-mail, whatever its case."""
        return next((one for one in self.contacts.values() if one.email == email.lower()), None)

    def _guarded(self, handler: Handler, scope: str, *, counted: bool = True) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            correlation = str(uuid4())
            try:
                self._admit(request, scope)
                response = await handler(request)
            except _Refusal as refusal:
                body = {**refusal.error, "correlationId": correlation}
                response = web.json_response(body, status=refusal.status)
            response.headers["x-hubspot-correlation-id"] = correlation
            if counted:  # a search tells nothing of the limits
                response.headers.update(self._rate_headers())
            return response

        return guarded

    def _admit(self, request: web.Request, scope: str) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if scope not in self.scopes:
            refusal = _Refusal(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes.")
            told = "One or more of the following scopes are required."
            refusal.error["errors"] = [{"message": told, "context": {"requiredGranularScopes": [scope]}}]
            raise refusal
        now = time.monotonic()
        self._calls = [at for at in self._calls if now - at < 10.0]
        if self.limit is not None and len(self._calls) >= self.limit:
            refusal = _Refusal(429, "RATE_LIMITS", "You have reached your ten_secondly_rolling limit.")
            refusal.error["policyName"] = "TEN_SECONDLY_ROLLING"
            raise refusal
        self._calls.append(now)
        self._today += 1

    def _rate_headers(self) -> dict[str, str]:
        most = self.limit if self.limit is not None else 190
        return {
            "X-HubSpot-RateLimit-Daily": "650000",
            "X-HubSpot-RateLimit-Daily-Remaining": str(650_000 - self._today),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(max(most - len(self._calls), 0)),
        }

    async def _list(self, request: web.Request) -> web.Response:
        start, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "10"))
        rows = list(self.contacts.values())
        body: dict[str, Any] = {"results": [_shown(one, _asked(request)) for one in rows[start : start + limit]]}
        if start + limit < len(rows):
            body["paging"] = {"next": {"after": str(start + limit)}}
        return web.json_response(body)

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._found(request), _asked(request)))

    async def _create(self, request: web.Request) -> web.Response:
        properties = _properties(await _json(request))
        self._validate(properties)
        self._unique(properties.get("email", ""))
        return web.json_response(_shown(self._write(self._new(), properties)), status=201)

    async def _update(self, request: web.Request) -> web.Response:
        contact, properties = self._found(request), _properties(await _json(request))
        self._validate(properties)
        self._unique(properties.get("email", ""), contact)
        return web.json_response(_shown(self._write(contact, properties), [*_SHOWN, *properties]))

    async def _search(self, request: web.Request) -> web.Response:
        body = await _json(request)
        now = time.monotonic()
        found = [
            one
            for one in self.contacts.values()
            if one.searchable_from <= now and _matches(one, body.get("filterGroups") or ())
        ]
        start, limit = int(body.get("after") or 0), int(body.get("limit") or 10)
        rows = [_shown(one, [*_SHOWN, *(body.get("properties") or ())]) for one in found[start : start + limit]]
        return web.json_response({"total": len(found), "results": rows})

    async def _batch_upsert(self, request: web.Request) -> web.Response:
        inputs = await _inputs(request)
        if any(one.get("idProperty") != "email" for one in inputs):
            raise _Refusal(400, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique property")
        keys = [str(one.get("id", "")).lower() for one in inputs]
        if len(set(keys)) < len(keys):
            raise _Refusal(409, "CONFLICT", "Duplicate IDs found in batch input")
        for one in inputs:
            self._known(_properties(one))
        results, errors = [], []
        for key, one in zip(keys, inputs, strict=True):
            properties, trace = {"email": key, **_properties(one)}, one.get("objectWriteTraceId")
            try:
                self._validate(properties)
            except _Refusal as refusal:
                if len({input_.get("objectWriteTraceId") for input_ in inputs} - {None}) < len(inputs):
                    raise  # only a batch whose inputs all carry a trace id is taken in part
                errors.append({**refusal.error, "context": {"objectWriteTraceId": [trace]}, "links": {}, "errors": []})
                continue
            results.append((key, properties, trace))
        return _batch([self._upserted(*one) for one in results], errors)

    def _upserted(self, email: str, properties: Mapping[str, str], trace: str | None) -> dict[str, Any]:
        contact = self.by_email(email)
        written = self._write(contact or self._new(), properties)
        shown = _shown(written, [*_SHOWN, *properties]) | {"new": contact is None}
        return shown | {"objectWriteTraceId": trace} if trace else shown

    async def _batch_create(self, request: web.Request) -> web.Response:
        wanted = [_properties(one) for one in await _inputs(request)]
        for properties in wanted:
            self._validate(properties)
            self._unique(properties.get("email", ""))
        return _batch([_shown(self._write(self._new(), one)) for one in wanted], (), status=201)

    async def _batch_update(self, request: web.Request) -> web.Response:
        inputs = await _inputs(request)
        if any(one.get("idProperty") == "email" for one in inputs):
            told = "Unable to perform update/upsert by non-unique 0-1 property email"
            raise _Refusal(400, "VALIDATION_ERROR", told)
        pairs = [(self.contacts.get(str(one.get("id"))), _properties(one)) for one in inputs]
        for contact, properties in pairs:
            self._validate(properties)
            self._unique(properties.get("email", ""), contact)
        return _batch([_shown(self._write(contact, properties)) for contact, properties in pairs if contact], ())

    def _found(self, request: web.Request) -> Contact:
        wanted = request.match_info["id"]
        by_email = request.query.get("idProperty") == "email"
        contact = self.by_email(wanted) if by_email else self.contacts.get(wanted)
        if contact is None:
            raise _Refusal(404, "OBJECT_NOT_FOUND", "resource not found")
        return contact

    def _known(self, properties: Mapping[str, str]) -> None:
        faults = [
            {
                "isValid": False,
                "message": f'Property "{name}" does not exist',
                "error": "PROPERTY_DOESNT_EXIST",
                "name": name,
            }
            for name in properties
            if name not in self.properties
        ]
        if faults:
            raise _Refusal(400, "PROPERTY_DOESNT_EXIST", _not_valid(faults))

    def _validate(self, properties: Mapping[str, str]) -> None:
        self._known(properties)
        email = properties.get("email")
        if email is not None and (email.lower() in self.invalid or not _EMAIL.fullmatch(email)):
            told = f"Email address {email} is invalid"
            fault = {"isValid": False, "message": told, "error": "INVALID_EMAIL", "name": "email"}
            raise _Refusal(400, "VALIDATION_ERROR", _not_valid([fault]))

    def _unique(self, email: str, but: Contact | None = None) -> None:
        other = self.by_email(email) if email else None
        if other is not None and other is not but:
            raise _Refusal(409, "CONFLICT", f"Contact already exists. Existing ID: {other.id}")

    def _new(self) -> Contact:
        contact = Contact(str(self._next_id), created=_now())
        self._next_id += 1
        self.contacts[contact.id] = contact
        return contact

    def _write(self, contact: Contact, properties: Mapping[str, str]) -> Contact:
        for name, value in properties.items():
            if name == "email":
                contact.email = value.lower()
            elif value:
                contact.properties[name] = value
            else:  # an empty string clears
                contact.properties.pop(name, None)
        contact.updated = _now()
        contact.searchable_from = time.monotonic() + self.search_lag
        return contact


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(contact: Contact, names: Iterable[str] = _SHOWN) -> dict[str, Any]:
    always = {"createdate": contact.created, "hs_object_id": contact.id, "lastmodifieddate": contact.updated}
    held = {"email": contact.email, **contact.properties}
    return {
        "id": contact.id,
        "properties": {**{name: held.get(name) for name in names}, **always},
        "createdAt": contact.created,
        "updatedAt": contact.updated,
        "archived": False,
    }


def _asked(request: web.Request) -> list[str]:
    asked = [name for text in request.query.getall("properties", []) for name in text.split(",")]
    return asked or list(_SHOWN)


def _matches(contact: Contact, groups: Iterable[Mapping[str, Any]]) -> bool:
    groups = list(groups)
    return not groups or any(all(_holds(contact, one) for one in group.get("filters") or ()) for group in groups)


def _holds(contact: Contact, wanted: Mapping[str, Any]) -> bool:
    held = {"email": contact.email, "hs_object_id": contact.id, **contact.properties}
    value = held.get(str(wanted.get("propertyName")))
    operator = _OPERATORS.get(str(wanted.get("operator")))
    if operator is None:
        raise _Refusal(400, "VALIDATION_ERROR", f"operator {wanted.get('operator')} is not played here")
    return operator(value.lower() if value is not None else None, wanted)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise _Refusal(400, "VALIDATION_ERROR", "Invalid input JSON")
    return body


async def _inputs(request: web.Request) -> list[dict[str, Any]]:
    inputs = (await _json(request)).get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise _Refusal(400, "VALIDATION_ERROR", "Invalid input JSON: inputs must not be empty")
    if len(inputs) > BATCH_LIMIT:
        raise _Refusal(400, "VALIDATION_ERROR", f"The maximum number of inputs is {BATCH_LIMIT}")
    return inputs


def _properties(body: Mapping[str, Any]) -> dict[str, str]:
    properties = body.get("properties")
    if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
        raise _Refusal(400, "VALIDATION_ERROR", "Invalid input JSON: properties must be an object of strings")
    return properties


def _not_valid(faults: Sequence[Mapping[str, Any]]) -> str:
    return f"Property values were not valid: {orjson.dumps(list(faults)).decode()}"


def _batch(results: Sequence[Any], errors: Sequence[Any], status: int = 200) -> web.Response:
    at = _now()
    body = {"status": "COMPLETE", "results": list(reversed(results)), "startedAt": at, "completedAt": at}
    if errors:
        return web.json_response({**body, "numErrors": len(errors), "errors": list(errors)}, status=207)
    return web.json_response(body, status=status)


EMULATOR: type[Emulator] = Hubspot
