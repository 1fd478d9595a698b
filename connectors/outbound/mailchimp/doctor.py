"""What ``bridge doctor`` looks at: the key's user, every audience that is named, and the merge fields that are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bridge.contract.outbound import Finding, NeedsOperator, Outcome, Refused, TryLater
from bridge.contract.settings import CourseTable
from bridge.kit.http import Answer
from connectors.outbound.mailchimp.answers import failed, object_of
from connectors.outbound.mailchimp.api import Api
from connectors.outbound.mailchimp.settings import MailchimpCourse, MailchimpSettings

_READ_ONLY = frozenset({"viewer", "author"})
_MOST = "1000"


async def examined(
    settings: MailchimpSettings, api: Api, courses: Sequence[CourseTable], *, fix: bool
) -> list[Finding]:
    """Look at everything; reads only, unless ``fix``.

    Raises:
        TransportFault: no answer came back.
    """
    findings = [await _user(api)]
    for list_id in _lists(settings, courses):
        ours = list_id == settings.list_id
        answer = await api.send("GET", f"/lists/{quote(list_id, safe='')}", params={"fields": "id,name"})
        findings.append(_list(answer, list_id, ours=ours))
        if findings[-1].ok:
            findings += await _fields(settings, api, list_id, fix=fix)
    return findings


def _lists(settings: MailchimpSettings, courses: Sequence[CourseTable]) -> Iterator[str]:
    named = [table.list_id for table in courses if isinstance(table, MailchimpCourse) and table.list_id]
    yield from dict.fromkeys([settings.list_id, *named])


async def _user(api: Api) -> Finding:
    what = "the key's user"
    answer = await api.send("GET", "/", params={"fields": "account_id,role"})
    said = object_of(answer)
    if not answer.ok or not said:
        return _unreadable(what, failed(answer, "ask whose the key is"))
    role = str(said.get("role") or "unknown")
    remedy = "Make an API key as a user who is at least a manager of the account, and put it into api_key."
    return Finding(what, role.lower() not in _READ_ONLY, f"role {role}", remedy * (role.lower() in _READ_ONLY))


def _list(answer: Answer, list_id: str, *, ours: bool) -> Finding:
    what = f"audience {list_id}"
    if answer.ok and object_of(answer).get("id"):
        return Finding(what, ok=True, said="exists")
    if answer.status == 404:
        where = "list_id of the target" if ours else "list_id in the courses' tables"
        return Finding(what, ok=False, said="does not exist in this account", remedy=f"Correct {where}.")
    return _unreadable(what, failed(answer, "ask for an audience"))


async def _fields(settings: MailchimpSettings, api: Api, list_id: str, *, fix: bool) -> list[Finding]:
    path = f"/lists/{quote(list_id, safe='')}/merge-fields"
    answer = await api.send("GET", path, params={"count": _MOST})
    rows = object_of(answer).get("merge_fields")
    if not answer.ok or not isinstance(rows, list):
        return [_unreadable(f"merge fields of audience {list_id}", failed(answer, "ask for the merge fields"))]
    known = {str(row.get("tag")): row for row in rows if isinstance(row, dict)}
    findings = []
    for tag in settings.mapped:
        what = f"merge field {tag} of audience {list_id}"
        if tag in known:
            findings.append(_known(what, known[tag]))
        else:
            findings.append(await _made(api, path, what, tag) if fix else _missing(what))
    return [*findings, *_required(settings, known, list_id)]


def _known(what: str, row: Mapping[str, Any]) -> Finding:
    kind = str(row.get("type") or "text")
    if kind == "address":
        said = "is of type address, which takes no text"
        return Finding(what, ok=False, said=said, remedy="Map another merge field, of type text.")
    return Finding(what, ok=True, said=f"exists, type {kind}")


def _missing(what: str) -> Finding:
    said = "does not exist, and Mailchimp ignores what is written to it"
    remedy = "Run bridge doctor --fix to make it as a text field, or correct its tag in merge_fields and actions."
    return Finding(what, ok=False, said=said, remedy=remedy, fixable=True)


async def _made(api: Api, path: str, what: str, tag: str) -> Finding:
    body = {"tag": tag, "name": tag, "type": "text", "required": False, "public": False}
    answer = await api.send("POST", path, body)
    made = object_of(answer).get("tag") if answer.ok else None
    if made == tag:
        return Finding(what, ok=True, said="made, as a text field")
    if isinstance(made, str):
        said = f"Mailchimp made it under another tag, {made[:50]}"
        return Finding(what, ok=False, said=said, remedy="Use that tag in merge_fields and actions.")
    return _unreadable(what, failed(answer, "make a merge field"), "Make it in the audience's settings by hand.")


def _required(settings: MailchimpSettings, known: Mapping[str, Mapping[str, Any]], list_id: str) -> Iterator[Finding]:
    for tag, row in known.items():
        if not row.get("required") or tag in settings.mapped:
            continue
        what = f"required merge field {tag} of audience {list_id}"
        if settings.skip_merge_validation:
            yield Finding(what, ok=True, said="not mapped; members are taken without it")
        else:
            remedy = f"Map {tag} in merge_fields, set skip_merge_validation = true, or make the field optional."
            yield Finding(what, ok=False, said="not mapped, so that new members are refused", remedy=remedy)


def _unreadable(
    what: str, outcome: Outcome, remedy: str = "Try again later; the answer is not one of Mailchimp's."
) -> Finding:
    if isinstance(outcome, NeedsOperator | Refused):
        return Finding(what, ok=False, said=outcome.why, remedy=outcome.remedy)
    return Finding(what, ok=False, said=outcome.why if isinstance(outcome, TryLater) else "", remedy=remedy)
