"""What a mail server's answers mean: data. Codes by RFC 5321 and 4954; a first digit of 4 is for now, of 5 for good."""

from __future__ import annotations

from typing import Final, Literal

from bridge.contract.outbound import Explanation, Outcome, TryLater

Stage = Literal["connect", "tls", "login", "sender", "recipient", "data", "dot"]
"""How far a mail came: the server's greeting and EHLO, encryption, log-in, MAIL, RCPT, DATA, and the dot that ends it."""

ERRORS: Final = {
    "credentials": Explanation(
        "The mail server does not take our user and password.",
        "Put the right ones into [mailer], reload, then resume the lane.",
    ),
    "closed": Explanation(
        "The mail server does not deal with us.",
        "Have its operator allow this machine to send through it, then resume the lane.",
    ),
    "sender": Explanation(
        "The mail server does not let us write as this sender.",
        "Set [mailer] sender to an address that this login may send as, reload, then resume the lane.",
    ),
    "encryption": Explanation(
        "The connection to the mail server can't be encrypted as it has to be.",
        "Mend the server's certificate or its STARTTLS, or change [mailer] url or starttls, then resume the lane.",
    ),
    "recipient": Explanation(
        "The mail server does not take this recipient.",
        "Have the address corrected at the sender, which updates the learner, or tell the person in another way;"
        " then requeue the delivery.",
    ),
    "address": Explanation(
        "No mail can be sent to this address.",
        "Have the address corrected at the sender, which updates the learner, or tell the person in another way;"
        " then requeue the delivery.",
    ),
    "international": Explanation(
        "The mailbox's name is not in ASCII, and the mail server does not offer SMTPUTF8.",
        "Use a mail server that offers SMTPUTF8, or tell the person in another way; then requeue the delivery.",
    ),
    "content": Explanation(
        "The mail server does not take the mail itself.",
        "Look at the template and at what the server says of it, then requeue the delivery.",
    ),
    "template": Explanation(
        "The notice's template can't be filled in.",
        "Mend the template, reload, then requeue the delivery.",
    ),
}

_FOR_GOOD: Final[dict[Stage, tuple[str, bool]]] = {  # whether it stops the lane
    "connect": ("closed", True),
    "tls": ("encryption", True),
    "login": ("credentials", True),
    "sender": ("sender", True),
    "recipient": ("recipient", False),
    "data": ("content", False),
    "dot": ("content", False),
}
_LONGEST_ANSWER: Final = 300  # characters
_LOG_IN_FIRST: Final = frozenset({530, 535, 538})


def judge(stage: Stage, code: int, said: str) -> Outcome:
    """Return the outcome of an answer that is no yes: nothing was sent, unless it answers the whole mail and makes no sense.

    Args:
        stage: what was asked.
        code: of the answer.
        said: its words.
    """
    told = f"{code} {readable(said)}".strip()
    if 400 <= code < 500:
        down = stage in ("connect", "login") or code == 421
        return TryLater(f"the mail server puts it off ({stage}): {told}", cause="outage" if down else "busy")
    if code < 500 or code > 599:
        why = f"the mail server's answer makes no sense ({stage}): {told}"
        return TryLater(why, applied="unknown" if stage == "dot" else "no", cause="outage")
    name, stops = ("credentials", True) if code in _LOG_IN_FIRST else _FOR_GOOD[stage]
    fault = ERRORS[name]
    return fault.needs_operator(told, "lane") if stops else fault.refused(told)


def readable(said: str) -> str:
    """Return a server's words on one line, without bytes that are no text, and not too many of them."""
    return " ".join(said.encode("utf-8", "replace").decode().split())[:_LONGEST_ANSWER]
