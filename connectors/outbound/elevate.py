"""Elevate LMS by its Registration API and Cancellation API.

Authentication: ``api_key`` in the JSON body. Elevate finds the person by the Unique User ID that is also part of the
SSO set-up, updates or creates the local user, registers the user for the product, and answers ``product_url`` and
``registration_id``. A problem is told as ``error_messages``, by field. No limits and no status codes are published.

Idempotency: a repeated registration of the same user and product answers the same ``registration_id`` (that is how the
bridge itself behaves as a server; the vendor's page says only that the user record is updated), so a grant may be
repeated. A cancellation names the ``registration_id``; one that is gone already is done.

Source: the vendor's pages "Elevate Registration API" and "Registration API" (seeds 001 and 002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr

from bridge.contract.outbound import (
    Explanation,
    Finding,
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

_ERRORS: Mapping[str, Explanation] = {
    **ERRORS,
    "wrong-key": Explanation(
        "Elevate does not accept the API key.",
        "Set `api_key` to the key that stands in Elevate's settings for the Registration API, then resume the lane.",
    ),
    "no-such-product": Explanation(
        "Elevate has no product with this Remote Product ID.",
        "Enter the id in the product's Remote Product ID field at Elevate, or set `remote_product_id` in the course's table"
        " to what stands there; then requeue the delivery.",
    ),
    "learner-refused": Explanation(
        "Elevate does not take the learner's data as they are.",
        "Have the source send the person again with the field corrected, then requeue the delivery.",
    ),
}
_FIELDS: Mapping[str, str] = {
    "product": "no-such-product",
    "remote_product_id": "no-such-product",
    **dict.fromkeys(("email", "firstname", "lastname", "remote_user_id"), "learner-refused"),
}
"""Of a field that Elevate complains of, which error it is."""


class ElevateSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "elevate"``.

    Attributes:
        api_key: the key of the Registration API; one for registrations and cancellations.
        user_id: field path of the Unique User ID; default: the remote user id, else the e-mail.
    """

    base_url: str
    api_key: SecretStr
    user_id: str | None = None


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
        outcome = _failed(answer, problems, "check the key")
        # Refused with words of Elevate's own is refused for the registration's sake, and that is what was asked for.
        return Receipt(note="the key is accepted") if problems and isinstance(outcome, Refused) else outcome

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Return nothing more: Elevate shows its products to nobody, and a registration to find one would be a real one."""
        return []

    async def _register(self, work: Work) -> Outcome:
        learner = work.learner
        if learner.email is None:
            return _ERRORS["no-email"].refused("")
        body: dict[str, Any] = {
            "remote_user_id": self._user_id(work),
            "firstname": learner.first_name,
            "lastname": learner.last_name,
            "email": learner.email,
            "remote_product_id": _course(work).remote_product_id,
            "amount_paid": as_text(work.amount_paid) or "0.00",
        }
        if work.terms.send_email is not None and work.operation is Operation.GRANT:
            body["send_email"] = work.terms.send_email
        answer = await self._post("/api/registrations", body)
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
    return found if isinstance(found, dict) else {}


def _cancelled(answer: Answer, problems: Mapping[str, Any]) -> bool:
    """Say whether a cancellation was taken: the vendor prints no answer to it, so an empty one will do."""
    return answer.ok and not problems and (not answer.body or answer.json is not None)


def _failed(answer: Answer, problems: Mapping[str, Any], what: str) -> Outcome:
    if answer.status >= 500 or answer.status in (408, 425, 429) or not problems:
        if (
            answer.ok or answer.status == 404
        ):  # 2xx that is not the protocol's answer: a proxy's page, or half an answer
            return TryLater(
                f"{what}: HTTP {answer.status} without the expected fields", applied="unknown", cause="outage"
            )
        return judge(answer, what)
    told = "; ".join(f"{field}: {text}" for field, text in problems.items())
    if "api_key" in problems or answer.status in (401, 403):
        return _ERRORS["wrong-key"].needs_operator(f"{what}: {told}", "lane")
    named = next((name for field, name in _FIELDS.items() if field in problems), "refused")
    return _ERRORS[named].refused(f"{what}: {told}")


CONNECTOR: type[OutboundConnector] = Elevate
