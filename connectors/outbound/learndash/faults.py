"""The faults that WordPress and LearnDash are known to answer, and which answer is which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bridge.contract.outbound import Explanation, NeedsOperator, Outcome, Refused, TryLater
from bridge.kit import answers
from bridge.kit.answers import ERRORS, judge
from bridge.kit.http import Answer
from bridge.kit.masking import excerpt

_SLOWLY = 300.0  # seconds: whoever knocks at once again at a security plug-in is shut out for longer

ERRORS_HERE: Mapping[str, Explanation] = {
    **ERRORS,
    "password": Explanation(
        "WordPress does not accept the user name and the application password.",
        "Make a new application password for the bridge's user and set it as application_password of the target; if it is "
        "right, have the host pass the Authorization header on to WordPress; then run `bridge resume`.",
    ),
    "right": Explanation(
        "The bridge's WordPress user lacks the right to manage users.",
        "Give the user who is set as username the role of an administrator at WordPress, then run `bridge resume`.",
    ),
    "course-right": Explanation(
        "The bridge's WordPress user may not change who is in this course.",
        "Give the user who is set as username the role of an administrator at WordPress, then run `bridge requeue`.",
    ),
    "no-administrator": Explanation(
        "LearnDash has only administrators change who is in a course, and the bridge's WordPress user is none.",
        "Give the user who is set as username the role of an administrator at WordPress, then run `bridge resume`.",
    ),
    "no-learndash": Explanation(
        "WordPress answers, but LearnDash's API is not there.",
        "Turn the LearnDash plug-in on, and in its settings the REST API of the version that api_version names, with the "
        "paths that it comes with; then run `bridge resume`.",
    ),
    "no-api": Explanation(
        "There is no WordPress API at this address.",
        "Correct base_url of the target; for a site without pretty permalinks set rest_route = true; then run "
        "`bridge resume`.",
    ),
    "no-such-course": Explanation(
        "The course that the mapping names does not exist at LearnDash.",
        "Correct course_id in [courses.*], then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "open-course": Explanation(
        "The course is open to everybody, and LearnDash neither enrolls anybody in such a course nor takes anybody out.",
        'Set the course\'s access mode at LearnDash to "closed", then run `bridge requeue`.',
    ),
    "no-such-user": Explanation(
        "The user does not exist at WordPress any more.",
        "Look whether the user was deleted at WordPress meanwhile, then run `bridge requeue`.",
    ),
    "login-taken": Explanation(
        "The user name or e-mail address is in use at WordPress by a user whom the search does not show.",
        "Find that user at WordPress, or add them to this site of the network, then run `bridge requeue`.",
    ),
    "user": Explanation(
        "WordPress does not take the learner's data for a new user.",
        "Have the source correct the learner's name or address, or make the user at WordPress, then run `bridge requeue`.",
    ),
    "person": Explanation(
        "WordPress does not take the learner's changed name or e-mail address.",
        "Correct the user at WordPress, or merge it with the one that has the address, then run `bridge requeue`.",
    ),
    "not-in": Explanation(
        "LearnDash took the request and yet did not let the learner into the course.",
        "Look at the course's settings and limits at LearnDash and enroll the learner by hand, then run `bridge requeue`.",
    ),
    "still-in": Explanation(
        "LearnDash took the request, and the learner is in the course all the same.",
        "Look whether a LearnDash group, the course's access mode or the role of an administrator lets the learner in; then "
        "run `bridge requeue`.",
    ),
}
"""By a short name; the connector's ``errors``."""

_CODES: Mapping[str, str] = {
    "rest_no_route": "no-learndash",
    "ld_rest_cannot_view": "no-administrator",
    "rest_user_invalid_id": "no-such-user",
    "learndash_rest_invalid_user_id": "no-such-user",
    "rest_post_invalid_id": "no-such-course",
    "learndash_rest_invalid_id": "no-such-course",
    "learndash_rest_invalid_course_id": "no-such-course",
    "learndash_rest_rejected_course_open": "open-course",
}
_EVERYWHERE = ("no-learndash", "right", "no-administrator", "password", "no-api")
_TAKEN = ("existing_user_login", "existing_user_email")


class Ended(answers.Ended):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        fault: short name of the fault, where it is a known one.
    """

    def __init__(self, outcome: Outcome, fault: str = "") -> None:
        """Keep the outcome."""
        super().__init__(outcome)
        self.fault = fault

    @property
    def everybodys(self) -> bool:
        """Whether it concerns the whole site."""
        return isinstance(self.outcome, TryLater | NeedsOperator) and self.outcome.scope == "lane"


def garbled(what: str, status: int = 200) -> Ended:
    """Return what a 2xx without the expected fields means: a proxy's page, or half an answer."""
    return Ended(TryLater(f"{what}: HTTP {status} without the expected fields", applied="unknown", cause="outage"))


def code_of(answer: Answer) -> str:
    """Return WordPress' own word for what is wrong; empty for what is no answer of its API."""
    body = answer.json
    return str(body.get("code") or "") if isinstance(body, dict) else ""


def taken(answer: Answer) -> bool:
    """Say whether a user name or address is in use; sites answer that with 400 or with 500."""
    return not answer.ok and code_of(answer) in _TAKEN


def refusal(answer: Answer, what: str, refused: str, of: Literal["user", "course"]) -> Ended:
    """Return what an answer means that is not a success.

    Args:
        answer: as it came.
        what: what was tried.
        refused: short name of the fault that another 4xx is.
        of: whose address was asked: what is missing or forbidden is that.
    """
    said = f"{what}: HTTP {answer.status}, {' '.join(excerpt(answer.text[:4_000], 1_000).split())[:300]}"
    code = code_of(answer)
    if answer.status == 403 and not code:  # a page of a security plug-in or a firewall: we are not let through now
        return Ended(TryLater(said, answer.retry_after or _SLOWLY, scope="lane", cause="outage"))
    if name := _known(answer.status, code, of):
        return Ended(ERRORS_HERE[name].needs_operator(said, "lane" if name in _EVERYWHERE else "delivery"), name)
    outcome = judge(answer, what)
    return Ended(ERRORS_HERE[refused].refused(said) if isinstance(outcome, Refused) else outcome)


def _known(status: int, code: str, of: str) -> str | None:
    if status == 401:
        return "password"
    if status == 403:
        return _CODES.get(code, "right" if of == "user" else "course-right")
    if status == 404:
        fallback = "no-api" if not code else "no-such-user" if of == "user" else "no-such-course"
        return _CODES.get(code, fallback)
    return _CODES.get(code) if status in (400, 406) else None


def rows(body: Any, what: str) -> list[Mapping[str, Any]]:
    """Return a list's objects; a bare number in it is an id."""
    if not isinstance(body, list):
        raise garbled(what)
    return [row if isinstance(row, dict) else {"id": row} for row in body]
