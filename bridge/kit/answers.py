"""What the usual HTTP answers mean, for the rows that a connector's own table does not name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.contract.outbound import Explanation, Outcome, Refs, TryLater
from bridge.kit.http import Answer
from bridge.kit.masking import excerpt

_NO_REFS = Refs()
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_ID_BITS = 64

ERRORS: Mapping[str, Explanation] = {
    "credentials": Explanation(
        "The target does not accept our credentials, or they lack a right that this needs.",
        "Check the credentials and their rights, then resume the lane.",
    ),
    "redirected": Explanation(
        "The target has moved to another address, and credentials are not carried to where a redirect points.",
        "Set base_url to the address that the target redirects to, then resume the lane.",
    ),
    "refused": Explanation(
        "The target does not take this as it is.",
        "Correct the data or the mapping, then requeue the delivery.",
    ),
    "no-email": Explanation(
        "The learner has no e-mail address, and this target needs one.",
        "Have the source send an update with the address; the delivery then goes out by itself.",
    ),
}
"""What :func:`judge` says; a connector that uses it has these among its own ``errors``."""


class Ended(Exception):
    """A call did not succeed; ``outcome`` is what it means for the delivery. Raised and caught within a connector."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        super().__init__()
        self.outcome = outcome


def judge(answer: Answer, what: str, *, refs: Refs = _NO_REFS, steps: frozenset[str] = frozenset()) -> Outcome:
    """Return the outcome of an answer that is not a success.

    408, 425, 5xx: later, an outage, effect unknown. 423: later, this record. 429: later, the lane is throttled.
    401, 403, 407: the operator, for the whole lane. 3xx: the operator, the address is wrong. Other 4xx: refused.

    Args:
        answer: as it came; its text is quoted masked and shortened.
        what: what was tried, as in "upsert the contact".
        refs: ids learnt before it failed.
        steps: steps finished before it failed.
    """
    said = f"{what}: HTTP {answer.status}{_quote(answer)}"
    status = answer.status
    if status == 429:
        return TryLater(said, answer.retry_after, scope="lane", cause="throttled", refs=refs, steps=steps)
    if status == 423:
        return TryLater(said, answer.retry_after, cause="busy", refs=refs, steps=steps)
    if status in (408, 425) or status >= 500:
        return TryLater(said, answer.retry_after, applied="unknown", cause="outage", refs=refs, steps=steps)
    if status in (401, 403, 407):
        return ERRORS["credentials"].needs_operator(said, "lane", refs, steps)
    if 300 <= status < 400:
        return ERRORS["redirected"].needs_operator(said, "lane", refs, steps)
    return ERRORS["refused"].refused(said, refs, steps)


def plain_id(value: object) -> str | None:
    """Return the number of a record as text; None for what is no positive whole number of a database.

    Whatever an answer holds instead would go into an address, or be kept as the person's, and be asked for ever after.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value) if isinstance(value, str) or value.bit_length() <= _ID_BITS else ""
    return text if _NUMBER.fullmatch(text) else None


def _quote(answer: Answer) -> str:
    if not answer.body:
        return ""
    return f", {' '.join(excerpt(answer.text[:4_000], 1_000).split())[:300]}"
