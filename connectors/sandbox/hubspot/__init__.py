"""A HubSpot CRM that runs here: contacts, deals and what joins them, properties and pipelines, with HubSpot's limits and errors.

Every address answers as v3 (v4 for associations) and in the form of the date versions. Source: facts
``outbound/hubspot.md``, sections 0 and 2 to 5. What those call unverified is played as they describe it: e-mails match
without regard to case, an error of a 207 carries the trace id in its context, a batch above the limit is a 400, a
property that exists is a 409. Results of a batch come back in reverse, because HubSpot promises no order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding
from connectors.sandbox.hubspot.bodies import Handler, Kind, Refusal
from connectors.sandbox.hubspot.records import Associations, Record, Records
from connectors.sandbox.hubspot.schema import Schema

TOKEN = "pat-na1-sandbox-4a6f"  # noqa: S105 - opens nothing but this emulator

_VERSION = r"{version:\d{4}-\d{2}}"
_OBJECTS = ("/crm/v3/objects", f"/crm/objects/{_VERSION}")
_PROPERTIES = ("/crm/v3/properties/{kind:contacts|deals}", f"/crm/properties/{_VERSION}/{{kind:contacts|deals}}")
_PIPELINES = ("/crm/v3/pipelines/deals", f"/crm/pipelines/{_VERSION}/deals")
_ASSOCIATIONS = ("/crm/v4/associations/deals/contacts", f"/crm/associations/{_VERSION}/deals/contacts")
_JOINED = ("/crm/v4/objects/deals/{deal}/associations", f"/crm/objects/{_VERSION}/deals/{{deal}}/associations")
_WINDOW = 10.0
_GENEROUS = 100_000  # requests a window that are told where nothing is refused
_DAILY = 650_000


class Hubspot(Emulator):
    """Holds contacts and deals by id.

    Attributes:
        schema: properties, groups and pipelines of the account.
        invalid: lower-case e-mails that fail HubSpot's validation.
        scopes: what the token may do.
        limit: requests in 10 s above which the answer is 429 (HubSpot's plans: 100, 190, 250); None never refuses.
        daily: requests a day above which the answer is 429; None never refuses.
        contacts: by id. ``deals``: by id. ``associations``: pairs of a deal's and a contact's id.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"token": TOKEN}
    course: ClassVar[Mapping[str, Any]] = {"deal": {"pipeline": "education", "dealstage": "enrolled"}}
    featured: ClassVar[Mapping[str, Any]] = {
        "deal": {"dealname": "{course.title}", "amount": "{registration.amount_paid}"},
        "actions": [{"on": "completed", "object": "deal", "fields": {"dealstage": "finished"}}],
    }

    def __init__(self) -> None:
        """Start without records."""
        super().__init__()
        self.schema = Schema()
        self.scopes = {
            f"crm.{what}.{kind}.{way}"
            for what in ("objects", "schemas")
            for kind in ("contacts", "deals")
            for way in ("read", "write")
        }
        self.limit: int | None = None
        self.daily: int | None = None
        self._records: dict[Kind, Records] = {
            "contacts": Records("contacts", self.schema, 512),
            "deals": Records("deals", self.schema, 9001),
        }
        self._associations = Associations(self._records["deals"], self._records["contacts"])
        self.contacts: dict[str, Record] = self._records["contacts"].held
        self.deals: dict[str, Record] = self._records["deals"].held
        self.associations: set[tuple[str, str]] = self._associations.held
        self._calls: deque[float] = deque()
        self._today = 0

    @property
    def invalid(self) -> set[str]:
        """Lower-case e-mails that fail HubSpot's validation."""
        return self._records["contacts"].invalid

    @invalid.setter
    def invalid(self, emails: set[str]) -> None:
        self._records["contacts"].invalid = emails

    @property
    def search_lag(self) -> float:
        """Seconds until a search finds the contacts that were written."""
        return self._records["contacts"].search_lag

    @search_lag.setter
    def search_lag(self, seconds: float) -> None:
        self._records["contacts"].search_lag = seconds

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of the API, once as versions with a number and once as date versions."""
        return [*self._schema_routes(), *self._association_routes(), *self._object_routes()]

    def _object_routes(self) -> Iterator[web.RouteDef]:
        for kind, records in self._records.items():
            read, write = f"crm.objects.{kind}.read", f"crm.objects.{kind}.write"
            for prefix in (f"{one}/{kind}" for one in _OBJECTS):
                yield web.get(prefix, self._guarded(records.show_page, read))
                yield web.post(prefix, self._guarded(records.create, write))
                yield web.post(f"{prefix}/search", self._guarded(records.search, read, counted=False))
                yield web.post(f"{prefix}/batch/upsert", self._guarded(records.batch_upsert, write))
                yield web.post(f"{prefix}/batch/create", self._guarded(records.batch_create, write))
                yield web.post(f"{prefix}/batch/update", self._guarded(records.batch_update, write))
                yield web.get(f"{prefix}/{{id}}", self._guarded(records.read, read))
                yield web.patch(f"{prefix}/{{id}}", self._guarded(records.update, write))

    def _schema_routes(self) -> Iterator[web.RouteDef]:
        read, write, schema = "crm.schemas.{kind}.read", "crm.schemas.{kind}.write", self.schema
        for prefix in _PROPERTIES:
            yield web.get(prefix, self._guarded(schema.list_properties, read))
            yield web.post(prefix, self._guarded(schema.create_property, write))
            yield web.get(f"{prefix}/groups", self._guarded(schema.list_groups, read))
            yield web.post(f"{prefix}/groups", self._guarded(schema.create_group, write))
            yield web.get(f"{prefix}/groups/{{name}}", self._guarded(schema.show_group, read))
            yield web.get(f"{prefix}/{{name}}", self._guarded(schema.show_property, read))
        for path in _PIPELINES:
            yield web.get(path, self._guarded(schema.list_pipelines, "crm.objects.deals.read"))

    def _association_routes(self) -> Iterator[web.RouteDef]:
        read, write, joins = "crm.objects.deals.read", "crm.objects.deals.write", self._associations
        for prefix in _ASSOCIATIONS:
            yield web.post(f"{prefix}/batch/associate/default", self._guarded(joins.batch_join, write))
        for prefix in _JOINED:
            yield web.put(f"{prefix}/default/contacts/{{contact}}", self._guarded(joins.join, write))
            yield web.get(f"{prefix}/contacts", self._guarded(joins.show_joined, read))

    def holdings(self) -> list[Holding]:
        """Return every contact, with its properties other than the e-mail."""
        return [
            Holding(
                "contact", one.email, ", ".join(f"{k}={v}" for k, v in sorted(one.properties.items())), one.id, True
            )
            for one in self.contacts.values()
        ]

    def by_email(self, email: str) -> Record | None:
        """Return the contact with this e-mail, whatever its case."""
        return self._records["contacts"].by("email", email)

    def deal(self, registration_id: int) -> Record | None:
        """Return the deal of a registration, by the key that the bridge gives it."""
        return self._records["deals"].by("bridge_registration_key", f"bridge-registration-{registration_id}")

    def _guarded(self, handler: Handler, scope: str, *, counted: bool = True) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            correlation = str(uuid4())
            try:
                self._admit(request, scope.format_map(request.match_info))
                response = await handler(request)
            except Refusal as refusal:
                body = {**refusal.error, "correlationId": correlation}
                response = web.json_response(body, status=refusal.status)
            response.headers["x-hubspot-correlation-id"] = correlation
            if counted:  # a search tells nothing of the limits
                response.headers.update(self._rate_headers())
            return response

        return guarded

    def _admit(self, request: web.Request, scope: str) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if scope not in self.scopes:
            told = "One or more of the following scopes are required."
            nested = [{"message": told, "context": {"requiredGranularScopes": [scope]}}]
            raise Refusal(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes.", errors=nested)
        now = time.monotonic()
        while self._calls and now - self._calls[0] >= _WINDOW:
            self._calls.popleft()
        if self.daily is not None and self._today >= self.daily:
            raise _limited("DAILY", "You have reached your daily limit.")
        if self.limit is not None and len(self._calls) >= self.limit:
            raise _limited("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")
        self._calls.append(now)
        self._today += 1

    def _rate_headers(self) -> dict[str, str]:
        most = self.limit if self.limit is not None else _GENEROUS
        daily = self.daily if self.daily is not None else _DAILY
        return {
            "X-HubSpot-RateLimit-Daily": str(daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(daily - self._today, 0)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(_WINDOW * 1000)),
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(max(most - len(self._calls), 0)),
        }


def _limited(policy: str, message: str) -> Refusal:
    return Refusal(429, "RATE_LIMITS", message, errorType="RATE_LIMIT", policyName=policy, requestId=str(uuid4()))


EMULATOR: type[Emulator] = Hubspot
