"""What HubSpot's answers mean: the table of facts ``outbound/hubspot.md``, 4.3, and every fault that it may tell us."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contract.command import Learner
from bridge.contract.outbound import Explanation, NeedsOperator, Outcome, TryLater
from bridge.kit.answers import ERRORS as USUAL
from bridge.kit.http import Answer
from bridge.kit.masking import BLANK, mask_text

_POLICIES: Mapping[str, float] = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0, "DAILY": 3600.0}
_CREDENTIALS = frozenset({"INVALID_AUTHENTICATION", "EXPIRED_AUTHENTICATION"})
_REFUSALS = frozenset({"VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST", "CONFLICT", "OBJECT_NOT_FOUND", "MISSING_SCOPES"})
_TABLES = "[targets.NAME.contact], [targets.NAME.deal], the course's table or the actions"

ERRORS: Mapping[str, Explanation] = {
    "no-email": USUAL["no-email"],
    "credentials": Explanation(
        "HubSpot does not accept the token.",
        "Set `token` to a service key or private-app token that HubSpot accepts, then resume the lane (`bridge resume`).",
    ),
    "scopes": Explanation(
        "HubSpot's token lacks a scope that this needs.",
        "Give the token the scopes that HubSpot names, in HubSpot's settings, then resume the lane (`bridge resume`).",
    ),
    "wrong-address": Explanation(
        "HubSpot has no such address.",
        "Check `base_url` and `api_version` of the target, then resume the lane (`bridge resume`).",
    ),
    "no-such-property": Explanation(
        "HubSpot does not know a property that the mapping names.",
        f"Create the property at HubSpot (`bridge doctor --fix` does it) or correct {_TABLES}, then requeue the delivery"
        " (`bridge requeue`).",
    ),
    "read-only-property": Explanation(
        "HubSpot lets nobody write a property that the mapping names.",
        f"Take the property out of {_TABLES}, then requeue the delivery (`bridge requeue`).",
    ),
    "no-such-option": Explanation(
        "HubSpot does not know a value that is to be chosen from its list: an option, a pipeline or a stage of deals.",
        f"Use the internal name from HubSpot's list in {_TABLES}, or add the option there, then requeue the delivery"
        " (`bridge requeue`); `bridge doctor` names what there is.",
    ),
    "deal-key": Explanation(
        "HubSpot can't tell our deals apart: the property of `deal_key` is missing, or its values need not be unique.",
        "Run `bridge doctor --fix`, which creates the property, or name another one in `deal_key`; then resume the lane"
        " (`bridge resume`).",
    ),
    "bad-address": Explanation(
        "HubSpot does not take the learner's e-mail address.",
        "Correct the address in the source, or have it send an update; then requeue the delivery (`bridge requeue`).",
    ),
    "refused": Explanation(
        "HubSpot does not take the values as they are.",
        f"Correct the learner's data, or {_TABLES}; then requeue the delivery (`bridge requeue`).",
    ),
}
"""Every fault that a person has to mend, by its short name."""

_MARKS = (
    # INVALID_OPTION and READ_ONLY_VALUE are the names in bodies that integrators published; HubSpot lists none.
    (re.compile(r"non-unique", re.IGNORECASE), "deal-key"),
    (re.compile(r"PROPERTY_DOESNT_EXIST"), "no-such-property"),
    (re.compile(r"READ_ONLY_VALUE"), "read-only-property"),
    (re.compile(r"INVALID_OPTION"), "no-such-option"),
    (re.compile(r"INVALID_EMAIL"), "bad-address"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What HubSpot says is wrong; each field is empty where it doesn't say. Only ``message`` may name a learner."""

    category: str
    message: str
    policy: str
    correlation: str
    scopes: tuple[str, ...]


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def results(answer: Answer) -> list[dict[str, Any]] | None:
    """Return the results of a 2xx that is HubSpot's; None for anything else."""
    said = answer.json if answer.ok else None
    return dicts(said["results"]) if isinstance(said, dict) and isinstance(said.get("results"), list) else None


def record_id(said: Any) -> str:
    """Return the id of a record that HubSpot shows; empty when it shows none."""
    found = said.get("id") if isinstance(said, dict) else None
    return str(found) if isinstance(found, str | int) else ""


def problem(answer: Answer) -> Problem:
    """Read an answer that is no success, or the first error of one that is a success in part."""
    said = answer.json
    whole: dict[str, Any] = said if isinstance(said, dict) else {}
    errors = dicts(whole.get("errors"))
    error = errors[0] if answer.ok and errors else whole
    nested = dicts(error.get("errors"))
    contexts = [part["context"] for part in (error, *nested) if isinstance(part.get("context"), dict)]
    scopes = [context.get("requiredGranularScopes") for context in contexts]
    header = answer.headers.get("x-hubspot-correlation-id")
    correlation = str(error.get("correlationId") or whole.get("correlationId") or header or "")
    return Problem(
        category=str(error.get("category") or error.get("errorType") or "").upper(),
        message="; ".join(str(part["message"]) for part in (error, *nested) if part.get("message")),
        policy=str(error.get("policyName") or "").upper(),
        correlation=correlation if re.fullmatch(r"[\w-]{1,64}", correlation) else "",
        scopes=tuple(str(scope) for several in scopes if isinstance(several, list) for scope in several),
    )


def failed(answer: Answer, what: str, learners: Sequence[Learner] = (), key: str = "") -> Outcome:
    """Return the outcome of an answer that confirms nothing.

    Args:
        answer: as it came.
        what: what was tried, as in "upsert the contact".
        learners: whose data may be quoted in the answer: HubSpot repeats the value that it refuses.
        key: the property that the records are told apart by, where an operator chose it.
    """
    told = problem(answer)
    said = what + shown(answer, learners)
    if (later := _later(answer, told, said)) is not None:
        return later
    return _needs_operator(answer, told, said, key) or ERRORS[cause(told)].refused(said)


def shown(answer: Answer, learners: Sequence[Learner] = ()) -> str:
    """Return an answer in a line: status, category, what it says without learner data, and the id to quote to support."""
    told = problem(answer)
    category = f" {told.category}" if re.fullmatch("[A-Z_]+", told.category) else ""
    message = f": {_masked(told.message, learners)}" if told.message else ""
    scopes = f" ({', '.join(told.scopes)})" if told.scopes else ""
    correlation = f" (correlation id {told.correlation})" if told.correlation else ""
    return f": HTTP {answer.status}{category}{message}{scopes}{correlation}"


def _masked(text: str, learners: Iterable[Learner]) -> str:
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


def _later(answer: Answer, told: Problem, said: str) -> TryLater | None:
    status, hint = answer.status, answer.retry_after
    if status == 429 or told.category in ("RATE_LIMITS", "RATE_LIMIT"):
        after = hint if hint is not None else _POLICIES.get(told.policy)
        return TryLater(said, after, scope="lane", cause="throttled")
    if status == 477:  # the account is being moved to another data centre
        return TryLater(said, hint, scope="lane", cause="throttled")
    if status == 423:
        return TryLater(said, max(hint or 0.0, 2.0), cause="busy")
    if status in (408, 425) or status >= 500 or (answer.ok and not told.category):
        return TryLater(said, hint, applied="unknown", cause="outage")
    if answer.ok and told.category not in _REFUSALS | _CREDENTIALS:  # a member of a 207, for a reason not yet seen
        return TryLater(said, hint, applied="unknown", cause="busy")
    return None


def _needs_operator(answer: Answer, told: Problem, said: str, key: str) -> NeedsOperator | None:
    if answer.status in (401, 407) or told.category in _CREDENTIALS:
        return ERRORS["credentials"].needs_operator(said, "lane")
    if answer.status == 403 or told.category == "MISSING_SCOPES":
        return ERRORS["scopes"].needs_operator(said, "lane")
    if answer.status in (404, 405) or 300 <= answer.status < 400:
        return ERRORS["wrong-address"].needs_operator(said, "lane")
    missing = bool(key) and cause(told) == "no-such-property" and key in told.message
    if missing or cause(told) == "deal-key":  # every deal would fail, and none is to be made without its key
        return ERRORS["deal-key"].needs_operator(said, "lane")
    return None


def cause(told: Problem) -> str:
    """Return which of :data:`ERRORS` a refusal of values is."""
    text = f"{told.category} {told.message}"
    return next((name for mark, name in _MARKS if mark.search(text)), "refused")
