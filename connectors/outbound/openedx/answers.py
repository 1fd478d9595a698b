"""What Open edX answers, and what each answer means for one person of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.contract.outbound import Explanation, Outcome, Receipt, Refs, TryLater, Work
from bridge.kit.answers import ERRORS as KIT_ERRORS
from bridge.kit.answers import judge
from bridge.kit.http import Answer
from bridge.kit.masking import excerpt

_NO_ACCOUNT = "no account yet: the person is enrolled as soon as they register with this address"
_INACTIVE = "the account is not activated yet: the person is enrolled as soon as it is"
NO_END = "Open edX knows no end of an enrolment: the bridge ends access itself"
SHARED = "the address is an earlier one of somebody who holds the course: it stays enrolled until their access ends"
_EARLIER = "the earlier address stays enrolled until access ends"

ERRORS: Mapping[str, Explanation] = {
    **KIT_ERRORS,
    "redirected": Explanation(
        "Open edX redirects the call to another address, and credentials are not carried to where a redirect points.",
        "Set base_url to the address of the LMS itself, or turn final_slash round if only the slash at the end differs, then resume the lane.",
    ),
    "client-refused": Explanation(
        "Open edX does not accept client_id and client_secret.",
        "Compare both with the application in the LMS's admin under Django OAuth Toolkit (grant type: client credentials), then resume the lane.",
    ),
    "not-staff": Explanation(
        "The user behind client_id may not enroll other people.",
        "Make the user of the OAuth application global staff in the LMS's admin, then resume the lane.",
    ),
    "no-bulk-view": Explanation(
        "The address of the bulk enrolment API does not exist at Open edX.",
        "Check base_url and final_slash, have ENABLE_BULK_ENROLLMENT_VIEW set to true in the LMS's settings, then resume the lane.",
    ),
    "no-such-course": Explanation(
        "The course that the mapping names does not exist at Open edX.",
        "Correct course_id in [courses.*] (it looks like course-v1:Org+Number+Run), then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "no-such-user": Explanation(
        "Open edX knows no such person.",
        "Have the person register at Open edX or correct their address or user name at the source, then requeue the delivery.",
    ),
    "bad-identifier": Explanation(
        "Open edX takes the person's identifier neither for an e-mail address nor for the user name of an account.",
        "Correct the address (or the field that user_name names) at the source; the delivery then goes out by itself.",
    ),
    "not-taken": Explanation(
        "Open edX took the call, but neither enrolled the person nor keeps the enrolment for them.",
        "See in the LMS's admin whether the account was retired or its enrolment is blocked, then requeue the delivery.",
    ),
}


@dataclass(frozen=True, slots=True)
class Member:
    """One piece of work; ``identifiers`` are what the person is called, the present one first."""

    place: int
    work: Work
    identifiers: tuple[str, ...]


def rows_of(answer: Answer, course_id: str) -> dict[str, dict[str, Any]] | None:
    """Return the answer's rows by identifier; None when it is not one of this API."""
    body: Any = answer.json
    for name in ("courses", course_id, "results"):
        body = body.get(name) if isinstance(body, dict) else None
    if not isinstance(body, list):
        return None
    return {str(row.get("identifier", row.get("email"))).casefold(): row for row in body if isinstance(row, dict)}


def given(member: Member, rows: Mapping[str, dict[str, Any]], what: str) -> Outcome:
    """Return what the answer to an enrolment means for one person."""
    row = rows.get(member.identifiers[0].casefold())
    if (outcome := _no_state(row, what)) is not None:
        return outcome
    after = row["after"] if row else {}
    notes = [NO_END] if member.work.terms.expires_at else []
    notes += [_EARLIER] if member.identifiers[1:] else []
    if after.get("enrollment") is not True:
        if after.get("allowed") is not True:
            return ERRORS["not-taken"].refused(what)
        notes.insert(0, _INACTIVE if after.get("user") is True else _NO_ACCOUNT)
    return Receipt(_refs(member), "; ".join(notes))


def taken(member: Member, rows: Mapping[str, dict[str, Any]], what: str) -> Outcome:
    """Return what the answer to an unenrolment means for one person, under each of their names."""
    for name in member.identifiers:
        row = rows.get(name.casefold())
        if row is not None and row.get("invalidIdentifier") is True:
            continue  # there is nobody of this name, so nothing to take away
        if (outcome := _no_state(row, what)) is not None:
            return outcome
        after = row["after"] if row else {}
        if after.get("enrollment") is not False or after.get("allowed") is True:
            return TryLater(f"{what}: the person is still enrolled", applied="unknown", cause="busy")
    identifier = member.work.refs.right.get("shared") or member.identifiers[0]
    return Receipt(Refs(right={"identifier": identifier, "former": ""}))


def _no_state(row: Mapping[str, Any] | None, what: str) -> Outcome | None:
    """Return what a row means that does not tell how things are now."""
    if row is None:
        return TryLater(f"{what}: the answer leaves this person out", applied="unknown", cause="outage")
    if row.get("invalidIdentifier") is True:
        return ERRORS["bad-identifier"].refused(what)
    if not isinstance(row.get("after"), dict):
        return TryLater(f"{what}: Open edX met an error with this person", applied="unknown", cause="busy")
    return None


def _refs(member: Member) -> Refs:
    return Refs(right={"identifier": member.identifiers[0], "former": ",".join(member.identifiers[1:])})


def failed(answer: Answer, what: str) -> Outcome:
    """Return what an answer means that is not the one that was hoped for."""
    quoted, status = said(answer, what), answer.status
    if answer.ok:
        return garbled(answer, what)
    if 300 <= status < 400:
        return ERRORS["redirected"].needs_operator(quoted, "lane")
    if status == 403:
        return ERRORS["not-staff"].needs_operator(quoted, "lane")
    if status == 404 and not isinstance(answer.json, dict):  # Django's own page: the address itself is unknown
        return ERRORS["no-bulk-view"].needs_operator(quoted, "lane")
    if status == 404 or (status == 400 and isinstance(answer.json, dict) and "courses" in answer.json):
        return ERRORS["no-such-course"].needs_operator(quoted)
    if status == 406:
        return ERRORS["no-such-user"].refused(quoted)
    return judge(answer, what)


def garbled(answer: Answer, what: str) -> Outcome:
    """Return what a success without the expected fields means: a proxy's page, or half an answer."""
    why = f"{what}: HTTP {answer.status} without the expected fields"
    return TryLater(why, applied="unknown", cause="outage")


def said(answer: Answer, what: str) -> str:
    """Return what was tried and what came back, masked and shortened."""
    return f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 300).split())}"
