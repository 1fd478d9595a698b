"""Contacts and deals: found by id or by a unique property, created, updated, upserted, searched and joined."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from connectors.sandbox.hubspot.bodies import (
    Kind,
    Refusal,
    batch,
    body_of,
    faulty,
    inputs_of,
    not_valid,
    now,
    one_error,
    properties_of,
)
from connectors.sandbox.hubspot.schema import Schema

_SHOWN: Mapping[Kind, tuple[str, ...]] = {
    "contacts": ("email", "firstname", "lastname"),
    "deals": ("dealname", "dealstage", "pipeline", "amount", "closedate"),
}
_TYPES: Mapping[Kind, str] = {"contacts": "0-1", "deals": "0-3"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_OPERATORS: Mapping[str, Callable[[str | None, Mapping[str, Any]], bool]] = {
    "EQ": lambda value, wanted: value == str(wanted.get("value", "")).lower(),
    "IN": lambda value, wanted: value in [str(one).lower() for one in wanted.get("values") or ()],
    "HAS_PROPERTY": lambda value, _: value is not None,
    "NOT_HAS_PROPERTY": lambda value, _: value is None,
}


@dataclass(slots=True)
class Record:
    """One contact or deal; only a contact has an e-mail. ``searchable_from``: monotonic second from which a search finds it."""

    id: str
    email: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    searchable_from: float = 0.0

    def value(self, name: str) -> str | None:
        """Return what a property holds."""
        special = {"email": self.email or None, "hs_object_id": self.id}
        return special[name] if name in special else self.properties.get(name)

    def shown(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the record as HubSpot shows it, without properties that hold nothing."""
        always = {"createdate": self.created, "hs_object_id": self.id, "lastmodifieddate": self.updated}
        held = {name: value for name in names if (value := self.value(name)) is not None}
        return {
            "id": self.id,
            "properties": {**held, **always},
            "createdAt": self.created,
            "updatedAt": self.updated,
            "archived": False,
        }


class Records:
    """The records of one kind.

    Attributes:
        held: by id.
        invalid: lower-case e-mails that fail HubSpot's validation.
        search_lag: seconds until a search finds what was written.
    """

    def __init__(self, kind: Kind, schema: Schema, first_id: int) -> None:
        """Start without any."""
        self.kind: Kind = kind
        self.held: dict[str, Record] = {}
        self.invalid: set[str] = set()
        self.search_lag = 0.0
        self._schema = schema
        self._next_id = first_id
        self._ids: dict[tuple[str, str], str] = {}

    def by(self, name: str, value: str) -> Record | None:
        """Return the record with this value of a unique property; an e-mail is found whatever its case."""
        value = value.lower() if name == "email" else value
        found = self.held.get(self._ids.get((name, value), ""))
        return found if found is not None and found.value(name) == value else None

    async def show_page(self, request: web.Request) -> web.Response:
        """Show a page of them."""
        start, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "10"))
        rows = list(self.held.values())[start : start + limit]
        body: dict[str, Any] = {"results": [one.shown(self._asked(request)) for one in rows]}
        if start + limit < len(self.held):
            body["paging"] = {"next": {"after": str(start + limit)}}
        return web.json_response(body)

    async def read(self, request: web.Request) -> web.Response:
        """Show one."""
        return web.json_response(self._found(request).shown(self._asked(request)))

    async def create(self, request: web.Request) -> web.Response:
        """Make one."""
        properties = properties_of(await body_of(request))
        self._validate(properties)
        self._free(properties)
        return web.json_response(self._write(self._new(), properties).shown(self._names()), status=201)

    async def update(self, request: web.Request) -> web.Response:
        """Change one: only what is sent, and an empty string clears."""
        record, properties = self._found(request), properties_of(await body_of(request))
        self._validate(properties)
        self._free(properties, record)
        return web.json_response(self._write(record, properties).shown(self._names(properties)))

    async def search(self, request: web.Request) -> web.Response:
        """Find some by what they held a while ago."""
        body = await body_of(request)
        groups = list(body.get("filterGroups") or ())
        found = [one for one in self.held.values() if one.searchable_from <= time.monotonic() and _matches(one, groups)]
        start, limit = int(body.get("after") or 0), int(body.get("limit") or 10)
        rows = [one.shown(self._names(body.get("properties") or ())) for one in found[start : start + limit]]
        return web.json_response({"total": len(found), "results": rows})

    async def batch_upsert(self, request: web.Request) -> web.Response:
        """Create or update many, each found by a unique property."""
        inputs = await inputs_of(request)
        for one in inputs:
            self._require_unique(str(one.get("idProperty") or "hs_object_id"))
        keys = [(str(one["idProperty"]), _folded(one)) for one in inputs]
        if len(set(keys)) < len(keys):
            raise Refusal(409, "CONFLICT", "Duplicate IDs found in batch input")
        for one in inputs:
            self._known(properties_of(one))
        done, errors = [], []
        for (name, value), one in zip(keys, inputs, strict=True):
            properties, trace = {name: value, **properties_of(one)}, one.get("objectWriteTraceId")
            try:
                self._validate(properties)
            except Refusal as refusal:
                if len({input_.get("objectWriteTraceId") for input_ in inputs} - {None}) < len(inputs):
                    raise  # only a batch whose inputs all carry a trace id is taken in part
                errors.append(one_error(refusal, objectWriteTraceId=[str(trace)]))
                continue
            done.append((name, value, properties, trace))
        return batch([self._upserted(*one) for one in done], errors)

    async def batch_create(self, request: web.Request) -> web.Response:
        """Make many: one that is there already fails them all."""
        wanted = [properties_of(one) for one in await inputs_of(request)]
        for properties in wanted:
            self._validate(properties)
            self._free(properties)
        return batch([self._write(self._new(), one).shown(self._names()) for one in wanted], (), status=201)

    async def batch_update(self, request: web.Request) -> web.Response:
        """Change many, by id."""
        inputs = await inputs_of(request)
        if any(one.get("idProperty") == "email" for one in inputs):
            told = "Unable to perform update/upsert by non-unique 0-1 property email"
            raise Refusal(400, "VALIDATION_ERROR", told)
        pairs = [(self.held.get(str(one.get("id"))), properties_of(one)) for one in inputs]
        for record, properties in pairs:
            self._validate(properties)
            self._free(properties, record)
        return batch([self._write(record, one).shown(self._names()) for record, one in pairs if record], ())

    def _names(self, more: Iterable[str] = ()) -> list[str]:
        return [*_SHOWN[self.kind], *more]

    def _asked(self, request: web.Request) -> list[str]:
        asked = [name for text in request.query.getall("properties", []) for name in text.split(",")]
        return asked or self._names()

    def _require_unique(self, name: str) -> None:
        if name != "hs_object_id" and self._schema.is_unique(self.kind, name):
            return
        told = f"Unable to perform update/upsert by non-unique {_TYPES[self.kind]} property {name}"
        raise Refusal(400, "VALIDATION_ERROR", told)

    def _upserted(self, name: str, value: str, properties: Mapping[str, str], trace: str | None) -> dict[str, Any]:
        there = self.by(name, value)
        written = self._write(there or self._new(), properties)
        shown = written.shown(self._names(properties)) | {"new": there is None}
        return shown | {"objectWriteTraceId": trace} if trace else shown

    def _found(self, request: web.Request) -> Record:
        wanted, name = request.match_info["id"], request.query.get("idProperty")
        found = self.by(name, wanted) if name else self.held.get(wanted)
        if found is None:
            raise Refusal(404, "OBJECT_NOT_FOUND", "resource not found")
        return found

    def _known(self, properties: Mapping[str, str]) -> None:
        if faults := self._schema.unknown(self.kind, properties):
            raise faulty(faults)

    def _validate(self, properties: Mapping[str, str]) -> None:
        self._known(properties)
        email = properties.get("email")
        if email is not None and (email.lower() in self.invalid or not _EMAIL.fullmatch(email)):
            raise not_valid(f"Email address {email} is invalid", "INVALID_EMAIL", "email")
        self._schema.validate(self.kind, properties)

    def _free(self, properties: Mapping[str, str], but: Record | None = None) -> None:
        for name, value in properties.items():
            other = self.by(name, value) if value and self._schema.is_unique(self.kind, name) else None
            if other is not None and other is not but:
                what = "Contact" if self.kind == "contacts" else "Deal"
                raise Refusal(409, "CONFLICT", f"{what} already exists. Existing ID: {other.id}")

    def _new(self) -> Record:
        record = Record(str(self._next_id), created=now())
        self._next_id += 1
        self.held[record.id] = record
        return record

    def _write(self, record: Record, properties: Mapping[str, str]) -> Record:
        for name, value in properties.items():
            if name == "email":
                record.email = value.lower()
            elif value:
                record.properties[name] = value
            else:
                record.properties.pop(name, None)
            if self._schema.is_unique(self.kind, name):
                self._ids[name, record.value(name) or ""] = record.id
        record.updated = now()
        record.searchable_from = time.monotonic() + self.search_lag
        return record


class Associations:
    """Which deals belong to which contacts. ``held``: pairs of a deal's and a contact's id."""

    def __init__(self, deals: Records, contacts: Records) -> None:
        """Start without any."""
        self.held: set[tuple[str, str]] = set()
        self._deals = deals
        self._contacts = contacts

    async def join(self, request: web.Request) -> web.Response:
        """Join two by the association without a label."""
        return batch(self._joined(request.match_info["deal"], request.match_info["contact"]), ())

    async def batch_join(self, request: web.Request) -> web.Response:
        """Join many."""
        done: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for one in await inputs_of(request):
            try:
                done += self._joined(str(one["from"]["id"]), str(one["to"]["id"]))
            except Refusal as refusal:
                errors.append(one_error(refusal, fromObjectId=[str(one["from"]["id"])]))
        return batch(done, errors, partly=200)

    async def show_joined(self, request: web.Request) -> web.Response:
        """Show the contacts of a deal."""
        types = [{"category": "HUBSPOT_DEFINED", "typeId": 3}]
        found = [contact for deal, contact in sorted(self.held) if deal == request.match_info["deal"]]
        return web.json_response({"results": [{"toObjectId": one, "associationTypes": types} for one in found]})

    def _joined(self, deal: str, contact: str) -> list[dict[str, Any]]:
        if deal not in self._deals.held or contact not in self._contacts.held:
            raise Refusal(404, "OBJECT_NOT_FOUND", "one of the records to associate does not exist")
        self.held.add((deal, contact))
        return [_end(deal, contact, 3), _end(contact, deal, 4)]


def _end(one: str, other: str, type_id: int) -> dict[str, Any]:
    kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}
    return {"from": {"id": one}, "to": {"id": other}, "associationSpec": kind}


def _folded(given: Mapping[str, Any]) -> str:
    value = str(given.get("id", ""))
    return value.lower() if given.get("idProperty") == "email" else value


def _matches(record: Record, groups: list[Mapping[str, Any]]) -> bool:
    return not groups or any(all(_holds(record, one) for one in group.get("filters") or ()) for group in groups)


def _holds(record: Record, wanted: Mapping[str, Any]) -> bool:
    value = record.value(str(wanted.get("propertyName")))
    operator = _OPERATORS.get(str(wanted.get("operator")))
    if operator is None:
        raise Refusal(400, "VALIDATION_ERROR", f"operator {wanted.get('operator')} is not played here")
    return operator(value.lower() if value is not None else None, wanted)
