"""Moodle by its web service functions over the REST protocol.

Authentication: a technical user's ``token`` in the form of each call, never in the address. Errors come with HTTP 200 and
are told apart by ``errorcode``; production sites give no reason beside it.

Idempotency: people are looked up before they are made, by the id from before, by ID number (where set), by address and by
user name; both are unique, so that a repeat is refused and the person is looked up again. Enrolments are keyed by account
and course; writing one again overwrites its dates and wakes it, which is why dates go along every time and a changed name
alone writes none.

The functions take many people and courses in one call and are all or nothing; where a call fails because of one of them,
which Moodle does not name, each goes out alone. Moodle itself publishes no limit on calls; PHP reads no more than a
thousand fields of a form, which keeps the batch small.

Access is suspended, which keeps grades and history. Only manual enrolments are ours; those of other methods stay, and so
do passwords, authentication, suspension and every other field of an account.

Source: Moodle's own code (webservice/rest, webservice/lib, user/externallib, enrol/manual/externallib,
course/externallib). Not confirmed by any source we have: the error codes of a technical user who has to accept a policy,
to change a password or to fill in a profile; ``upgraderunning``, ``requireloginerror`` and ``coursehidden``; the roles in
the answer of ``core_enrol_get_enrolled_users``, which the doctor reads; that an unknown course answers
``invalidparameter`` to an enrolment (read from the code, not seen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from bridge.contract.outbound import Explanation, Finding, Operation, OutboundConnector, Outcome, Receipt, Repeat, Work
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.clock import Clock
from bridge.kit.fields import as_text, value_at
from bridge.kit.http import Http
from connectors.outbound.moodle.access import Access
from connectors.outbound.moodle.api import Api, Ended
from connectors.outbound.moodle.doctor import Doctor
from connectors.outbound.moodle.errors import EXPLAINED
from connectors.outbound.moodle.people import People
from connectors.outbound.moodle.settings import MoodleCourse, MoodleSettings
from connectors.outbound.moodle.task import Task, outcomes, still_open


class Moodle:
    """Finds or makes people at a Moodle site, enrols them by hand, suspends them and lets them in again."""

    Settings: ClassVar[type[TargetSettings]] = MoodleSettings
    Course: ClassVar[type[CourseTable] | None] = MoodleCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 50
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = EXPLAINED

    def __init__(self, settings: MoodleSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._api = Api(settings, http)
        self._people = People(settings, self._api)
        self._access = Access(settings, self._api)

    @classmethod
    def course_for(cls, table: MoodleCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    @classmethod
    def page_of(cls, settings: MoodleSettings, kind: str, remote_id: str) -> str | None:
        """Return the profile of a user, or the course of an enrolment."""
        if not remote_id.isascii():
            return None
        user, _, course = remote_id.partition(":")
        if kind == "user" and remote_id.isdecimal():
            return f"{settings.base_url.rstrip('/')}/user/profile.php?id={remote_id}"
        if kind == "enrollment" and user.isdecimal() and course.isdecimal():
            return f"{settings.base_url.rstrip('/')}/course/view.php?id={course}"
        return None

    async def check(self) -> Outcome:
        """Read the site's description, of which nothing is kept but the release."""
        try:
            site = await self._api.site()
        except Ended as ended:
            return ended.outcome
        return Receipt(note=f"the token is accepted; Moodle {str(site.get('release', ''))[:40]}".rstrip())

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at the service's functions, and at each course, its enrolment method and the role."""
        tables = [course for course in courses if isinstance(course, MoodleCourse)]
        return await Doctor(self._settings, self._api).findings(tables)

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or make the people, bring their access to what is wanted, then write what changed of them.

        Access comes first: an address that another account has is no reason to keep an end date from somebody.
        """
        tasks = [Task(work, self._idnumber(work)) for work in batch]
        await self._people.identify(tasks)
        await self._people.create(tasks)
        await self._access.bring(tasks)
        await self._people.write(tasks)
        for task in still_open(tasks):
            task.done()
        return outcomes(tasks)

    def _idnumber(self, work: Work) -> str:
        path = self._settings.idnumber
        return as_text(value_at(path, {"learner": work.learner})).strip() if path else ""


CONNECTOR: type[OutboundConnector] = Moodle
