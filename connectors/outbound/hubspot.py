"""HubSpot CRM by its contacts API, v3 or a date version such as 2026-03 (only the paths differ).

Authentication: a static token (service key or legacy private app) as ``Authorization: Bearer``. A 401 is a fault of the
configuration, never a reason to log in again.

Idempotency: ``batch/upsert`` with ``idProperty`` e-mail creates or updates in one call and may be repeated freely; a
``PATCH`` by id writes the same values again. A search lags its writes, so nothing here looks before it writes. Results
of a batch are found by our trace id or by e-mail, never by their order. A batch that HubSpot takes in part (207) or
not at all (400, 409) is sent again contact by contact, which isolates the bad one.

Empty values: HubSpot clears a property that is sent empty. What a sender doesn't know must not wipe what a colleague
typed in, so an empty value is left out, unless the property's template names ``registration.state`` or
``registration.live``: a state that no longer stands behind anything is cleared.

Limits: 100 contacts a batch; 100 requests per 10 s on the smallest plan, of which we take 80 and leave the rest to the
account's other programs; a daily limit.

Source: facts ``outbound/hubspot.md``, sections 2.2, 2.3, 3, 4 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator

from bridge.contract.command import Learner, Order, email_key
from bridge.contract.outbound import (
    CourseView,
    Enrollment,
    Explanation,
    Finding,
    NeedsOperator,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refs,
    Refused,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import ERRORS
from bridge.kit.clock import Clock
from bridge.kit.fields import placeholders, render, stray_brace
from bridge.kit.http import Answer, Http
from bridge.kit.masking import BLANK, mask_text

_ROOTS: Mapping[str, frozenset[str]] = {
    "learner": frozenset(Learner.model_fields),
    "course": frozenset(field.name for field in fields(CourseView)),
    "registration": frozenset(field.name for field in fields(Enrollment)) | {"live"},
    "order": frozenset(Order.model_fields),
}
_STATE = frozenset({"registration.state", "registration.live"})
_POLICIES: Mapping[str, float] = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0, "DAILY": 3600.0}
_CREDENTIALS = frozenset({"INVALID_AUTHENTICATION", "EXPIRED_AUTHENTICATION"})
_REFUSALS = frozenset({"VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST", "CONFLICT", "OBJECT_NOT_FOUND", "MISSING_SCOPES"})
_SCOPES = ("crm.objects.contacts.read", "crm.objects.contacts.write")
_EXISTING_ID = re.compile(r"Existing ID:\s*(\d+)")
_SINGLES_SECONDS = 12.0  # single calls end well before the deadline of a delivery, 25 s


class HubspotSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "hubspot"``.

    Attributes:
        token: service key or private-app token with the scopes crm.objects.contacts.read and .write.
        api_version: ``v3``, or a date version such as ``2026-03``.
        contact: HubSpot property = template of its value. Templates see ``learner``, ``order``, and of the enrollment
            that changed last ``course`` and ``registration``. The e-mail is always sent.
    """

    base_url: str = "https://api.hubapi.com"
    token: SecretStr
    api_version: str = Field(default="v3", pattern=r"^(v3|\d{4}-\d{2})$")
    contact: dict[str, str] = Field(default={"firstname": "{learner.first_name}", "lastname": "{learner.last_name}"})

    @field_validator("contact")
    @classmethod
    def _names_what_there_is(cls, contact: dict[str, str]) -> dict[str, str]:
        faults = [f"{name}: {fault}" for name, template in contact.items() if (fault := _fault(name, template))]
        if faults:
            raise ValueError("; ".join(faults))
        return contact


@dataclass(slots=True)
class _Contact:
    """One person of a batch, on the way to an outcome. ``moved``: id of the contact that has an earlier e-mail."""

    email: str
    trace: str
    properties: dict[str, str]
    learner: Learner
    moved: str | None
    note: str = ""
    outcome: Outcome | None = None

    def is_there(self, remote_id: str, note: str = "") -> None:
        """Settle: HubSpot has it, under this id and this e-mail."""
        notes = "; ".join(part for part in (self.note, note) if part)
        self.outcome = Receipt(Refs(person={"contact": remote_id, "email": self.email}), notes)


class Hubspot:
    """Keeps contacts in HubSpot CRM."""

    Settings: ClassVar[type[TargetSettings]] = HubspotSettings
    Course: ClassVar[type[CourseTable] | None] = None
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.CONTACT: Repeat.KEYED}
    batch_size: ClassVar[int] = 100
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(80, 10.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: HubspotSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        version = settings.api_version
        self._contacts = "/crm/v3/objects/contacts" if version == "v3" else f"/crm/objects/{version}/contacts"

    @classmethod
    def course_for(cls, table: CourseTable, remote_product_id: str) -> CourseTable:
        """Return the table, which is empty: HubSpot needs nothing per course."""
        return table

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Create or update each person's contact; of two with one address the later one is sent, for both."""
        until = self._clock.monotonic() + _SINGLES_SECONDS
        contacts = {email_key(work.learner.email): self._contact(work) for work in batch if work.learner.email}
        people = list(contacts.values())
        stopped = await self._each([one for one in people if one.moved], self._move, until)
        waiting = [one for one in people if one.outcome is None]
        if stopped is not None:
            _settle(waiting, stopped)
        elif waiting:
            await self._upsert(waiting, until)
        return [_outcome(contacts.get(email_key(work.learner.email or ""))) for work in batch]

    async def check(self) -> Outcome:
        """List one contact."""
        answer = await self._send("GET", params={"limit": "1"})
        if _results(answer) is not None:
            return Receipt(note="the token is accepted")
        return _failed(answer, "list contacts")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at nothing else."""
        return []

    def _contact(self, work: Work) -> _Contact:
        learner = work.learner
        address, key = str(learner.email).lower(), email_key(str(learner.email))
        latest = work.enrollments[-1] if work.enrollments else None
        course, order = (latest.course, latest.order) if latest else (None, None)
        roots = {"learner": learner, "course": course, "registration": latest, "order": order}
        told = {
            name: value
            for name, template in self._settings.contact.items()
            if (value := render(template, roots)) or not _STATE.isdisjoint(placeholders(template))
        }
        earlier = work.refs.person.get("email", key)
        moved = work.refs.person.get("contact") if earlier != key else None
        return _Contact(key, work.key, {"email": address, **told}, learner, moved)

    async def _each(
        self, contacts: Sequence[_Contact], act: Callable[[_Contact], Awaitable[None]], until: float
    ) -> Outcome | None:
        """Act on one after the other until the time is up, or until an answer concerns the whole lane: return that."""
        for at, contact in enumerate(contacts):
            if self._clock.monotonic() > until:
                _settle(contacts[at:], TryLater("the batch was split into single calls, and this one's turn is next"))
                return None
            await act(contact)
            outcome = contact.outcome
            if isinstance(outcome, TryLater | NeedsOperator) and outcome.scope == "lane":
                _settle(contacts[at:], outcome)
                return outcome
        return None

    async def _move(self, contact: _Contact) -> None:
        """Give a known contact its new e-mail; where that can't be, leave it to the upsert."""
        answer = await self._send(
            "PATCH", f"/{quote(contact.moved or '', safe='')}", {"properties": contact.properties}
        )
        if remote_id := _id(answer.json if answer.ok else None):
            contact.is_there(remote_id, "the e-mail was changed")
        elif answer.status == 404:
            contact.note = f"contact {contact.moved} is gone"
        elif answer.status == 409:
            contact.note = f"another contact has the new e-mail; contact {contact.moved} was left as it is"
        else:
            contact.outcome = _failed(answer, "change the contact's e-mail", [contact.learner])

    async def _upsert(self, contacts: Sequence[_Contact], until: float) -> None:
        if len(contacts) == 1:
            await self._upsert_one(contacts[0])
            return
        answer = await self._post(contacts)
        left = [contact for contact in contacts if contact.outcome is None]
        if _results(answer) is not None or answer.status in (400, 409):
            await self._each(left, self._upsert_one, until)
        else:
            _settle(left, _failed(answer, "upsert the contacts", [contact.learner for contact in contacts]))

    async def _upsert_one(self, contact: _Contact) -> None:
        answer = await self._post([contact])
        if contact.outcome is not None:
            return
        if answer.status == 409 or _problem(answer).category == "CONFLICT":
            await self._resolve(contact, answer)
        else:
            contact.outcome = _failed(answer, "upsert the contact", [contact.learner])

    async def _resolve(self, contact: _Contact, refusal: Answer) -> None:
        """Update the contact that stands in the way: HubSpot names its id in the message (facts, 4.2)."""
        found = _EXISTING_ID.search(refusal.text)
        address = contact.properties["email"]
        path = f"/{found[1]}" if found else f"/{quote(address, safe='')}"
        # the address may be its second one: it is named only where there is nothing else to say
        told = {name: value for name, value in contact.properties.items() if name != "email"} or {"email": address}
        params = None if found else {"idProperty": "email"}
        answer = await self._send("PATCH", path, {"properties": told}, params=params)
        if remote_id := _id(answer.json if answer.ok else None):
            contact.is_there(remote_id, "the contact was there already")
        elif answer.status == 404:
            contact.outcome = TryLater("upsert the contact: it is in the way and yet not to be found")
        else:
            contact.outcome = _failed(answer, "update the existing contact", [contact.learner])

    async def _post(self, contacts: Sequence[_Contact]) -> Answer:
        """Upsert, and settle those that HubSpot confirms."""
        inputs = [
            {
                "id": contact.properties["email"],
                "idProperty": "email",
                "objectWriteTraceId": contact.trace,
                "properties": contact.properties,
            }
            for contact in contacts
        ]
        answer = await self._send("POST", "/batch/upsert", {"inputs": inputs})
        results = _results(answer) or []
        alone = len(contacts) == len(results) == 1  # a contact found by its second e-mail shows its first
        for result in results:
            contact, remote_id = contacts[0] if alone else _whose(result, contacts), _id(result)
            if contact is not None and remote_id:
                contact.is_there(remote_id, "created" if result.get("new") is True else "")
        return answer

    async def _send(
        self, method: str, path: str = "", body: Any = None, *, params: Mapping[str, str] | None = None
    ) -> Answer:
        token = self._settings.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"}
        return await self._http.send(method, self._contacts + path, json=body, params=params, headers=headers)


def _fault(name: str, template: str) -> str:
    if name == "email":
        return "is always sent; take it out of the table"
    if stray_brace(template):
        return "has a brace too many or too few; expected text with {path} in it"
    for path in placeholders(template):
        root, _, rest = path.partition(".")
        if (known := _ROOTS.get(root)) is None:
            return f"{{{path}}} is not known; a template may name {', '.join(_ROOTS)}"
        if rest.partition(".")[0] not in known:
            return f"{{{path}}} is not known; {root} has {', '.join(sorted(known))}"
    return ""


def _outcome(contact: _Contact | None) -> Outcome:
    if contact is None:
        return Refused("the learner has no e-mail address, and HubSpot needs one", "Send an update with the address.")
    assert contact.outcome is not None  # noqa: S101 - every road above ends in one
    return contact.outcome


def _settle(contacts: Iterable[_Contact], outcome: Outcome) -> None:
    for contact in contacts:
        contact.outcome = outcome


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _results(answer: Answer) -> list[dict[str, Any]] | None:
    """Return the results of a 2xx that is HubSpot's; None for anything else."""
    said = answer.json if answer.ok else None
    return _dicts(said["results"]) if isinstance(said, dict) and isinstance(said.get("results"), list) else None


def _id(said: Any) -> str:
    found = said.get("id") if isinstance(said, dict) else None
    return str(found) if isinstance(found, str | int) else ""


def _whose(result: Mapping[str, Any], contacts: Sequence[_Contact]) -> _Contact | None:
    trace, properties = result.get("objectWriteTraceId"), result.get("properties")
    email = email_key(str(properties.get("email"))) if isinstance(properties, dict) else ""
    by_trace = (contact for contact in contacts if contact.trace == trace)
    return next(by_trace, None) or next((contact for contact in contacts if contact.email == email), None)


@dataclass(frozen=True, slots=True)
class _Problem:
    """What HubSpot says is wrong; each field is empty where it doesn't say. Only ``message`` may name a learner."""

    category: str
    message: str
    policy: str
    correlation: str
    scopes: tuple[str, ...]


def _problem(answer: Answer) -> _Problem:
    said = answer.json
    whole: dict[str, Any] = said if isinstance(said, dict) else {}
    errors = _dicts(whole.get("errors"))
    error = errors[0] if answer.status == 207 and errors else whole
    nested = _dicts(error.get("errors"))
    contexts = [part["context"] for part in (error, *nested) if isinstance(part.get("context"), dict)]
    scopes = [context.get("requiredGranularScopes") for context in contexts]
    header = answer.headers.get("x-hubspot-correlation-id")
    correlation = str(error.get("correlationId") or whole.get("correlationId") or header or "")
    return _Problem(
        category=str(error.get("category") or error.get("errorType") or "").upper(),
        message="; ".join(str(part["message"]) for part in (error, *nested) if part.get("message")),
        policy=str(error.get("policyName") or "").upper(),
        correlation=correlation if re.fullmatch(r"[\w-]{1,64}", correlation) else "",
        scopes=tuple(str(scope) for several in scopes if isinstance(several, list) for scope in several),
    )


def _masked(text: str, learners: Iterable[Learner]) -> str:
    """Blank what we know to be a person's; HubSpot quotes the value that it refuses."""
    values = {
        value
        for one in learners
        for value in (one.email or "", one.first_name, one.last_name, one.phone, *one.attributes.values())
        if value.strip()
    }
    if values:
        longest_first = sorted(values, key=len, reverse=True)
        known = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
        text = re.sub(known, BLANK, text, flags=re.IGNORECASE)
    return " ".join(mask_text(text).split())[:300]


def _failed(answer: Answer, what: str, learners: Sequence[Learner] = ()) -> Outcome:
    """Return the outcome of an answer that confirms nothing: the table of facts, 4.3."""
    problem = _problem(answer)
    category = f" {problem.category}" if re.fullmatch("[A-Z_]+", problem.category) else ""
    message = f": {_masked(problem.message, learners)}" if problem.message else ""
    correlation = f" (correlation id {problem.correlation})" if problem.correlation else ""
    said = f"{what}: HTTP {answer.status}{category}{message}{correlation}"
    return _later(answer, problem, said) or _needs_operator(answer, problem, said) or _refused(problem, said)


def _later(answer: Answer, problem: _Problem, said: str) -> TryLater | None:
    status, hint = answer.status, answer.retry_after
    if status == 429 or problem.category in ("RATE_LIMITS", "RATE_LIMIT"):
        after = hint if hint is not None else _POLICIES.get(problem.policy)
        return TryLater(said, after, scope="lane", cause="throttled")
    if status == 477:  # the account is being moved to another data centre
        return TryLater(said, hint, scope="lane", cause="throttled")
    if status == 423:
        return TryLater(said, max(hint or 0.0, 2.0), cause="busy")
    if status in (408, 425) or status >= 500 or (answer.ok and not problem.category):
        return TryLater(said, hint, applied="unknown", cause="outage")
    if answer.ok and problem.category not in _REFUSALS | _CREDENTIALS:  # a member of a 207, for a reason not yet seen
        return TryLater(said, hint, applied="unknown", cause="busy")
    return None


def _needs_operator(answer: Answer, problem: _Problem, said: str) -> NeedsOperator | None:
    remedy = ""
    if answer.status in (401, 407) or problem.category in _CREDENTIALS:
        remedy = "Set `token` to a service key or private-app token that HubSpot accepts, then resume the lane."
    elif answer.status == 403 or problem.category == "MISSING_SCOPES":
        scopes = ", ".join(problem.scopes or _SCOPES)
        remedy = f"Give the token the scopes {scopes} in HubSpot's settings, then resume the lane."
    elif answer.status in (404, 405) or 300 <= answer.status < 400:
        remedy = "Check `base_url` and `api_version`: HubSpot has no such address. Then resume the lane."
    return NeedsOperator(said, remedy, "lane") if remedy else None


def _refused(problem: _Problem, said: str) -> Refused:
    table = "the `contact` table of this target ([targets.NAME.contact])"
    if "PROPERTY_DOESNT_EXIST" in (problem.category + problem.message):
        return Refused(said, f"Create the property in HubSpot or correct {table}, then requeue the delivery.")
    return Refused(said, f"Correct the learner's data or {table}, then requeue the delivery.")


CONNECTOR: type[OutboundConnector] = Hubspot
