"""10XPRO (now named KLEQ) by its custom API: one address that registers people and makes them inactive.

Authentication: ``secret``, the Webhooks Secret Key, in the address as in the URL that the site shows; the parameters go as
a form by HTTP POST. ``type=purchase`` gives access to a course, a forum category or a bundle, and makes the account of an
e-mail address that is new. ``type=credit`` makes the person inactive in one of them. No limits are published.

Idempotency: the calls carry no id. They name a person and a thing, and say how things shall be, so a repeat is **assumed** to
be harmless; the mail of a purchase may go out twice. A purchase of a person who is in is also what an update sends.

What it can't do: people are known by e-mail alone, so a changed address is another account there. The new one gets access,
and the operator is told of the former one, whose address we don't have any more: only a digest of it is kept. Nothing can be
read: neither courses nor people can be looked up, access has no end there (the bridge ends it itself), and the only proof of
the secret is a call that works.

Not confirmed by any source we have: the form of the answers. JSON that says no, or plain words that do, are refusals; a page
of HTML is a proxy's; everything else at 2xx is a yes. Nor is it written that a repeated purchase takes over a changed name.
``type=credit`` stands only on the pages of KLEQ. The older page on forums has ``forum_full_access`` go with a category; on the
newer one it opens the whole forum, so it is sent only where an order gives full access.

Sources: the vendor's page "Register User to an Online Course via API" (seed 000), its pages 02052 and 02054 at
help.10xpro.io and help.kleq.com, "Register User ..." and "Deactivate User ... via API".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, SecretStr, StrictInt, StrictStr, field_validator, model_validator

from bridge.contract.command import Learner, email_key
from bridge.contract.outbound import (
    BY_HAND,
    Explanation,
    Finding,
    NeedsOperator,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refs,
    Refused,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import ERRORS, judge
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http
from bridge.kit.masking import BLANK, excerpt

_PATH = "/customapi.php"
_ERRORS: Mapping[str, Explanation] = {
    **ERRORS,
    "secret": Explanation(
        "10XPRO does not accept the secret.",
        "Copy the Webhooks Secret Key from Settings > Global Settings of the site into secret, then resume the lane.",
    ),
    "no-api": Explanation(
        "There is no custom API at this address.",
        "Set base_url to the address of the site, and switch on Custom API in its Settings > Integrations, then resume the"
        " lane.",
    ),
    "no-such-product": Explanation(
        "10XPRO does not know the course, the forum category or the bundle that the mapping names.",
        "Correct the id in the course's table (10XPRO shows it at the bottom left of each course), then run"
        " `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "person-refused": Explanation(
        "10XPRO does not take the person's data.",
        "Correct the person's data at the source and have it send an update; the delivery then goes out by itself.",
    ),
    "address-changed": Explanation(
        "The person's e-mail address has changed, and to 10XPRO that is another account: the former one keeps its access.",
        "Take the access away from the account of the former address by hand, then requeue the delivery, which settles it.",
    ),
}
_SECRET = re.compile(r"secret|unauthori[sz]ed|forbidden|access denied", re.IGNORECASE)
_PRODUCT = re.compile(r"course|bundle|forum|categor|product", re.IGNORECASE)
_PERSON = re.compile(r"e-?mail|name|user|member|client", re.IGNORECASE)
_ABSENT = re.compile(r"not? (?:be )?found|(?:does|do) not exist|doesn't exist|unknown|no such", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:errors?|invalid|incorrect|wrong|denied|fail(?:ed|ure)?|missing|required|forbidden|unauthori[sz]ed)\b"
    rf"|{_ABSENT.pattern}",
    re.IGNORECASE,
)
_NO = (False, "false", "no", 0, "0", "error")


class TenxproSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "tenxpro"``.

    Attributes:
        base_url: address of the site, as in ``https://school.example.org``.
        secret: the Webhooks Secret Key of the site's Global Settings.
    """

    base_url: str
    secret: SecretStr

    @field_validator("base_url")
    @classmethod
    def _of_the_site(cls, address: str) -> str:
        if "customapi.php" in address or "?" in address:
            msg = (
                'expected the address of the site alone, such as "https://school.example.org", and the secret in secret'
            )
            raise ValueError(msg)
        return address


def _number(value: int | str) -> str:
    text = str(value).strip()
    if text.isascii() and text.isdigit():
        return text
    msg = "expected the number that 10XPRO shows for it, such as 3"
    raise ValueError(msg)


RemoteId = Annotated[StrictInt | StrictStr, AfterValidator(_number)]
"""An id as 10XPRO shows it; 3 and "3" are the same one."""


class TenxproCourse(CourseTable):
    """``[courses.*.NAME]``: exactly one of the three.

    Attributes:
        course_id: of an online course.
        forum_category_id: of a category of the forum.
        bundle_id: of a bundle.
    """

    course_id: RemoteId | None = None
    forum_category_id: RemoteId | None = None
    bundle_id: RemoteId | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.named) != 1:
            msg = "expected exactly one of course_id, forum_category_id and bundle_id"
            raise ValueError(msg)
        return self

    @property
    def named(self) -> dict[str, str]:
        """The parameter that names it, and its value."""
        fields = ("course_id", "forum_category_id", "bundle_id")
        return {name: str(getattr(self, name)) for name in fields if getattr(self, name) is not None}


class Tenxpro:
    """Registers people at 10XPRO and makes them inactive."""

    Settings: ClassVar[type[TargetSettings]] = TenxproSettings
    Course: ClassVar[type[CourseTable] | None] = TenxproCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.ASSUMED,
        Operation.UPDATE: Repeat.ASSUMED,
        Operation.REVOKE: Repeat.ASSUMED,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = _ERRORS

    def __init__(self, settings: TenxproSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http

    @classmethod
    def course_for(cls, table: TenxproCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Send a purchase, the same purchase again (an update), or a cancellation."""
        return [await self._deliver(work) for work in batch]

    async def check(self) -> Outcome:
        """Send a call without ``type``, which does nothing. Whatever it says but on the secret, the API is there."""
        outcome = _verdict(await self._send("GET", {}), "call the custom API with nothing to do")
        if outcome is None or isinstance(outcome, Refused):
            return Receipt(note="the custom API answers; the secret is proved by the first purchase only")
        return outcome

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at nothing else: the API only takes orders, and a call that names a course is a purchase of it."""
        return []

    async def _deliver(self, work: Work) -> Outcome:
        if work.learner.email is None:
            return _ERRORS["no-email"].refused("")
        revoked = work.operation is Operation.REVOKE
        what = "make the person inactive" if revoked else "register the person"
        outcome = _verdict(await self._send("POST", _credit(work) if revoked else _purchase(work)), what, work)
        if isinstance(outcome, Refused) and revoked and _is_absent(outcome.why):
            outcome = None
        if outcome is not None:
            return outcome
        refs = _refs(work)
        if _moved(work):  # said once: the digest of the new address is kept with it
            done = f"{what}: done for the new address"
            return _ERRORS["address-changed"].needs_operator(done, refs=refs, steps=frozenset({BY_HAND}))
        return Receipt(refs)

    async def _send(self, method: str, form: Mapping[str, str]) -> Answer:
        secret = {"secret": self._settings.secret.get_secret_value()}
        return await self._http.send(method, _PATH, form=form or None, params=secret)


def _course(work: Work) -> TenxproCourse:
    assert isinstance(work.course, TenxproCourse)  # noqa: S101 - course_for made it
    return work.course


def _purchase(work: Work) -> dict[str, str]:
    form = {
        "type": "purchase",
        **_course(work).named,
        "email": str(work.learner.email),
        "first_name": work.learner.first_name,
        "last_name": work.learner.last_name,
    }
    if work.terms.full_access:
        form["forum_full_access" if "forum_category_id" in form else "full_access"] = "yes"
    known = work.operation is Operation.UPDATE and not _moved(work)
    if known or work.terms.send_email is False:  # who has the login already needs no mail with it
        form["send_mail"] = "no"
    return form


def _credit(work: Work) -> dict[str, str]:
    return {"type": "credit", **_course(work).named, "email": str(work.learner.email)}


def _digest(work: Work) -> str:
    return hashlib.sha256(email_key(work.learner.email or "").encode()).hexdigest()[:16]


def _moved(work: Work) -> bool:
    return work.refs.right.get("address") not in (None, "", _digest(work))


def _refs(work: Work) -> Refs:
    named = {name.removesuffix("_id"): value for name, value in _course(work).named.items()}
    gone = work.operation is Operation.REVOKE  # nobody is in any more, under whatever address
    return Refs(right={**named, "address": "" if gone else _digest(work)})


def _verdict(answer: Answer, what: str, work: Work | None = None) -> TryLater | NeedsOperator | Refused | None:
    """Return what a call came to that did not work; None for one that did. The person's data in it says nothing."""
    status, text = answer.status, answer.text.strip()
    if status in (404, 410):
        return _ERRORS["no-api"].needs_operator(f"{what}: HTTP {status}", "lane")
    if answer.ok and text.startswith("<"):
        return TryLater(f"{what}: HTTP {status} with a page of HTML", applied="unknown", cause="outage")
    known = answer.ok or status in (400, 401, 403, 422)
    if not known or (not answer.ok and not text):
        return judge(answer, what)  # type: ignore[return-value] # it never returns a receipt
    no = _refusal(answer, work)
    if no is None:
        return None if answer.ok else judge(answer, what)  # type: ignore[return-value] # as above
    said = f"{what}: HTTP {status}, {excerpt(' '.join(no.split())[:1_000], 300)}"
    if status in (401, 403) or _SECRET.search(no):
        return _ERRORS["secret"].needs_operator(said, "lane")
    kind = "no-such-product" if _PRODUCT.search(no) else "person-refused" if _PERSON.search(no) else "refused"
    return _ERRORS[kind].refused(said)


def _refusal(answer: Answer, work: Work | None) -> str | None:
    """Return the words with which a call is refused, or None where it isn't."""
    said: Any = answer.json
    if not isinstance(said, dict):
        text = _impersonal(answer.text, work)
        said_no = isinstance(said, bool | int) and not said
        return text if said_no or _REFUSAL.search(text) or not answer.ok else None
    problem = said.get("errors") or said.get("error")
    if not problem and not any(said.get(name, True) in _NO for name in ("success", "status", "result")):
        return None if answer.ok else _impersonal(orjson.dumps(said).decode(), work)
    return _impersonal(orjson.dumps(problem or said).decode(), work)


def _impersonal(text: str, work: Work | None) -> str:
    """Leave out the person's address and whole name: somebody may be called Will Fail, or Ann Secret.

    One name alone stays: it may be a word of the refusal.
    """
    if work is None:
        return text
    first, last, email = (re.escape(one.strip()) for one in _named(work.learner))
    own = [email] * bool(email) + [rf"{first}\W+{last}", rf"{last}\W+{first}"] * bool(first and last)
    return re.sub(rf"(?<!\w)(?:{'|'.join(own)})(?!\w)", BLANK, text, flags=re.IGNORECASE) if own else text


def _named(learner: Learner) -> tuple[str, str, str]:
    return learner.first_name, learner.last_name, learner.email or ""


def _is_absent(why: str) -> bool:
    """Say whether a cancellation was refused because there is nothing to take away from such a person."""
    words = why.rpartition("HTTP ")[2]
    return bool(_ABSENT.search(words)) and not _PRODUCT.search(words)


CONNECTOR: type[OutboundConnector] = Tenxpro
