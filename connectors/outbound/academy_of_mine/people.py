"""A learner's account: found or made, kept up to date, in the portal, and disabled at the end where that is wanted."""

from __future__ import annotations

import secrets

from bridge.contract.errors import TransportFault
from bridge.contract.outbound import Operation, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.clock import Clock
from connectors.outbound.academy_of_mine.api import Api
from connectors.outbound.academy_of_mine.calls import Ended
from connectors.outbound.academy_of_mine.errors import KNOWN
from connectors.outbound.academy_of_mine.task import Task

_MAIL_DUE, _MAILED, _DISABLING = "mail-due", "mailed", "disabling"
_LEARNERS = ("", "general", "learner")  # others are staff, whose accounts are no business of ours


class People:
    """Brings accounts to what is wanted."""

    def __init__(self, api: Api, clock: Clock) -> None:
        """Speak through ``api``."""
        self._api = api
        self._clock = clock

    async def find(self, task: Task) -> bool:
        """Find the account by the id that is known, else by the e-mail address; say whether there is one."""
        email = task.work.learner.email
        if task.user is None and email is not None:
            task.user = await self._api.find_user(email)
        return task.user is not None

    async def ready(self, task: Task) -> None:
        """Find or make the account, and see that it can be enrolled."""
        await self._find_or_create(task)
        if task.work.operation is Operation.GRANT and task.shut:
            await self._api.set_disabled(task.id, disabled=False)
            task.shut, task.changed = False, True
        if not task.fresh and (task.work.operation is Operation.UPDATE or task.remembered):
            await self._write(task)
        if task.work.operation is Operation.GRANT:
            if not task.fresh and task.finished(_MAIL_DUE) and not task.finished(_MAILED):
                await self._announce(task)
            await self._join(task)

    async def leave(self, task: Task) -> None:
        """Disable the account where nothing is left that it gives access to, and that is wanted.

        Access has ended by then, so a target that will not do it is only noted.
        """
        if not self._api.settings.disable_user or task.user is None:
            return
        try:
            await self._disable(task)
        except Ended as ended:
            if isinstance(ended.outcome, TryLater):
                raise
            task.notes.append(f"the account was not disabled: {getattr(ended.outcome, 'why', '')}")

    async def _disable(self, task: Task) -> None:
        account = await self._api.account(task.id)
        if account.shut:  # by staff, unless an earlier try of ours was at it
            task.shut = task.shut or task.finished(_DISABLING)
            return
        rows = await self._api.enrolled_anywhere(task.id)
        held = account.member(self._clock.now()) or any(row.allowed and not row.expired for row in rows)
        if held or account.kind not in _LEARNERS:
            return
        task.steps.add(_DISABLING)
        await self._api.set_disabled(task.id, disabled=True)
        task.shut = task.changed = True
        task.notes.append("the account is disabled, because nothing is left in it")

    async def _find_or_create(self, task: Task) -> None:
        if task.work.learner.email is None:
            raise Ended(KNOWN["no-email"].refused(""))
        wanted = task.work.operation is Operation.GRANT and task.work.terms.send_email
        if await self.find(task):
            if wanted and task.work.unknown and not task.remembered:
                task.notes.append("whether the account is a new one is not known, so no new-account mail was sent")
            return
        # Nobody keeps it: the person sets their own. The end is for rules that ask for every kind of character.
        password = secrets.token_urlsafe(24) + "!aA1"
        task.user, task.fresh = await self._api.create_user(task.work.learner, password)
        if task.fresh and wanted:
            await self._announce(task)

    async def _announce(self, task: Task) -> None:
        """Have the new-account mail sent, once: each mail carries a new password. It may fail without harm to the grant."""
        try:
            answer = await self._api.resend_email(task.id)
        except TransportFault:
            task.notes.append("whether the new-account mail went out is unknown")
            return
        if answer.status == 429:  # it surely did not go out, and the lane waits anyhow
            task.steps.add(_MAIL_DUE)
            raise Ended(judge(answer, "send the new-account mail"))
        task.steps.add(_MAILED)
        if not answer.ok:
            task.notes.append(f"no new-account mail: HTTP {answer.status} from route resend_email")

    async def _write(self, task: Task) -> None:
        """Write name and address of an account that is there; on a grant because they may have changed since it was made."""
        try:
            await self._api.change_user(task.id, task.work.learner)
        except Ended as ended:
            if task.work.operation is Operation.UPDATE or not isinstance(ended.outcome, Refused) or ended.stale:
                raise
            # No reason to keep them out.
            task.notes.append("the person's data was not taken over: " + ended.outcome.why)
        task.changed = True

    async def _join(self, task: Task) -> None:
        """Add the person to the portal; who is in it already takes no second seat."""
        settings = self._api.settings
        if settings.portal_id is None or not settings.join_portal:
            return
        if not task.fresh and await self._api.in_portal(task.id, str(task.work.learner.email)):
            return
        await self._api.add_to_portal(task.id)
        task.changed = True
