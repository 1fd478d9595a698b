"""What is sold, what it leads to, and who is told: the operator's mapping in the form that planning reads.

Built by the composition root from the configuration; replaced as a whole on reload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from bridge.contract.command import email_key
from bridge.contract.mail import NoticeKind
from bridge.contract.outbound import CourseView
from bridge.contract.settings import CourseTable, Milestone, Rule


@dataclass(frozen=True, slots=True)
class CourseEntry:
    """One course.

    Attributes:
        tables: what each target needs to know of it, by the target's name.
        duration: how long access lasts from the registration; None is without end.
        until: end of access for everybody who bought before it; None is without.
        grace: how much longer before access is taken away.
    """

    key: str
    title: str
    product_url: str | None = None
    registration_url: str | None = None
    duration: timedelta | None = None
    until: datetime | None = None
    grace: timedelta = timedelta()
    full_access: bool = False
    tables: Mapping[str, CourseTable] = field(default_factory=dict)

    @property
    def view(self) -> CourseView:
        """The course as field templates see it."""
        return CourseView(self.key, self.title, self.product_url)


@dataclass(frozen=True, slots=True)
class ProductEntry:
    """What one product of a source leads to; several courses are a bundle.

    Attributes:
        seats: of several that are bought: ``first`` (the named learner has one, the others are links), ``links`` (all are), or
            ``none`` (the quantity is no number of people).
    """

    courses: tuple[str, ...] = ()
    product_url: str | None = None
    ignore: bool = False
    seats: Literal["first", "links", "none"] = "first"


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A configured inbound, as planning sees it.

    Attributes:
        business_scope: sources with the same scope report the same orders.
        joined: another source has the same scope.
        test_mode: take test orders, and only those.
        echo_of: the target that this source is, or None.
        accept_enrollments: whether such a source may enroll people whom we did not.
    """

    name: str
    adapter: str
    namespace: str
    business_scope: str
    unmapped: Literal["quarantine", "ignore"] = "quarantine"
    joined: bool = False
    test_mode: bool = False
    echo_of: str | None = None
    accept_enrollments: bool = False


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """A configured outbound, as planning sees it.

    Attributes:
        hears: what an LMS tells that this target has to be told of.
        mails: the notices that it sends itself.
    """

    name: str
    connector: str
    stage: Literal["lms", "crm"]
    known_by: Literal["email", "user_id"]
    needs_table: bool
    course_for: Callable[[Any, str], CourseTable]
    course_model: type[CourseTable] | None = None
    when: Literal["enrolled", "accepted"] = "enrolled"
    only_if: tuple[Rule, ...] = ()
    hears: frozenset[Milestone] = frozenset()
    mails: frozenset[NoticeKind] = frozenset()


@dataclass(frozen=True, slots=True)
class MailerEntry:
    """The mail server, as planning sees it.

    Attributes:
        admin: who is told what senders have for the administrator.
        courses: what a notice says of each course.
    """

    admin: tuple[str, ...] = ()
    courses: Mapping[str, CourseView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The whole mapping, with a digest that names it.

    Attributes:
        products: by (source, remote product id).
        text: the mapping as JSON, kept in the ledger under the digest.
        public_url: how the world sees the bridge, for links; None where nobody said.
        mailer: None where no notices are sent.
    """

    sources: Mapping[str, SourceEntry]
    targets: Mapping[str, TargetEntry]
    courses: Mapping[str, CourseEntry]
    products: Mapping[tuple[str, str], ProductEntry]
    digest: str
    text: str = "{}"
    mailer: MailerEntry | None = None
    public_url: str | None = None


def person_key(
    known_by: Literal["email", "user_id"], namespace: str, remote_user_id: str | None, email: str | None
) -> str | None:
    """Return the person as a target knows them, or None when it can't know them (no e-mail where one is needed).

    By user id where there is one, else by e-mail; two local learners with one address are one person to a target that
    knows people by e-mail.
    """
    if known_by == "user_id" and remote_user_id is not None:
        return f"id:{namespace}:{remote_user_id}"
    return f"email:{email_key(email)}" if email else None
