"""What Mailchimp's answers mean: its table of errors, in an operator's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.contract.outbound import Explanation, NeedsOperator, Outcome, Receipt, TryLater, Work
from bridge.kit.answers import ERRORS as USUAL
from bridge.kit.answers import judge
from bridge.kit.http import Answer
from bridge.kit.masking import mask_text
from connectors.outbound.mailchimp.plan import Call

ERRORS: Mapping[str, Explanation] = {
    **USUAL,
    "key": Explanation(
        "Mailchimp does not accept the API key, or the key's user may not do this.",
        "Check api_key of the target, its data centre and the role of its user at Mailchimp, then resume the lane.",
    ),
    "no-such-list": Explanation(
        "The audience that the target names does not exist in this Mailchimp account.",
        "Correct list_id of the target (Audience, Settings, Audience name and defaults shows it), then resume the lane.",
    ),
    "no-such-course-list": Explanation(
        "The audience that the course's table names does not exist in this Mailchimp account.",
        "Correct list_id in the course's table for this target, then requeue the delivery.",
    ),
    "compliance-state": Explanation(
        "Mailchimp does not let us subscribe this address: the person left the list, or mail to it bounced.",
        "Leave it so, unless the person wants to come back: then have them use the list's own sign-up form, and requeue.",
    ),
    "forgotten-address": Explanation(
        "This address was deleted from the list for good, and Mailchimp does not let it be imported again.",
        "Leave it so, unless the person wants to come back: then have them use the list's own sign-up form, and requeue.",
    ),
    "bad-address": Explanation(
        "Mailchimp takes the address for a made-up or mistyped one.",
        "Ask the learner for a working address and have the source send an update with it.",
    ),
    "held-back": Explanation(
        "Mailchimp holds the address back, because it has signed up to very many lists of late.",
        "Wait a day or two, then requeue the delivery.",
    ),
    "invalid-data": Explanation(
        "Mailchimp does not take the values of some fields; the reason names them.",
        "Correct the learner's data, or merge_fields and actions of the target, then requeue the delivery.",
    ),
}

OFF_THE_LIST = frozenset({"unsubscribed", "archived", "cleaned"})
_HOURS_LATER = 4 * 3_600.0
_LATE_REPEATS = 2
_FINAL = {
    "Member In Compliance State": "compliance-state",
    "Forgotten Email Not Subscribed": "forgotten-address",
}


def object_of(answer: Answer) -> dict[str, Any]:
    """Return the answer's JSON object; an empty one where it is anything else."""
    return said if isinstance(said := answer.json, dict) else {}


def member_status(answer: Answer) -> str | None:
    """Return the member's status; None when the answer is no member (a problem's ``status`` is a number)."""
    status = object_of(answer).get("status") if answer.ok else None
    return status if isinstance(status, str) else None


def written(answer: Answer, call: Call, default_list: str, work: Work) -> Outcome:
    """Return what came of a member's PUT."""
    what = f"write the member of list {call.list_id}"
    if (status := member_status(answer)) is not None:
        return Receipt(note=f"updated, not subscribed ({status} on list {call.list_id})" * (status in OFF_THE_LIST))
    if answer.status == 404:
        said = f"{identified(answer, what)}: HTTP 404"
        if call.list_id == default_list:
            return ERRORS["no-such-list"].needs_operator(said, "lane")
        return ERRORS["no-such-course-list"].needs_operator(said)
    return failed(answer, what, work)


def taken(answer: Answer, what: str, work: Work) -> Outcome:
    """Return what came of tags or an event: 204 without a body is the rule."""
    if answer.ok and (not answer.body or answer.json is not None):
        return Receipt()
    if answer.status == 404:
        return TryLater(f"{identified(answer, what)}: HTTP 404 right after the member was written", cause="busy")
    return failed(answer, what, work)


def failed(answer: Answer, what: str, work: Work | None = None) -> Outcome:
    """Return the outcome of an answer that is not a success: the vendor's table of errors, else the usual meaning."""
    what, problem = identified(answer, what), answer.json
    if answer.ok:  # 2xx that is not Mailchimp's answer: a proxy's page
        return TryLater(f"{what}: HTTP {answer.status} without the expected JSON", applied="unknown", cause="outage")
    if answer.status == 403 and not isinstance(problem, dict):
        why = f"{what}: HTTP 403 without JSON, which is how the edge says too many requests"
        return TryLater(why, answer.retry_after, scope="lane", cause="throttled")
    if answer.status in (401, 403):
        return ERRORS["key"].needs_operator(f"{what}: HTTP {answer.status}{words(answer)}", "lane")
    if answer.status == 400 and isinstance(problem, dict):
        return _invalid(answer, problem, what, work)
    return judge(answer, what)


def concerns_all(outcome: Outcome) -> bool:
    """Say whether the next request, whoever's it is, would fare no better."""
    if isinstance(outcome, TryLater):
        return outcome.cause != "busy"
    return isinstance(outcome, NeedsOperator) and outcome.scope == "lane"


def is_final(answer: Answer) -> bool:
    """Say whether Mailchimp's word on the address is final, however it is asked."""
    return answer.status == 400 and object_of(answer).get("title") in _FINAL


def identified(answer: Answer, what: str) -> str:
    """Add the id by which Mailchimp's support finds the request; there is no other trace of it."""
    known = answer.headers.get("X-Request-Id") or object_of(answer).get("instance")
    return f"{what} (request {mask_text(str(known))[:80]})" if known else what


def words(answer: Answer) -> str:
    """Return title, detail and field errors of a problem, masked: the details quote the learner's address."""
    problem = object_of(answer)
    parts = [problem.get("title"), problem.get("detail")]
    errors = problem.get("errors")
    parts += [
        f"{error.get('field') or 'resource'}: {error.get('message')}"
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    return "".join(f", {' '.join(mask_text(part).split())[:300]}" for part in parts if isinstance(part, str) and part)


def _invalid(answer: Answer, problem: Mapping[str, Any], what: str, work: Work | None) -> Outcome:
    title, told = problem.get("title"), words(answer)
    said = f"{what}: HTTP 400{told}"
    if "signed up to a lot of lists" in told:
        return _held_back(said, work)
    if "looks fake or invalid" in told:
        return ERRORS["bad-address"].refused(said)
    if isinstance(title, str) and title in _FINAL:  # the detail would only repeat the sentence, and the address
        return ERRORS[_FINAL[title]].needs_operator(f"{what}: HTTP 400 {title}")
    return ERRORS["invalid-data"].refused(said) if title == "Invalid Resource" else judge(answer, what)


def _held_back(said: str, work: Work | None) -> Outcome:
    """Wait for hours, twice at most: other trouble says nothing of the address, and does not count."""
    if work is None:
        return ERRORS["held-back"].refused(said)
    met = sum(_held_back_at(earlier) in work.steps for earlier in range(1, work.attempt))
    if met >= _LATE_REPEATS:
        return ERRORS["held-back"].refused(said)
    return TryLater(said, _HOURS_LATER, cause="busy", steps=frozenset({_held_back_at(work.attempt)}))


def _held_back_at(attempt: int) -> str:
    # By its number, because a requeued delivery counts from 1 again and still has the steps of its former life.
    return f"held-back-{attempt}"
