"""Mailchimp Marketing API 3.0: one member per person and list, with the tags of the person's courses.

Authentication: ``Authorization: Bearer`` with the API key (or an OAuth token). What follows the last ``-`` of the key is
its data centre: the key ``...-us19`` lives at ``https://us19.api.mailchimp.com/3.0``.

Idempotency: a member is addressed by the MD5 of its lower-cased address, and PUT creates or updates it; tags are set by
name. Both may be repeated freely. ``status`` is never sent: it would resubscribe somebody who left. ``status_if_new``
counts for new members only.

Limits: 10 simultaneous connections per user of the account, told as 429, or at the edge as 403 without JSON; no
``Retry-After`` and no quota per second are published. Several bridges or other programs may share the user, hence 4.

Source: facts/outbound/mailchimp.md, which quotes the vendor's pages "Fundamentals" and "Errors" and its contract 3.0.55.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator, model_validator

from bridge.contract.outbound import (
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
from bridge.kit.answers import ERRORS, judge
from bridge.kit.clock import Clock
from bridge.kit.fields import placeholders, render, stray_brace
from bridge.kit.http import Answer, Http
from bridge.kit.masking import mask_text

_ROOTS = ("learner", "course", "registration", "order")
_DATA_CENTRE = re.compile(r".*-([a-z]+[0-9]+)")
_VERSION = "/3.0"
_OFF_THE_LIST = frozenset({"unsubscribed", "archived", "cleaned"})
_HOURS_LATER = 4 * 3_600.0
_LATE_REPEATS = 2

_FINAL: Mapping[str, tuple[str, str]] = {
    "Member In Compliance State": (
        "not subscribed: the person left the list, the address bounced, or Mailchimp reviews it",
        "Nothing to repeat. With fresh consent the list's sign-up form brings the person back; then requeue.",
    ),
    "Forgotten Email Not Subscribed": (
        "not subscribed: the address was deleted for good and can't be imported again",
        "Nothing to repeat. Only the list's sign-up form brings the person back; then requeue.",
    ),
}


class MailchimpSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "mailchimp"``.

    Attributes:
        base_url: default: by the key's data centre. ``/3.0`` is appended where an address given here lacks it.
        concurrency: at most 10, the vendor's limit; default 4, because other programs share it.
        api_key: with its data centre suffix, as in ``...-us19``; an OAuth token needs ``base_url``.
        list_id: the audience that every learner joins.
        status_if_new: what a new member becomes; ``subscribed`` needs consent, ``pending`` asks for it by mail.
        merge_fields: merge tag = template over learner, course, registration and order, of the enrollment that changed
            last. A template that comes out empty is not sent, so that what the list knows already stays.
        skip_merge_validation: take a member although a required merge field is missing.
    """

    api_key: SecretStr
    list_id: str = Field(min_length=1)
    status_if_new: Literal["transactional", "subscribed", "pending", "unsubscribed"] = "transactional"
    merge_fields: dict[str, str] = Field(
        default={"FNAME": "{learner.first_name}", "LNAME": "{learner.last_name}"},
    )
    skip_merge_validation: bool = True
    concurrency: int = Field(default=4, ge=1, le=10)

    @field_validator("merge_fields")
    @classmethod
    def _known_roots(cls, templates: dict[str, str]) -> dict[str, str]:
        for tag, template in templates.items():
            if stray_brace(template):
                raise ValueError(f"{tag} has a brace too many or too few; expected text with {{path}} in it")
        for path in [path for template in templates.values() for path in placeholders(template)]:
            root, _, name = path.partition(".")
            if root not in _ROOTS or not name:
                raise ValueError(f"{{{path}}} names nothing; a template takes fields of {', '.join(_ROOTS)}")
        return templates

    @model_validator(mode="after")
    def _full_address(self) -> Self:
        address = self.base_url.rstrip("/") or self._vendors_address()
        if not address.endswith(_VERSION):
            address += _VERSION
        object.__setattr__(self, "base_url", address)  # frozen for everybody else; the host reads it from here
        return self

    def _vendors_address(self) -> str:
        found = _DATA_CENTRE.fullmatch(self.api_key.get_secret_value().strip())
        if found is None:
            raise ValueError('api_key ends with no data centre such as "-us19"; give the whole key, or set base_url')
        return f"https://{found[1]}.api.mailchimp.com"


class MailchimpCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        tags: what a member is tagged with while in the course.
        list_id: an audience of the course's own, joined besides the target's; the tags then go there.
    """

    tags: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    list_id: str | None = Field(default=None, min_length=1)


class Mailchimp:
    """Keeps list members and their tags in step with enrollments."""

    Settings: ClassVar[type[TargetSettings]] = MailchimpSettings
    Course: ClassVar[type[CourseTable] | None] = MailchimpCourse
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.CONTACT: Repeat.KEYED}
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: MailchimpSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._lenient = {"skip_merge_validation": "true"} if settings.skip_merge_validation else None

    @classmethod
    def course_for(cls, table: MailchimpCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: tags don't depend on the product that was bought."""
        return table

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Bring each person's memberships and tags to what the enrollments say."""
        return [await self._contact(work) for work in batch]

    async def check(self) -> Outcome:
        """Ping: Mailchimp answers it to a good key only."""
        answer = await self._send("GET", "/ping")
        if answer.ok and "health_status" in (_object(answer) or {}):
            return Receipt(note="the key is accepted")
        return _failed(answer, "ping")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at nothing else."""
        return []

    async def _contact(self, work: Work) -> Outcome:
        # No finished call is kept as a step: PUT and tags are harmless to repeat, and what an earlier try wrote may have
        # been an older name or address than the one that is claimed now.
        if work.learner.email is None:
            return Refused("the learner has no e-mail address, and Mailchimp needs one", "Send an update with it.")
        person = self._person(work, work.learner.email)
        notes: list[str] = []
        failed: Outcome | None = None
        for list_id, tags in _lists(work, self._settings.list_id).items():
            outcome = await self._bring(list_id, tags, person)
            if isinstance(outcome, Receipt):
                notes += [outcome.note] if outcome.note else []
            elif _concerns_every_list(outcome):
                return outcome
            elif failed is None or isinstance(outcome, TryLater):  # while one list may yet take it, it is not over
                failed = outcome
        # The ref is given only when every list has the address: until then a repeat must still know the former one.
        return failed or Receipt(Refs(person={"member": person.member}), "; ".join(notes))

    def _person(self, work: Work, email: str) -> _Person:
        latest = work.enrollments[-1] if work.enrollments else None
        roots = {
            "learner": work.learner,
            "course": latest and latest.course,
            "registration": latest,
            "order": latest and latest.order,
        }
        rendered = {tag: render(template, roots) for tag, template in self._settings.merge_fields.items()}
        member = subscriber_hash(email)
        known = work.refs.person.get("member", member)
        return _Person(
            address=email.strip(),
            member=member,
            former=known if known != member else None,
            fields={tag: value for tag, value in rendered.items() if value},
            attempt=work.attempt,
            held_back=sum(_held_back_at(earlier) in work.steps for earlier in range(1, work.attempt)),
        )

    async def _bring(self, list_id: str, tags: Mapping[str, str], person: _Person) -> Outcome:
        moved = await self._move(list_id, person)
        if not isinstance(moved, Receipt):
            return moved
        written = await self._put(list_id, person)
        if not isinstance(written, Receipt):
            return written
        if tags:
            tagged = await self._tag(list_id, tags, person)
            if not isinstance(tagged, Receipt):
                return tagged
        return Receipt(note="; ".join(note for note in (moved.note, written.note) if note))

    async def _move(self, list_id: str, person: _Person) -> Outcome:
        """Give the member of the former address the new one, so that its history and tags come along."""
        if person.former is None:
            return Receipt()
        body = {"email_address": person.address}
        answer = await self._send("PATCH", _path(list_id, person.former), body, self._lenient)
        if _status(answer) is not None or answer.status == 404:
            return Receipt()
        if answer.status == 400:  # the new address is a member already, or is refused, which the PUT will tell
            return Receipt(note=f"the former address stays on list {list_id}")
        return _failed(answer, f"change the member's address on list {list_id}", person)

    async def _put(self, list_id: str, person: _Person) -> Outcome:
        body: dict[str, Any] = {"email_address": person.address, "status_if_new": self._settings.status_if_new}
        if person.fields:
            body["merge_fields"] = person.fields
        answer = await self._send("PUT", _path(list_id, person.member), body, self._lenient)
        what = f"write the member of list {list_id}"
        if (status := _status(answer)) is not None:
            return Receipt(note=f"updated, not subscribed ({status} on list {list_id})" * (status in _OFF_THE_LIST))
        if answer.status == 404:
            why = f"{_identified(answer, what)}: HTTP 404, there is no such list"
            if list_id == self._settings.list_id:
                return NeedsOperator(why, "Correct list_id of the target, then resume the lane.", "lane")
            return NeedsOperator(why, "Correct list_id of the course's table, then requeue the delivery.")
        return _failed(answer, what, person)

    async def _tag(self, list_id: str, tags: Mapping[str, str], person: _Person) -> Outcome:
        path = f"{_path(list_id, person.member)}/tags"
        body = {"tags": [{"name": name, "status": status} for name, status in tags.items()]}
        answer = await self._send("POST", path, body)
        if answer.status == 404:  # deleted since the PUT
            written = await self._put(list_id, person)
            if not isinstance(written, Receipt):
                return written
            answer = await self._send("POST", path, body)
        if answer.ok and (not answer.body or answer.json is not None):  # 204 without a body is the rule
            return Receipt()
        what = f"tag the member of list {list_id}"
        if answer.status == 404:
            return TryLater(f"{_identified(answer, what)}: HTTP 404 right after the member was written", cause="busy")
        return _failed(answer, what, person)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._settings.api_key.get_secret_value().strip()}"}
        return await self._http.send(method, path, json=body, params=params, headers=headers)


@dataclass(frozen=True, slots=True)
class _Person:
    """What one delivery brings to each list.

    ``former`` is the hash of the address that a list may still have, ``held_back`` how many tries met Mailchimp's word
    that the address has signed up to too many lists; other trouble says nothing of the address, and does not count.
    """

    address: str
    member: str
    former: str | None
    fields: Mapping[str, str]
    attempt: int
    held_back: int


def subscriber_hash(email: str) -> str:
    """Return the id of an address on every list: the MD5 of its lower-cased form, in hex."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def _lists(work: Work, default: str) -> dict[str, dict[str, str]]:
    """Return for each list what becomes of each tag; one that any live enrollment has stays active."""
    wanted: dict[str, dict[str, str]] = {default: {}}
    for enrollment in work.enrollments:
        if not isinstance(table := enrollment.table, MailchimpCourse):
            continue
        tags = wanted.setdefault(table.list_id or default, {})
        for tag in table.tags:
            if enrollment.live:
                tags[tag] = "active"
            elif enrollment.state != "pending":  # that one has not ended, it has not begun
                tags.setdefault(tag, "inactive")
    return wanted


def _concerns_every_list(outcome: Outcome) -> bool:
    if isinstance(outcome, TryLater):
        return outcome.cause != "busy"
    return isinstance(outcome, NeedsOperator) and outcome.scope == "lane"


def _path(list_id: str, member: str) -> str:
    return f"/lists/{quote(list_id, safe='')}/members/{quote(member, safe='')}"


def _object(answer: Answer) -> dict[str, Any] | None:
    return said if isinstance(said := answer.json, dict) else None


def _status(answer: Answer) -> str | None:
    """Return the member's status; None when the answer is no member (a problem's ``status`` is a number)."""
    status = (_object(answer) or {}).get("status") if answer.ok else None
    return status if isinstance(status, str) else None


def _identified(answer: Answer, what: str) -> str:
    """Add the id by which Mailchimp's support finds the request; there is no other trace of it."""
    known = answer.headers.get("X-Request-Id") or (_object(answer) or {}).get("instance")
    return f"{what} (request {mask_text(str(known))[:80]})" if known else what


def _held_back_at(attempt: int) -> str:
    # By its number, because a requeued delivery counts from 1 again and still has the steps of its former life.
    return f"held-back-{attempt}"


def _failed(answer: Answer, what: str, person: _Person | None = None) -> Outcome:
    """Return the outcome of an answer that is not a success: the vendor's table of errors, else the usual meaning."""
    what, problem = _identified(answer, what), _object(answer)
    if answer.ok:  # 2xx that is not Mailchimp's answer: a proxy's page
        return TryLater(f"{what}: HTTP {answer.status} without the expected JSON", applied="unknown", cause="outage")
    if answer.status == 403 and problem is None:
        why = f"{what}: HTTP 403 without JSON, which is how the edge says too many requests"
        return TryLater(why, answer.retry_after, scope="lane", cause="throttled")
    if answer.status in (401, 403):
        remedy = "Check api_key, its data centre and the rights of its user, then resume the lane."
        return NeedsOperator(f"{what}: HTTP {answer.status}{_words(problem or {})}", remedy, "lane")
    if answer.status == 400 and problem is not None:
        return _invalid(answer, problem, what, person)
    return judge(answer, what)


def _invalid(answer: Answer, problem: Mapping[str, Any], what: str, person: _Person | None) -> Outcome:
    title, words = problem.get("title"), _words(problem)
    why = f"{what}: HTTP 400{words}"
    if "signed up to a lot of lists" in words:
        if person is not None and person.held_back < _LATE_REPEATS:
            return TryLater(why, _HOURS_LATER, cause="busy", steps=frozenset({_held_back_at(person.attempt)}))
        return Refused(why, "Mailchimp holds the address back for now. Requeue the delivery in a day or two.")
    if "looks fake or invalid" in words:
        return Refused(why, "Ask the learner for a working address and send an update with it.")
    if isinstance(title, str) and title in _FINAL:
        meaning, remedy = _FINAL[title]
        return Refused(f"{what}: HTTP 400 {title}: {meaning}", remedy)
    if title == "Invalid Resource":
        return Refused(why, "Correct the named fields: the learner's data or merge_fields. Then requeue the delivery.")
    return judge(answer, what)


def _words(problem: Mapping[str, Any]) -> str:
    """Return title, detail and field errors of a problem, masked: the details quote the learner's address."""
    parts = [problem.get("title"), problem.get("detail")]
    errors = problem.get("errors")
    parts += [
        f"{error.get('field') or 'resource'}: {error.get('message')}"
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    return "".join(f", {' '.join(mask_text(part).split())[:300]}" for part in parts if isinstance(part, str) and part)


CONNECTOR: type[OutboundConnector] = Mailchimp
