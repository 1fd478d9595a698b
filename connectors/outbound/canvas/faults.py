"""The faults that Canvas is known to answer, and which answer is which."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from bridge.contract.outbound import Explanation, Outcome, Refused, TryLater
from bridge.contract.settings import Rate
from bridge.kit import answers
from bridge.kit.answers import ERRORS, judge
from bridge.kit.http import Answer
from bridge.kit.masking import excerpt

PACE = Rate(150, 15.0)
"""Ten units a second run out of the bucket: 150 in the time in which an empty one becomes usable again."""
COMFORTABLE = 150.0
"""Units left from which on nobody needs to slow down: three requests, each charged 50 until its real cost is known."""
_CHARGE = 50.0
_REGAINED = 10.0  # units a second

ERRORS_HERE: Mapping[str, Explanation] = {
    **ERRORS,
    "token": Explanation(
        "Canvas does not accept the access token: it is wrong, expired or revoked.",
        "Make a new access token for the bridge's user at Canvas, set it as token of the target, and run `bridge resume`.",
    ),
    "right": Explanation(
        "The user of the access token lacks a right at Canvas that this needs.",
        "Give that user's role at Canvas the rights that `bridge doctor` names, then run `bridge requeue`.",
    ),
    "no-api": Explanation(
        "There is no Canvas at this address: something else answered that the page does not exist.",
        "Correct base_url of the target to the school's own address, then run `bridge resume`.",
    ),
    "no-such-account": Explanation(
        "The account that the settings name does not exist at Canvas.",
        "Correct account_id of the target, then run `bridge resume`.",
    ),
    "no-such-course": Explanation(
        "The course or the section that the mapping names does not exist at Canvas, or takes no users of this account.",
        "Correct course_id and section_id in [courses.*], then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "concluded": Explanation(
        "The course is concluded at Canvas and takes nobody any more.",
        "Extend the course's or its term's dates at Canvas or map another course_id, then run `bridge requeue`.",
    ),
    "role": Explanation(
        "The course at Canvas knows no such enrollment type or role, or the role is not of that type.",
        "Correct enrollment_type and role_id in [courses.*], then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "no-login": Explanation(
        "The learner's data leave the login empty that the settings make of them.",
        "Choose another login template for the target or have the source send the field, then run `bridge requeue`.",
    ),
    "sis-conflict": Explanation(
        "Canvas knows the learner's login or e-mail address under another SIS id.",
        "Correct the user's SIS id or login at Canvas, or sis_user_id of the target, then run `bridge requeue`.",
    ),
    "not-adopted": Explanation(
        "Canvas has a user with the learner's login or e-mail address and without a SIS id.",
        "Give that user the SIS id at Canvas, or set adopt_existing of the target, then run `bridge requeue`.",
    ),
    "several-users": Explanation(
        "Canvas has more than one user with the learner's e-mail address.",
        "Merge those users at Canvas, or set sis_user_id of the target, then run `bridge requeue`.",
    ),
    "login-taken": Explanation(
        "The login or SIS id is in use at Canvas by a user whom the bridge can not find, perhaps one of another account.",
        "Find that user at Canvas and free the login or move the user into the account, then run `bridge requeue`.",
    ),
    "user": Explanation(
        "Canvas does not take the learner's data for a new user.",
        "Have the source correct the learner's name or address, or create the user at Canvas, then run `bridge requeue`.",
    ),
    "person": Explanation(
        "Canvas does not take the learner's changed name or e-mail address; access is as it should be.",
        "Correct the user at Canvas by hand, then run `bridge requeue` or leave the delivery.",
    ),
    "revoke": Explanation(
        "Canvas does not take the enrollment away.",
        "End the enrollment at Canvas by hand, then run `bridge requeue`.",
    ),
}
"""By a short name; the connector's ``errors``."""

_BY_MESSAGE = {
    "concluded course": "concluded",
    "invalid type": "role",
    "invalid role": "role",
    "inactive role": "role",
    "base_type": "role",
    "base type": "role",
}
"""Part of an enrollment's 400 message (older versions: 403), in lower case, and the fault that it means."""


class Ended(answers.Ended):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        gone: whether Canvas said that something in the address does not exist: perhaps an id that was remembered.
    """

    def __init__(self, outcome: Outcome, *, gone: bool = False) -> None:
        """Keep the outcome."""
        super().__init__(outcome)
        self.gone = gone


def garbled(what: str) -> Ended:
    """Return what a 2xx without the expected fields means: a proxy's page, or half an answer."""
    return Ended(TryLater(f"{what}: HTTP 200 without the expected fields", applied="unknown", cause="outage"))


def units_left(answer: Answer) -> float | None:
    """Return how full the token's bucket is, as Canvas tells with each answer."""
    try:
        units = float(answer.headers.get("X-Rate-Limit-Remaining", ""))
    except ValueError:
        return None
    return units if isfinite(units) else None


def requests_left(units: float) -> int:
    """Return how many requests may be made in the next :data:`PACE` window when the bucket is nearly used up."""
    return max(0, int((units - _CHARGE) / _REGAINED))


def not_found(answer: Answer) -> bool:
    """Say whether Canvas itself says that it is not there; another 404 is some proxy's, and tells nothing."""
    return answer.status == 404 and isinstance(answer.json, dict) and "errors" in answer.json


def taken(answer: Answer) -> bool:
    """Say whether a login or SIS id is in use already."""
    return answer.status == 400 and any(
        fault.get("type") == "taken" or "already in use" in str(fault.get("message", ""))
        for fault in _objects(answer.json)
    )


def refusal(answer: Answer, what: str, missing: str, refused: str) -> Ended:
    """Return what an answer means that is not a success.

    Args:
        answer: as it came.
        what: what was tried.
        missing: short name of the fault that Canvas' 404 is.
        refused: short name of the fault that another 4xx is.
    """
    said = f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 1_000).split())[:300]}"
    if _throttled(answer):
        return Ended(TryLater(said, _pause(answer), scope="lane", cause="throttled"))
    if answer.status == 404:
        if not not_found(answer):
            return Ended(ERRORS_HERE["no-api"].needs_operator(said, "lane"))
        everywhere = missing == "no-such-account"
        return Ended(ERRORS_HERE[missing].needs_operator(said, "lane" if everywhere else "delivery"), gone=True)
    if known := _known(answer):
        return Ended(ERRORS_HERE[known].needs_operator(said, "lane" if known == "token" else "delivery"))
    outcome = judge(answer, what)
    return Ended(ERRORS_HERE[refused].refused(said) if isinstance(outcome, Refused) else outcome)


def _throttled(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status == 403 and "Rate Limit Exceeded" in answer.text[:1_000])


def _pause(answer: Answer) -> float | None:
    # Canvas sends no Retry-After; how long it takes follows from the bucket, where it tells that.
    units = units_left(answer)
    if answer.retry_after is not None or units is None:
        return answer.retry_after
    return max(0.0, (COMFORTABLE - units) / _REGAINED)


def _known(answer: Answer) -> str | None:
    said = answer.text[:4_000].lower()
    if answer.status == 401 and "WWW-Authenticate" in answer.headers:
        return "token"
    if answer.status in (400, 403):
        for part, name in _BY_MESSAGE.items():
            if part in said:
                return name
    if answer.status in (401, 403) and ("not authorized" in said or '"unauthorized"' in said):
        return "right"
    return "token" if answer.status == 401 else None


def _objects(value: Any, depth: int = 0) -> list[Mapping[str, Any]]:
    """Return every object in a JSON value, at a sensible depth."""
    if depth > 6 or not isinstance(value, dict | list):
        return []
    below = value.values() if isinstance(value, dict) else value
    found = [one for item in below for one in _objects(item, depth + 1)]
    return [value, *found] if isinstance(value, dict) else found
