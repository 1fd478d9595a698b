"""Elevate LMS by its Registration API and Cancellation API.

Authentication: ``api_key`` in the JSON body. Elevate finds the person by the Unique User ID that is also part of the
SSO set-up, updates or creates the local user, registers the user for the product, and answers ``product_url`` and
``registration_id``. A problem is told as ``error_messages``, by field. No limits and no status codes are published.

What it can't do: no address lists products, people or registrations, so ``bridge doctor`` can't look up a mapped product
without registering somebody for it. It asks both APIs for nothing, and hears by the answer that they are there.

Idempotency: a repeated registration of the same user and product answers the same ``registration_id`` (that is how the
bridge itself behaves as a server; the vendor's page says only that the user record is updated), so a grant may be
repeated. A cancellation names the ``registration_id``; one that is gone already is done.

Not confirmed by any source we have: the names under ``error_messages`` other than ``product``, and the statuses that come
with them.

Source: the vendor's pages "Elevate Registration API" and "Registration API" (seeds 001 and 002).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from bridge.contract.command import Learner
from bridge.contract.mail import NoticeKind
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
from bridge.kit.fields import as_text, value_at
from bridge.kit.http import Answer, Http
from bridge.kit.masking import excerpt, secret_name

_ERRORS: Mapping[str, Explanation] = {
    **ERRORS,
    "api-key": Explanation(
        "Elevate does not accept the API key.",
        "Set api_key of the target to the key that Elevate shows for its Registration API, then resume the lane.",
    ),
    "no-such-product": Explanation(
        "Elevate has no product whose Remote Product ID is the one that was sent.",
        "Enter the id in the Remote Product ID field of the product at Elevate, then requeue the delivery; or"
        " correct remote_product_id in the course's table, then run `bridge reload` and `bridge replay` with the purchase's"
        " event.",
    ),
    "no-user-id": Explanation(
        "The learner has no value in the field that user_id of the target names, and Elevate knows people by it.",
        "Have the source send the field, or set user_id to a field that every learner has, then requeue the delivery.",
    ),
    "person-refused": Explanation(
        "Elevate does not take the person's data.",
        "Correct the person's data at the source and have it send an update; the delivery then goes out by itself.",
    ),
    "registration-refused": Explanation(
        "Elevate refuses the registration or its cancellation, in words that this connector does not know.",
        "Read what Elevate said; correct the mapping or the learner, then requeue the delivery.",
    ),
}
_ELSEWHERE = "Check base_url: at this address something else than Elevate answers, or Elevate is out of order."
_KEY = re.compile(r"api.?key", re.IGNORECASE)
_PERSON = frozenset({"remote_user_id", "firstname", "lastname", "email"})
_PRODUCT = frozenset({"product", "remote_product_id"})


class ElevateSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "elevate"``.

    Attributes:
        api_key: the key of the Registration API; one for registrations and cancellations.
        user_id: field path of the Unique User ID; default: the remote user id, else the e-mail.
    """

    base_url: str
    api_key: SecretStr
    user_id: str | None = None

    @field_validator("user_id")
    @classmethod
    def _of_the_learner(cls, path: str | None) -> str | None:
        if path is None:
            return None
        root, _, rest = path.partition(".")
        name, _, below = rest.partition(".")
        if root == "learner" and name in Learner.model_fields and bool(below) == (name == "attributes"):
            return path
        msg = 'expected a field of the learner, such as "learner.remote_user_id" or "learner.attributes.member_number"'
        raise ValueError(msg)


class ElevateCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        remote_product_id: the Remote Product ID field of the Elevate product; default: the one that was bought.
    """

    remote_product_id: str = Field(default="")


class Elevate:
    """Registers and cancels at Elevate LMS."""

    Settings: ClassVar[type[TargetSettings]] = ElevateSettings
    Course: ClassVar[type[CourseTable] | None] = ElevateCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "user_id"
    mails: ClassVar[frozenset[NoticeKind]] = frozenset(
        {NoticeKind.ACCESS, NoticeKind.CANCELLED_USER, NoticeKind.CANCELLED_ADMIN}
    )
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.ASSUMED,
        Operation.UPDATE: Repeat.ASSUMED,
        Operation.REVOKE: Repeat.KEYED,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = _ERRORS

    def __init__(self, settings: ElevateSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http

    @classmethod
    def course_for(cls, table: ElevateCourse, remote_product_id: str) -> CourseTable:
        """Fill in the product that was bought where the table names none."""
        return ElevateCourse(remote_product_id=table.remote_product_id or remote_product_id)

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Register, register again (an update), or cancel."""
        return [
            await self._cancel(work) if work.operation is Operation.REVOKE else await self._register(work)
            for work in batch
        ]

    async def check(self) -> Outcome:
        """Ask for the cancellation of registration 0: a good key is told that it is not there, in whatever field."""
        answer = await self._post("/registrations/cancel", {"registration_id": 0})
        problems = _problems(answer)
        if _cancelled(answer, problems):
            return Receipt(note="the key is accepted")
        outcome = _failed(answer, problems, "ask the Cancellation API")
        # Refused with words of Elevate's own is refused for the registration's sake, and that is what was asked for.
        return Receipt(note="the key is accepted") if problems and isinstance(outcome, Refused) else outcome

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Send the Registration API a key and nothing to register: it refuses, and so shows that it takes the key.

        :meth:`check` spoke to the Cancellation API, which has another address. Products can't be looked up.
        """
        answer = await self._post("/api/registrations", {})
        problems = _problems(answer)
        outcome = _failed(answer, problems, "ask the Registration API")
        if isinstance(outcome, Refused) and problems:
            return [Finding("Registration API", ok=True, said="answers, and accepts the key")]
        remedy = _ELSEWHERE if isinstance(outcome, TryLater) else outcome.remedy
        return [Finding("Registration API", ok=False, said=outcome.why, remedy=remedy)]

    async def _register(self, work: Work) -> Outcome:
        if work.learner.email is None:
            return _ERRORS["no-email"].refused("")
        if not (user_id := self._user_id(work)):
            return _ERRORS["no-user-id"].refused(f"user_id is {self._settings.user_id}")
        answer = await self._post("/api/registrations", _registration(work, user_id))
        said = answer.json
        number = _number(said.get("registration_id")) if answer.ok and isinstance(said, dict) else None
        if number is not None:
            return Receipt(Refs(right={"registration": number}))
        return _failed(answer, _problems(answer), "register the learner")

    async def _cancel(self, work: Work) -> Outcome:
        known = None if work.unknown else work.refs.right.get("registration")
        if known is None:  # an answer was lost, and with it the newest id: registering once more is what tells it
            registered = await self._register(work)
            if not isinstance(registered, Receipt):
                return registered
            known = registered.refs.right["registration"]
        refs = Refs(right={"registration": known})
        body: dict[str, Any] = {"registration_id": int(known) if known.isdigit() else known}
        if (texts := work.cancellation) is not None:
            wanted = {
                "cancellations_email": texts.admin_email,
                "cancellation_explanation": texts.admin_text,
                "notify_cancelled_user": texts.notify_learner,
                "cancellation_explanation_for_user": texts.learner_text,
            }
            body |= {name: value for name, value in wanted.items() if value is not None}
        answer = await self._post("/registrations/cancel", body)
        problems = _problems(answer)
        if "registration" in problems:  # said by Elevate itself; another 404 is some proxy's, and tells nothing
            return Receipt(refs, "the registration was gone already")
        if _cancelled(answer, problems):
            return Receipt(refs)
        return _failed(answer, problems, "cancel the registration")

    def _user_id(self, work: Work) -> str:
        if self._settings.user_id:
            return as_text(value_at(self._settings.user_id, {"learner": work.learner}))
        return work.learner.remote_user_id or work.learner.email or ""

    async def _post(self, path: str, body: Mapping[str, Any]) -> Answer:
        return await self._http.send("POST", path, json={"api_key": self._settings.api_key.get_secret_value(), **body})


def _registration(work: Work, user_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "remote_user_id": user_id,
        "firstname": work.learner.first_name,
        "lastname": work.learner.last_name,
        "email": work.learner.email,
        "remote_product_id": _course(work).remote_product_id,
        "amount_paid": as_text(work.amount_paid) or "0.00",
    }
    if work.terms.send_email is not None and work.operation is Operation.GRANT:
        body["send_email"] = work.terms.send_email
    return body


def _course(work: Work) -> ElevateCourse:
    assert isinstance(work.course, ElevateCourse)  # noqa: S101 - course_for made it
    return work.course


def _number(value: object) -> str | None:
    """Return a registration id as text, or None for what is no id."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if text.isascii() and text.isdigit() else None


def _problems(answer: Answer) -> Mapping[str, Any]:
    said = answer.json
    found = said.get("error_messages") if isinstance(said, dict) else None
    if not found or isinstance(found, dict):
        return found or {}
    text = " ".join(map(str, found)) if isinstance(found, list) else str(found)  # words without fields are a no as well
    return {"api_key" if _KEY.search(text) else "message": text}


def _cancelled(answer: Answer, problems: Mapping[str, Any]) -> bool:
    """Say whether a cancellation was taken: the vendor prints no answer to it, so an empty one will do."""
    said = answer.json
    no = said is False or (isinstance(said, dict) and said.get("success") is False)
    return answer.ok and not problems and not no and (not answer.body or said is not None)


def _failed(answer: Answer, problems: Mapping[str, Any], what: str) -> TryLater | NeedsOperator | Refused:
    if answer.status >= 500 or answer.status in (408, 425, 429) or not problems:
        if answer.ok or answer.status == 404:  # a proxy's page, or half an answer
            why = f"{what}: HTTP {answer.status} without the expected fields"
            return TryLater(why, applied="unknown", cause="outage")
        return judge(answer, what)  # type: ignore[return-value] # it never returns a receipt
    told = f"{what}: " + excerpt("; ".join(_told(field, text) for field, text in problems.items()), 300)
    if "api_key" in problems or answer.status in (401, 403):
        return _ERRORS["api-key"].needs_operator(told, "lane")
    if not _PRODUCT.isdisjoint(problems):
        return _ERRORS["no-such-product"].refused(told)
    return _ERRORS["registration-refused" if _PERSON.isdisjoint(problems) else "person-refused"].refused(told)


def _told(field: str, text: Any) -> str:
    """Return a refusal with the field it is about; after the name of a secret, masking would take the text for its value."""
    return str(text) if secret_name(field) else f"{field}: {text}"


CONNECTOR: type[OutboundConnector] = Elevate
