"""Mailchimp Marketing API 3.0: one member per person and list, with the tags and events of the person's courses.

Authentication: ``Authorization: Bearer`` with the API key (or an OAuth token). What follows the last ``-`` of the key is
its data centre: the key ``...-us19`` lives at ``https://us19.api.mailchimp.com/3.0``.

Idempotency: a member is addressed by the MD5 of its lower-cased address, and PUT creates or updates it; tags are set by
name. Both may be repeated freely. ``status`` is never sent: it would resubscribe somebody who left. ``status_if_new``
counts for new members only. An event is recorded again by every repeat: each carries what happened as ``bridge_key``,
is kept as a ref once it was told, and is looked for before a repeat of what nobody knows the end of.

Many at once go as a batch operation: members and tags, worked off within minutes, while the persons are pending. The
results lie behind a signed address on another host, which gets no credential of ours. What a batch did not take is done
singly, so that each error is judged where it is told in full. Events are told singly, after the batch.

Limits: 10 simultaneous connections per user of the account, told as 429, or at the edge as 403 without JSON; no
``Retry-After`` and no quota per second are published. Several bridges or other programs may share the user, hence 4.
A batch takes 1000 operations.

Not confirmed by any source we have: that unknown merge tags are ignored without an error; that an archived member stays
archived on a PUT without ``status``; what is answered when a changed address is a member already (any 400 is taken for
that); in which order a batch works (any is coped with), and whether it honours ``skip_merge_validation`` (a member whom
it refuses is written singly); how long results are kept; that each event of a member is listed within the 1000 that one
page holds; which roles of a user may write; that ``bridge_key`` is a name that properties may have.

Source: facts/outbound/mailchimp.md, which quotes the vendor's pages "Fundamentals" and "Errors" and its contract 3.0.55.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from bridge.contract.outbound import (
    Explanation,
    Finding,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Repeat,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.mailchimp.answers import ERRORS, failed, object_of
from connectors.outbound.mailchimp.api import Api
from connectors.outbound.mailchimp.delivery import Delivery, Task
from connectors.outbound.mailchimp.doctor import examined
from connectors.outbound.mailchimp.plan import planned
from connectors.outbound.mailchimp.settings import MailchimpCourse, MailchimpSettings


class Mailchimp:
    """Keeps list members, their tags and their events in step with enrollments."""

    Settings: ClassVar[type[TargetSettings]] = MailchimpSettings
    Course: ClassVar[type[CourseTable] | None] = MailchimpCourse
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.CONTACT: Repeat.LOOKUP}
    batch_size: ClassVar[int] = 250
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: MailchimpSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http)

    @classmethod
    def course_for(cls, table: MailchimpCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: tags don't depend on the product that was bought."""
        return table

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Bring each person's memberships, tags and events to what the enrollments say: singly, many as a batch."""
        return await Delivery(self._settings, self._api, self._clock, [self._task(work) for work in batch]).run()

    async def check(self) -> Outcome:
        """Ping: Mailchimp answers it to a good key only."""
        answer = await self._api.send("GET", "/ping")
        if answer.ok and "health_status" in object_of(answer):
            return Receipt(note="the key is accepted")
        return failed(answer, "ping")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at the key's user, the audiences and their merge fields; make missing ones if told to."""
        return await examined(self._settings, self._api, courses, fix=fix)

    def _task(self, work: Work) -> Task:
        if work.learner.email is None:
            return Task(work, outcome=ERRORS["no-email"].refused(""))
        return Task(work, planned(work, work.learner.email, self._settings, self._clock.now()))


CONNECTOR: type[OutboundConnector] = Mailchimp
