"""What one person's enrollments come to at Mailchimp: fields, the tags of each list, events. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from bridge.contract.outbound import Enrollment, Work
from bridge.kit.actions import due, folded, roots_of
from bridge.kit.fields import as_text, render
from connectors.outbound.mailchimp.settings import (
    OCCURRENCE,
    EventAction,
    MailchimpCourse,
    MailchimpSettings,
    MemberAction,
    TagsAction,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One occurrence that is to be told. ``ref``: the person's ref that says it was."""

    ref: str
    occurrence: str
    list_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that may be repeated freely: the member of one list, or its tags."""

    method: str
    path: str
    body: Mapping[str, Any]
    list_id: str

    @property
    def writes_member(self) -> bool:
        """Whether it is the member, and not its tags."""
        return self.method == "PUT"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one delivery brings to each list.

    Attributes:
        member: hash of the address. ``former``: of the address that a list may still have; None where it is the same.
        calls: for each list the member, then its tags if there are any.
        events: to be told, the oldest first. ``silent``: how many are too old to be told.
    """

    address: str
    member: str
    former: str | None
    calls: tuple[Call, ...]
    events: tuple[Event, ...]
    silent: int

    @property
    def fingerprint(self) -> str:
        """Tell two plans apart by what they write; a batch that was sent for another one has not brought this one."""
        told = [(call.method, call.path, call.body) for call in self.calls]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()[:16]

    @property
    def lists(self) -> Iterator[tuple[Call, Call | None]]:
        """Yield the member of each list with its tags."""
        for place, call in enumerate(self.calls):
            if call.writes_member:
                following = self.calls[place + 1] if place + 1 < len(self.calls) else None
                yield call, None if following is None or following.writes_member else following


def subscriber_hash(email: str) -> str:
    """Return the id of an address on every list: the MD5 of its lower-cased form, in hex."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def member_path(list_id: str, member: str) -> str:
    """Return the address of one member of one list."""
    return f"/lists/{quote(list_id, safe='')}/members/{quote(member, safe='')}"


def planned(work: Work, email: str, settings: MailchimpSettings, now: datetime) -> Plan:
    """Return what is to be at Mailchimp for a person; ``now`` decides which events are too old."""
    member = subscriber_hash(email)
    known = work.refs.person.get("member") or member
    events, silent = _events(work, settings, now)
    return Plan(
        address=email.strip(),
        member=member,
        former=known if known != member else None,
        calls=tuple(_calls(work, email.strip(), member, settings)),
        events=events,
        silent=silent,
    )


def _calls(work: Work, address: str, member: str, settings: MailchimpSettings) -> Iterator[Call]:
    body: dict[str, Any] = {"email_address": address, "status_if_new": settings.status_if_new}
    if fields := _fields(work, settings):
        body["merge_fields"] = fields
    for list_id, tags in _tags(work, settings).items():
        path = member_path(list_id, member)
        yield Call("PUT", path, body, list_id)
        if tags:
            told = [{"name": name, "status": status} for name, status in tags.items()]
            yield Call("POST", f"{path}/tags", {"tags": told}, list_id)


def _fields(work: Work, settings: MailchimpSettings) -> dict[str, str]:
    latest = work.enrollments[-1] if work.enrollments else None
    actions = [action for action in settings.actions if isinstance(action, MemberAction)]
    parts: list[tuple[Mapping[str, str], Mapping[str, Any]]] = [(settings.merge_fields, roots_of(work.learner, latest))]
    return folded([*parts, *((one.action.fields, one.roots) for one in due(actions, work))])


def _tags(work: Work, settings: MailchimpSettings) -> dict[str, dict[str, str]]:
    """Return for each list what becomes of each tag: by the courses' tables, over which the actions are laid."""
    wanted: dict[str, dict[str, str]] = {settings.list_id: {}}
    for enrollment in work.enrollments:
        tags = wanted.setdefault(_list_of(enrollment, settings), {})
        table = enrollment.table
        for tag in table.tags if isinstance(table, MailchimpCourse) else ():
            if enrollment.live:  # one that any live enrollment has stays active
                tags[tag] = "active"
            elif enrollment.state != "pending":  # that one has not ended, it has not begun
                tags.setdefault(tag, "inactive")
    actions = [action for action in settings.actions if isinstance(action, TagsAction)]
    for one in due(actions, work):
        tags = wanted[_list_of(one.enrollment, settings)]
        for templates, status in ((one.action.remove, "inactive"), (one.action.add, "active")):
            tags.update((name, status) for template in templates if (name := render(template, one.roots).strip()))
    return wanted


def _events(work: Work, settings: MailchimpSettings, now: datetime) -> tuple[tuple[Event, ...], int]:
    found: dict[str, Event] = {}
    silent = 0
    for one in due([action for action in settings.actions if isinstance(action, EventAction)], work):
        ref = f"event:{one.action.name}:{one.occurrence}"
        if ref in work.refs.person or ref in found:
            continue
        if now - one.at > one.action.within:
            silent += 1
            continue
        properties = {name: render(template, one.roots) for name, template in one.action.properties.items()}
        body = {
            "name": one.action.name,
            "properties": {**{name: text for name, text in properties.items() if text}, OCCURRENCE: one.occurrence},
            "occurred_at": as_text(one.at.replace(microsecond=0)),
        }
        found[ref] = Event(ref, one.occurrence, _list_of(one.enrollment, settings), body)
    return tuple(found.values()), silent


def _list_of(enrollment: Enrollment, settings: MailchimpSettings) -> str:
    table = enrollment.table
    return (table.list_id if isinstance(table, MailchimpCourse) else None) or settings.list_id
