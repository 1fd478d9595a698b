"""Which answer of Salesforce is which outcome: first by its error code, then by its HTTP status."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Outcome, TryLater, Work
from bridge.kit.answers import judge
from bridge.kit.http import Answer
from bridge.kit.masking import BLANK, mask_text
from connectors.outbound.salesforce.errors import BY_CODE, ERRORS

_UNEXPLAINED_TRIES = 3
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CLASHING_FIELD = re.compile(r"duplicate value found: (\w+) duplicates")
_CONFIGURATION = ("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "FORBIDDEN")
_FOREIGN_KEY = ("INVALID_FIELD", "INVALID_CROSS_REFERENCE_KEY")
_REPEATING_VALUES = (  # their messages quote what was sent, so only code and fields are shown
    "INVALID_EMAIL_ADDRESS",
    "STRING_TOO_LONG",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "INVALID_TYPE_ON_FIELD_IN_RECORD",
    "JSON_PARSER_ERROR",
)


class Problem(NamedTuple):
    """One member of an error array: of a single call (``errorCode``) or of a collections call (``statusCode``)."""

    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    duplicates: Mapping[str, Any] = {}


NO_PROBLEM = Problem()


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be written: by external id ``key``, or by Salesforce's own id ``at`` (an adoption).

    Attributes:
        mark: which of the person's records it is: nothing for the contact, ``-7`` for registration 7.
        link: the parent, as a relationship with an external id.
    """

    key: str
    fields: Mapping[str, Any]
    work: Work
    at: str = ""
    mark: str = ""
    link: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of one record. ``outcome`` is None when it was written; ``id`` is empty where none was told."""

    outcome: Outcome | None = None
    id: str = ""
    created: bool = False
    problem: Problem = NO_PROBLEM


def problem_of(errors: Any) -> Problem:
    """Return the first member of an error array; an empty problem when ``errors`` is none."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return NO_PROBLEM
    fields = first.get("fields")
    found = first.get("duplicateResut") or first.get("duplicateResult")  # the vendor's own spelling comes first
    return Problem(
        str(first.get("errorCode") or first.get("statusCode") or ""),
        str(first.get("message") or ""),
        tuple(map(str, fields)) if isinstance(fields, list) else (),
        found if isinstance(found, dict) else {},
    )


def only_match(duplicates: Mapping[str, Any]) -> str | None:
    """Return the id of the one contact that a duplicate rule matched, with full confidence; None for any doubt."""
    found: dict[str, bool] = {}
    for result in objects(duplicates, "matchResults") or ():
        for match in objects(result, "matchRecords") or ():
            record = _object(match.get("record"))
            contact = _object(record.get("attributes")).get("type") == "Contact"
            found[str(record.get("Id"))] = contact and match.get("matchConfidence") == 100
    if len(found) != 1:
        return None
    ((only, sure),) = found.items()
    return only if sure and is_id(only) else None


def objects(said: Any, name: str) -> list[dict[str, Any]] | None:
    """Return the objects that an answer lists under a name; None where it is no such list."""
    rows = said.get(name) if isinstance(said, dict) else None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _object(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def is_id(text: str) -> bool:
    """Say whether a text may be an id of Salesforce's, and so may stand in an address."""
    return _RECORD_ID.fullmatch(text) is not None


def stops_the_lane(outcome: Outcome | None) -> bool:
    """Say whether the next call would surely fare no better."""
    if isinstance(outcome, TryLater):
        return outcome.scope == "lane" or outcome.cause == "outage"
    return isinstance(outcome, NeedsOperator) and outcome.scope == "lane"


def worth_splitting(answer: Answer, outcome: Outcome | None) -> bool:
    """Say whether single calls would fare better than the collections call did: its fault may be one record's."""
    if answer.status == 404 or problem_of(answer.json).code == "UNKNOWN_EXCEPTION":
        return True
    return 400 <= answer.status < 500 and not stops_the_lane(outcome)


def unreadable(answer: Answer, what: str) -> Outcome:
    """Return the outcome of a 2xx that is not the protocol's: a proxy's page, or half an answer."""
    return TryLater(f"{what}: HTTP {answer.status} without the expected fields", applied="unknown", cause="outage")


@dataclass(frozen=True, slots=True)
class Table:
    """The table of outcomes for records whose external id is ``external_id``.

    ``spent_pause``: seconds to wait at a limit, as far as the day's usage is known.
    """

    external_id: str
    spent_pause: Callable[[], float]

    def of_record(self, answer: Answer, what: str, record: Record) -> Told:
        """Return what a call that wrote one record came to."""
        if answer.status == 204:  # by id, or an upsert before API version 46
            return Told(id=record.at)
        if answer.ok:
            return _written(answer.json) or Told(unreadable(answer, what))
        return Told(self.of_call(answer, what, record), problem=problem_of(answer.json))

    def of_item(self, result: Any, what: str, record: Record) -> Told:
        """Return what one result of a collections call says."""
        if (written := _written(result)) is not None:
            return written
        problem = problem_of(result.get("errors")) if isinstance(result, dict) else NO_PROBLEM
        if not problem.code:
            return Told(
                TryLater(f"{what}: a result without success or error", applied="unknown", cause="outage"),
                problem=problem,
            )
        said = f"{what}: {_told(problem, record.work)}"
        if problem.code == "DUPLICATE_EXTERNAL_ID":  # what a single call says by its status 300
            return Told(ERRORS["same-external-id"].needs_operator(what), problem=problem)
        return Told(self._by_code(problem, record, said, None) or _refused(problem, said), problem=problem)

    def of_call(self, answer: Answer, what: str, record: Record | None = None) -> Outcome:
        """Return the outcome of a call that failed."""
        problem = problem_of(answer.json)
        told = _told(problem, record.work if record else None)
        said = f"{what}: HTTP {answer.status}" + (f", {told}" if problem.code else "")
        by_code = self._by_code(problem, record, said, answer.retry_after)
        return by_code or self._by_status(answer, problem, what, said)

    def _by_code(self, problem: Problem, record: Record | None, said: str, after: float | None) -> Outcome | None:
        code = problem.code
        if code == "REQUEST_LIMIT_EXCEEDED":
            return TryLater(said, after or self.spent_pause(), scope="lane", cause="throttled")
        if code == "UNABLE_TO_LOCK_ROW" or (
            code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" and "UNABLE_TO_LOCK_ROW" in problem.message
        ):
            return TryLater(said, after, cause="busy")
        if code == "DUPLICATE_VALUE":
            return self._raced(problem, record, said)
        if code == "UNKNOWN_EXCEPTION":
            return _unexplained(record, said)
        if record is not None and record.link and code in _FOREIGN_KEY and "oreign key" in problem.message:
            return _once(record, "orphan", said) or ERRORS["parent-missing"].refused(said)
        if code in _CONFIGURATION:
            return ERRORS["api-disabled"].needs_operator(said, "lane")
        if code.startswith("INSUFFICIENT_ACCESS"):  # may be this one record's sharing: no reason to stop the others
            return ERRORS["no-access"].needs_operator(said)
        return None

    def _raced(self, problem: Problem, record: Record | None, said: str) -> Outcome:
        # Two upserts of one record at once: the repeat will update. Twice, or on another field, it never will.
        clash = _CLASHING_FIELD.search(problem.message)
        ours = clash is None or clash[1].casefold() == self.external_id.casefold()
        again = _once(record, "raced", said) if ours and record is not None else None
        return again or ERRORS["value-taken"].refused(said)

    def _by_status(self, answer: Answer, problem: Problem, what: str, said: str) -> Outcome:
        status = answer.status
        if status == 300:
            return ERRORS["same-external-id"].needs_operator(what)
        if status == 401:
            return ERRORS["session-refused"].needs_operator(said, "lane")
        if status == 404 and problem.code != "ENTITY_IS_DELETED":
            return ERRORS["no-such-address"].needs_operator(said, "lane")
        if status == 420:
            return TryLater(said, answer.retry_after, applied="unknown", cause="outage")
        if problem.code and 400 <= status < 500 and status not in (403, 408, 423, 425, 429):
            return _refused(problem, said)
        return judge(answer, what)


def _written(said: Any) -> Told | None:
    if not isinstance(said, dict) or said.get("success") is not True or not isinstance(said.get("id"), str):
        return None
    return Told(id=said["id"], created=said.get("created") is True)


def _refused(problem: Problem, said: str) -> Outcome:
    return ERRORS[BY_CODE.get(problem.code, "refused")].refused(said)


def _once(record: Record, why: str, said: str) -> Outcome | None:
    """Try later, unless that was done for this reason before."""
    step = why + record.mark
    if step in record.work.steps:
        return None
    return TryLater(said, cause="busy", steps=record.work.steps | {step})


def _unexplained(record: Record | None, said: str) -> Outcome:
    # Three tries in all: it may be a passing fault of the vendor, or one of the org's own code that never clears.
    steps = record.work.steps if record is not None else frozenset()
    name = f"unexplained{record.mark if record else ''}."
    tries = sum(step.startswith(name) for step in steps) + 1
    if tries >= _UNEXPLAINED_TRIES:
        return ERRORS["unexplained"].refused(said)
    return TryLater(said, applied="unknown", cause="busy", steps=steps | {f"{name}{tries}"})


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
