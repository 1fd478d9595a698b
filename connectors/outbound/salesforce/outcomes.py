"""Which answer of Salesforce is which outcome: first by its error code, then by its HTTP status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Outcome, Receipt, Refs, Refused, TryLater, Work
from bridge.kit.answers import judge
from bridge.kit.http import Answer
from bridge.kit.masking import BLANK, mask_text
from connectors.outbound.salesforce.session import LIMIT_PAUSE

_UNEXPLAINED_TRIES = 3
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CLASHING_FIELD = re.compile(r"duplicate value found: (\w+) duplicates")
_CONFIGURATION = ("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "FORBIDDEN")
_REPEATING_VALUES = (  # their messages quote what was sent, so only code and fields are shown
    "INVALID_EMAIL_ADDRESS",
    "STRING_TOO_LONG",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "INVALID_TYPE",
    "JSON_PARSER_ERROR",
)


class Problem(NamedTuple):
    """One member of an error array: of a single call (``errorCode``) or of a collections call (``statusCode``)."""

    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    duplicates: Mapping[str, Any] = {}


def problem_of(errors: Any) -> Problem:
    """Return the first member of an error array; an empty problem when ``errors`` is none."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return Problem()
    fields = first.get("fields")
    found = first.get("duplicateResut") or first.get("duplicateResult")  # the vendor's own spelling comes first
    return Problem(
        str(first.get("errorCode") or first.get("statusCode") or ""),
        str(first.get("message") or ""),
        tuple(map(str, fields)) if isinstance(fields, list) else (),
        found if isinstance(found, dict) else {},
    )


def problem_of_item(result: Any) -> Problem:
    """Return the first error of one result of a collections call."""
    return problem_of(result.get("errors")) if isinstance(result, dict) else Problem()


def only_match(duplicates: Mapping[str, Any]) -> str | None:
    """Return the id of the one contact that a duplicate rule matched, with full confidence; None for any doubt."""
    found: dict[str, bool] = {}
    for result in duplicates.get("matchResults") or ():
        for match in result.get("matchRecords") or ():
            record = match.get("record") or {}
            contact = (record.get("attributes") or {}).get("type") == "Contact"
            found[str(record.get("Id"))] = contact and match.get("matchConfidence") == 100
    if len(found) != 1:
        return None
    ((only, sure),) = found.items()
    return only if sure and _RECORD_ID.fullmatch(only) else None


def stops_the_lane(outcome: Outcome) -> bool:
    """Say whether the next call would surely fare no better."""
    if isinstance(outcome, TryLater):
        return outcome.scope == "lane" or outcome.cause == "outage"
    return isinstance(outcome, NeedsOperator) and outcome.scope == "lane"


def worth_splitting(answer: Answer, outcome: Outcome) -> bool:
    """Say whether single calls would fare better than the collections call did: its fault may be one record's."""
    if answer.status == 404 or problem_of(answer.json).code == "UNKNOWN_EXCEPTION":
        return True
    return 400 <= answer.status < 500 and not stops_the_lane(outcome)


def unreadable(answer: Answer, what: str) -> Outcome:
    """Return the outcome of a 2xx that is not the protocol's: a proxy's page, or half an answer."""
    return TryLater(f"{what}: HTTP {answer.status} without the expected fields", applied="unknown", cause="outage")


@dataclass(frozen=True, slots=True)
class Table:
    """The table of outcomes, for an org whose contacts are found by ``external_id``."""

    external_id: str

    def of_call(self, answer: Answer, what: str, work: Work | None = None) -> Outcome:
        """Return the outcome of a call that writes one record, or of any call that failed."""
        if answer.status == 204:  # an update, before API version 46
            return Receipt(note="updated")
        if answer.ok:
            return _written(answer.json) or unreadable(answer, what)
        problem = problem_of(answer.json)
        said = f"{what}: HTTP {answer.status}" + (f", {_told(problem, work)}" if problem.code else "")
        by_code = self._by_code(problem, work, said, answer.retry_after)
        return by_code or self._by_status(answer, problem, what, said)

    def of_item(self, result: Any, what: str, work: Work) -> Outcome:
        """Return the outcome of one result of a collections call."""
        if (receipt := _written(result)) is not None:
            return receipt
        problem = problem_of_item(result)
        if not problem.code:
            return TryLater(f"{what}: a result without success or error", applied="unknown", cause="outage")
        said = f"{what}: {_told(problem, work)}"
        if problem.code == "DUPLICATE_EXTERNAL_ID":  # what a single call says by its status 300
            return self._several(what)
        return self._by_code(problem, work, said, None) or _refused(said)

    def _by_code(self, problem: Problem, work: Work | None, said: str, after: float | None) -> Outcome | None:
        code = problem.code
        if code == "REQUEST_LIMIT_EXCEEDED":
            return TryLater(said, after or LIMIT_PAUSE, scope="lane", cause="throttled")
        if code == "UNABLE_TO_LOCK_ROW" or (
            code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" and "UNABLE_TO_LOCK_ROW" in problem.message
        ):
            return TryLater(said, after, cause="busy")
        if code == "DUPLICATE_VALUE":
            return self._raced(problem, work, said)
        if code == "DUPLICATES_DETECTED":
            return Refused(said, f"Merge the contacts, or set {self.external_id} on the right one, then requeue.")
        if code == "UNKNOWN_EXCEPTION":
            return _unexplained(work, said)
        if code in _CONFIGURATION:
            return NeedsOperator(said, "Give the app's run-as user access to the API, then resume the lane.", "lane")
        if code.startswith("INSUFFICIENT_ACCESS"):  # may be this one record's sharing: no reason to stop the others
            return NeedsOperator(said, "Let the app's run-as user edit the contact, then requeue the delivery.")
        return None

    def _raced(self, problem: Problem, work: Work | None, said: str) -> Outcome:
        # Two upserts of one person at once: the repeat will update. Twice, or on another field, it never will.
        clash = _CLASHING_FIELD.search(problem.message)
        ours = clash is None or clash[1].casefold() == self.external_id.casefold()
        steps = work.steps if work is not None else frozenset()
        if ours and "raced" not in steps:
            return TryLater(said, cause="busy", steps=steps | {"raced"})
        return Refused(said, "Find the contact that holds the value already and merge the two, then requeue.")

    def _by_status(self, answer: Answer, problem: Problem, what: str, said: str) -> Outcome:
        status, key = answer.status, self.external_id
        if status == 300:
            return self._several(what)
        if status == 401:
            remedy = "Check base_url, the app and its run-as user's access to the API, then resume the lane."
            return NeedsOperator(f"{said}, with a new session too", remedy, "lane")
        if status == 404 and problem.code != "ENTITY_IS_DELETED":
            remedy = f"Make {key} an External ID field of Contact, check api_version, then resume the lane."
            return NeedsOperator(said, remedy, "lane")
        if status == 420:
            return TryLater(said, answer.retry_after, applied="unknown", cause="outage")
        if problem.code and 400 <= status < 500 and status not in (403, 408, 423, 425, 429):
            return _refused(said)
        return judge(answer, what)

    def _several(self, what: str) -> Outcome:
        return NeedsOperator(
            f"{what}: several contacts share this person's {self.external_id}",
            f"Merge them and make {self.external_id} a unique field, then requeue the delivery.",
        )


def _written(said: Any) -> Receipt | None:
    if not isinstance(said, dict) or said.get("success") is not True or not isinstance(said.get("id"), str):
        return None
    return Receipt(Refs(person={"contact": said["id"]}), "created" if said.get("created") else "updated")


def _refused(said: str) -> Outcome:
    return Refused(said, "Correct the mapping, the learner or the org's rule, then requeue the delivery.")


def _unexplained(work: Work | None, said: str) -> Outcome:
    # Three tries in all: it may be a passing fault of the vendor, or one of the org's own code that never clears.
    steps = work.steps if work is not None else frozenset()
    tries = sum(step.startswith("unexplained-") for step in steps) + 1
    if tries >= _UNEXPLAINED_TRIES:
        return Refused(said, "Ask the org's administrator what fails for this contact, then requeue the delivery.")
    return TryLater(said, applied="unknown", cause="busy", steps=steps | {f"unexplained-{tries}"})


def _told(problem: Problem, work: Work | None) -> str:
    said = f"{problem.code} on {', '.join(problem.fields)}" if problem.fields else problem.code
    if problem.code in _REPEATING_VALUES or not problem.message:
        return said
    text = mask_text(problem.message)
    for value in _personal(work.learner) if work is not None else ():
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", BLANK, text, flags=re.IGNORECASE)
    return f"{said}: {' '.join(text.split())[:300]}"


def _personal(learner: Learner) -> list[str]:
    local = (learner.email or "").rpartition("@")[0]  # may have been sent as the last name
    values = (learner.first_name, learner.last_name, learner.phone, local, *learner.attributes.values())
    return [value.strip() for value in values if value.strip()]
