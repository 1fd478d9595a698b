"""What GetCourse is known to answer, and what each of it means. Errors come at HTTP 200, told by a code or by words alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.contract.outbound import Explanation, NeedsOperator, Refused, TryLater
from bridge.kit.answers import ERRORS, Ended, judge
from bridge.kit.http import Answer
from bridge.kit.masking import excerpt

ALL: Mapping[str, Explanation] = {
    **ERRORS,
    "key": Explanation(
        "GetCourse does not accept the key at this address.",
        "Set key to the secret key of the account that base_url names, then resume the lane.",
    ),
    "read-only-key": Explanation(
        "The key may read at GetCourse, but not write.",
        "Make a key with the right to write in the API settings of the account, set key to it, then resume the lane.",
    ),
    "no-import": Explanation(
        "GetCourse does not import for this account: its tariff has no import API, or the key may not write.",
        "Check the tariff and the rights of the key at GetCourse, then resume the lane.",
    ),
    "allowance": Explanation(
        "The account has used up what its tariff lets the API create in a month.",
        "Raise the allowance at GetCourse or wait for the next month, then resume the lane.",
    ),
    "no-account": Explanation(
        "GetCourse has no account at this address.",
        "Set base_url to https://ACCOUNT.getcourse.ru, or to the account's own domain, then resume the lane.",
    ),
    "body-lost": Explanation(
        "What we send does not arrive at GetCourse whole, as when an address redirects or is not https.",
        "Set base_url to the https address at which the account really answers, then resume the lane.",
    ),
    "no-such-offer": Explanation(
        "GetCourse does not take the offer that the mapping names.",
        "Correct offer_code or product_title in the course's table, then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "person-refused": Explanation(
        "GetCourse does not take the person's data.",
        "Correct the person's data at the source and have it send an update; the delivery then goes out by itself.",
    ),
    "no-such-group": Explanation(
        "The group that the mapping names does not exist at GetCourse.",
        "Correct group_name in the course's table, then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "address-changed": Explanation(
        "The person's e-mail address has changed, and GetCourse's API would make another account of the new one.",
        "Change the address of the person's account at GetCourse by hand, then requeue the delivery.",
    ),
    "another-account": Explanation(
        "At GetCourse the person's new e-mail address belongs to another account than the one that has the access.",
        "Merge the two accounts at GetCourse, or give the address to the one that has the access, then requeue the"
        " delivery.",
    ),
    "access-stays": Explanation(
        "The order is cancelled, but GetCourse leaves the access that a completed order gave.",
        "Cancel the purchase on the person's page at GetCourse, then requeue the delivery, which settles it; set"
        " status_field to have a process at GetCourse do this.",
    ),
    "in-group": Explanation(
        "The person is in the group at GetCourse, whose import API takes nobody out of one group alone.",
        "Take the person out of the group at GetCourse by hand or by a process, then requeue the delivery.",
    ),
    "no-process": Explanation(
        "The field of the order was written, but no process at GetCourse has changed the order's status by it.",
        "Check the process that acts on status_field at GetCourse, then requeue the delivery.",
    ),
}

TOO_MANY, BUSY, NOT_READY, ABSENT = 903, 905, 909, 910
AFTER_TOO_MANY = 900.0
"""Seconds until an account that made too many requests may go on; the window is two hours long."""

_LANE = frozenset({"key", "read-only-key", "no-import", "allowance", "body-lost"})
_ROWS: tuple[tuple[tuple[int, ...], tuple[str, ...], str], ...] = (  # codes, words, error
    ((901, 904), ("неавторизованное", "access denied", "параметр key"), "key"),
    ((917,), ("функционал недоступен",), "no-import"),
    ((), ("действие запрещено",), "read-only-key"),
    ((), ("достигнут лимит", "limit reached"), "allowance"),
    ((), ("пустой параметр action", "не указаны параметры", "только по https"), "body-lost"),
    ((), ("предложени", "offer", "product_title"), "no-such-offer"),
    ((), ("email", "e-mail", "эл. адрес", "почт"), "person-refused"),
)


def truthy(value: object) -> bool:
    """Say whether GetCourse means yes: ``true``, ``"true"``, 1; it sends all of them."""
    return str(value).strip().lower() in ("true", "1", "yes")


def envelope(answer: Answer, what: str) -> Mapping[str, Any]:
    """Return the envelope of an answer that is one, whatever it says.

    Raises:
        Ended: it is something else.
    """
    said = answer.json
    readable = isinstance(said, dict) and ("success" in said or "error" in said)
    if readable and answer.status not in (408, 425, 429) and answer.status < 500:
        return said  # type: ignore[no-any-return] # an object
    if answer.ok and not answer.body.strip():
        raise Ended(ALL["no-import"].needs_operator(f"{what}: HTTP {answer.status} and no answer", "lane"))
    if answer.ok:
        why = f"{what}: HTTP {answer.status} without the expected fields"
        raise Ended(TryLater(why, applied="unknown", cause="outage"))
    if answer.status == 404:
        raise Ended(ALL["no-account"].needs_operator(f"{what}: HTTP 404", "lane"))
    raise Ended(judge(answer, what))


def failure(said: Mapping[str, Any], what: str) -> TryLater | NeedsOperator | Refused | None:
    """Return what an envelope's error means, and None where it has none."""
    inner = said.get("result")
    result = inner if isinstance(inner, dict) else {}
    no = not truthy(said.get("success")) or truthy(result.get("error")) or not truthy(result.get("success", True))
    return _explained(code_of(said), text_of(said), what) if no else None


def code_of(said: Mapping[str, Any]) -> int:
    """Return the number of the error; 0 where there is none."""
    text = str(said.get("error_code", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def text_of(said: Mapping[str, Any]) -> str:
    """Return all that an envelope calls an error, in one line."""
    inner = said.get("result")
    places = (
        said.get("error"),
        said.get("error_message"),
        inner.get("error_message") if isinstance(inner, dict) else "",
    )
    texts = [text for text in places if isinstance(text, str) and text and text.lower() not in ("true", "false")]
    return " ".join(" ".join(dict.fromkeys(texts)).split())


def _explained(code: int, text: str, what: str) -> TryLater | NeedsOperator | Refused:
    said = f"{what}: {f'error {code}, ' if code else ''}{excerpt(text, 300)}"
    low = text.lower()
    if code == TOO_MANY or "слишком много запросов" in low or "too many requests" in low:
        return TryLater(said, AFTER_TOO_MANY, scope="lane", cause="throttled")
    for codes, words, name in _ROWS:
        if code in codes or any(word in low for word in words):
            return ALL[name].needs_operator(said, "lane") if name in _LANE else ALL[name].refused(said)
    return ALL["refused"].refused(said)
