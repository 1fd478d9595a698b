"""Which notices follow from what was accepted: what the sender asked to be told, and no target tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.contract.catalogue import MailerEntry
from bridge.contract.mail import NoticeKind
from bridge.intake.plan import LinePlan
from bridge.intake.result import Entry
from bridge.ledger import notices
from bridge.ledger.notices import NoticeRow
from bridge.ledger.unit import Unit

_GIVEN = "given"
"""The cause of the first confirmation of a registration, whichever event gave access."""
_SEPARATORS = re.compile(r"[,;\s\0]+")


def access(
    entry: Entry, line: LinePlan, registration_id: int, effect: str, told: Collection[str], *, was_suspended: bool
) -> NoticeRow | None:
    """Return the confirmation of access that a purchase asks for, or None where none is asked for or a target sends it.

    It waits until the learner is in. A renewal and a repeat confirm nothing; a purchase that lives again does.

    Args:
        entry: the purchase.
        line: of it.
        registration_id: that stands for the line.
        effect: on that registration.
        told: targets that will be told to let the learner in; where they are in already, a target hears of nothing.
        was_suspended: the registration was, before.
    """
    member = entry.member
    if member.mailer is None or entry.plan.command.options.send_email is not True:
        return None
    if effect == "changed" or (effect == "reopened" and member.again):
        return None
    if _told_by(entry, told, NoticeKind.ACCESS):
        return None
    again = effect in ("moved", "rerouted") or (effect == "revived" and not was_suspended)
    data = {
        "courses": _courses(member.mailer, (grant.course for grant in line.grants)),
        "product_url": line.product_url,
    }
    cause = f"event:{entry.event_id}" if again else _GIVEN
    return NoticeRow(NoticeKind.ACCESS, registration_id, entry.event_id, "", data, cause, waits=True)


def resumed(unit: Unit, entry: Entry, rows: Sequence[Any], asked: Collection[int]) -> None:
    """Confirm access that begins with a resumption, of a purchase that was told of before it was paid.

    Args:
        unit: the transaction.
        entry: the resumption.
        rows: registrations that live again.
        asked: those of them whose sender asked for a mail.
    """
    member = entry.member
    if member.mailer is None or not asked:
        return
    notices.wait_again(unit, [row.id for row in rows if row.id in asked], member.now)
    found = _behind(unit, asked, lambda right: right.held != "yes")
    given = []
    for row in rows:
        courses, targets = found.get(row.id, ([], set()))
        if row.id in asked and not _told_by(entry, targets, NoticeKind.ACCESS):
            data = {
                "courses": _courses(member.mailer, courses),
                "product_url": member.product_url(row.remote_product_id),
            }
            given.append(NoticeRow(NoticeKind.ACCESS, row.id, entry.event_id, "", data, _GIVEN, waits=True))
    notices.plan(unit, given, member.now)


def cancelled(unit: Unit, entry: Entry, rows: Sequence[Any], orders: Collection[int]) -> None:
    """Tell of registrations that were taken back whom the sender wants told, in its own words.

    Args:
        unit: the transaction.
        entry: the cancellation.
        rows: registrations that it took back.
        orders: those of them that it was about; the others are seats that went with them, of which no office is told.
    """
    member, texts = entry.member, entry.plan.command.options.cancellation
    if member.mailer is None or texts is None or not rows:
        return
    admins = _addresses(texts.admin_email)
    if texts.admin_text:
        admins = {**dict.fromkeys(member.mailer.admin), **admins}
    told: list[tuple[NoticeKind, str, str]] = [
        (NoticeKind.CANCELLED_ADMIN, address, texts.admin_text or "") for address in admins
    ]
    if texts.notify_learner:
        told.append((NoticeKind.CANCELLED_USER, "", texts.learner_text or ""))
    if not told:
        return
    # A target that nothing is taken away at, because it holds nothing or another purchase keeps it, hears of no cancellation.
    found = _behind(unit, [row.id for row in rows], lambda right: not right.wanted and right.held != "no")
    planned = []
    for row in rows:
        courses, targets = found.get(row.id, ([], set()))
        data = {"courses": _courses(member.mailer, courses)}
        office = row.id in orders
        planned += [
            NoticeRow(kind, row.id, entry.event_id, recipient, {**data, "explanation": text}, f"event:{entry.event_id}")
            for kind, recipient, text in told
            if (office or kind is not NoticeKind.CANCELLED_ADMIN) and not _told_by(entry, targets, kind)
        ]
    notices.plan(unit, planned, member.now)


def _behind(unit: Unit, ids: Collection[int], hears: Callable[[Any], bool]) -> Mapping[int, tuple[list[str], set[str]]]:
    """Return the courses of registrations, and the targets that hear of what becomes of them."""
    found: dict[int, tuple[list[str], set[str]]] = {}
    for row in notices.behind(unit, ids):
        courses, targets = found.setdefault(row.registration_id, ([], set()))
        if row.course not in courses:
            courses.append(row.course)
        if row.target is not None and hears(row):
            targets.add(row.target)
    return found


def _told_by(entry: Entry, names: Collection[str], kind: NoticeKind) -> bool:
    return any(kind in target.mails for target in entry.member.targets if target.name in names)


def _courses(mailer: MailerEntry, keys: Iterable[str]) -> list[dict[str, Any]]:
    views = [(key, mailer.courses.get(key)) for key in keys]
    return [
        {"title": view.title if view is not None else key, "url": view.product_url if view is not None else None}
        for key, view in views
    ]


def _addresses(text: str | None) -> dict[str, None]:
    return dict.fromkeys(part for part in _SEPARATORS.split(text or "") if part)
