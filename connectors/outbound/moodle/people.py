"""Who is who at the site: people are looked up, made where they are missing, and changed in what the source says of them."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from bridge.contract.command import email_key
from bridge.contract.outbound import Operation, TryLater
from bridge.kit.answers import plain_id
from connectors.outbound.moodle.api import Api, Ended, Row, garbled
from connectors.outbound.moodle.errors import EXPLAINED, WARNINGS
from connectors.outbound.moodle.settings import MoodleSettings
from connectors.outbound.moodle.task import Task, still_open, together

_LONGEST = 100  # characters of a user name and of each name, as the site's database has them
_DUPLICATE = "invalidparameter"  # without a reason: a production site keeps that to itself
_SYMBOLS = "-.,!+"


class People:
    """The accounts of a batch's people."""

    def __init__(self, settings: MoodleSettings, api: Api) -> None:
        """Look for people, and make them, as the settings say."""
        self._settings = settings
        self._api = api

    async def identify(self, tasks: Sequence[Task]) -> None:
        """Find every person's account: by the id from before, by ID number, by address, by user name."""
        await self._look("id", tasks, lambda task: [task.work.refs.person.get("user", "")])
        for task in still_open(tasks):
            if _somebody_else(task) and not task.held_there:
                task.forget()
        await self._look("idnumber", tasks, lambda task: [task.idnumber])
        await self._look("email", tasks, _spellings)
        await self._look("username", tasks, lambda task: [user_name(task.email)])
        for task in still_open(tasks):
            if task.account is not None:
                self._accept(task, task.account)

    async def create(self, tasks: Sequence[Task]) -> None:
        """Make an account for everybody who has none; one for a person with several pieces of work."""
        leaders: dict[str, Task] = {}
        missing = [task for task in still_open(tasks) if task.user is None and not task.revoking]
        for task in missing:
            if task.email:
                leaders.setdefault(task.same_person, task)
            else:
                task.failed(Ended(EXPLAINED["no-email"].refused("")))
        await together(list(leaders.values()), self._make)
        for task in still_open(missing):
            leader = leaders[task.same_person]
            task.user, task.account, task.changed, task.result = (
                leader.user,
                leader.account,
                leader.changed,
                leader.result,
            )

    async def write(self, tasks: Sequence[Task]) -> None:
        """Write what differs from what the source says; nothing else of an account is touched."""
        await together([task for task in still_open(tasks) if self._changes(task)], self._update)

    async def _look(self, field: str, tasks: Sequence[Task], wanted: Callable[[Task], list[str]]) -> None:
        async def call(some: Sequence[Task]) -> None:
            values = list(dict.fromkeys(value for task in some for value in wanted(task)))
            try:
                rows = await self._api.users(field, values)
            except Ended as why:
                if len(some) > 1 or field != "email" or why.code != _DUPLICATE:
                    raise
                if some[0].revoking:
                    return  # an address that the site takes for none is nobody's
                raise Ended(EXPLAINED["bad-address"].refused("Look people up by email.")) from None
            if len(some) > 1 and any(field not in row for row in rows):
                # The technical user may not see the field, so that nobody could say whose row is whose: one by one.
                raise Ended(TryLater("", cause="busy"))
            for task in some:
                _choose(task, [row for row in rows if _matches(field, row, wanted(task))])

        await together([task for task in still_open(tasks) if task.user is None and any(wanted(task))], call)

    def _accept(self, task: Task, account: Row) -> None:
        if _somebody_else(task):
            number = task.user
            if not task.held_there:  # kept, the id would be taken for the person's with each later try
                task.forget()
            if not task.revoking:  # else: whoever it is, we never gave them anything
                task.failed(Ended(EXPLAINED["other-idnumber"].needs_operator(f"Account {number}.")))
        elif account.get("suspended") is True and not task.revoking:
            task.notes.append("the account is suspended at Moodle: the person can not log in")

    async def _make(self, tasks: Sequence[Task]) -> None:
        try:
            rows = await self._api.create([self._new(task) for task in tasks])
        except Ended as why:
            if len(tasks) > 1 or why.code != _DUPLICATE:
                raise
            await self._look_again(tasks[0], why)
            return
        made = {str(row.get("username")): row.get("id") for row in rows}
        for task in tasks:
            number = plain_id(made.get(user_name(task.email)))
            if number is None:
                raise garbled("make the account")
            task.user, task.changed = number, True

    async def _look_again(self, task: Task, why: Ended) -> None:
        """Look once more for somebody whom the site refuses to make: the account may be a moment old, or spelt otherwise."""
        found = [row for row in await self._api.users_with_address(task.email) if _matches("email", row, [task.email])]
        name = user_name(task.email)
        found = found or [row for row in await self._api.users("username", [name]) if _matches("username", row, [name])]
        _choose(task, found)
        if task.account is not None:
            self._accept(task, task.account)
        elif task.open:
            raise Ended(EXPLAINED["not-created"].needs_operator(why.said))

    def _new(self, task: Task) -> dict[str, Any]:
        learner = task.work.learner
        user: dict[str, Any] = {
            "username": user_name(task.email),
            "firstname": _name(learner.first_name) or _name(task.email.rpartition("@")[0]),
            "lastname": _name(learner.last_name) or "-",
            "email": task.email,
        }
        if self._settings.auth:
            user["auth"] = self._settings.auth
        elif task.work.terms.send_email is False:  # the mail with the password is the only one there is
            user["password"] = _password()
        else:
            user["createpassword"] = 1
        return user | ({"idnumber": task.idnumber} if task.idnumber else {})

    def _changes(self, task: Task) -> dict[str, str]:
        account = task.account
        if account is None or task.revoking:
            return {}
        changes: dict[str, str] = {}
        if task.work.operation is Operation.UPDATE:
            learner = task.work.learner
            if task.email and email_key(str(account.get("email", ""))) != email_key(task.email):
                changes["email"] = task.email
            names = {"firstname": _name(learner.first_name), "lastname": _name(learner.last_name)}
            changes |= {field: name for field, name in names.items() if name and account.get(field) != name}
        if self._settings.adopt_existing and task.idnumber and not account.get("idnumber"):
            changes["idnumber"] = task.idnumber
        return changes

    async def _update(self, tasks: Sequence[Task]) -> None:
        warnings = await self._api.update([{"id": int(str(task.user)), **self._changes(task)} for task in tasks])
        told = {str(row.get("itemid")): str(row.get("warningcode", "")) for row in warnings}
        for task in tasks:
            code = told.get(str(task.user))
            if code is None:
                task.changed = True
            elif task.work.operation is Operation.UPDATE:
                said = f"Update the account: Moodle warns {code}."
                task.failed(Ended(EXPLAINED[WARNINGS.get(code, "not-updated")].needs_operator(said)))
            else:
                task.notes.append(f"the ID number was not written: Moodle warns {code}")


def user_name(email: str) -> str:
    """Return a user name that Moodle takes: the address, or where it has other signs, what is left of it and a checksum.

    The checksum keeps two addresses apart of which the same is left.
    """
    if len(email) <= _LONGEST and re.fullmatch(r"[a-z0-9._@-]*", email):
        return email
    rest = re.sub(r"[^a-z0-9._@-]", "", email)
    return f"{rest[: _LONGEST - 9]}-{hashlib.sha256(email.encode()).hexdigest()[:8]}"


def _somebody_else(task: Task) -> bool:
    """Say whether the account has another ID number than the person."""
    theirs = str((task.account or {}).get("idnumber") or "")
    return bool(task.idnumber and theirs) and theirs != task.idnumber


def _spellings(task: Task) -> list[str]:
    """Return the address as we write it, and as the source does: some databases tell capitals from small letters."""
    given = (task.work.learner.email or "").strip()
    return [task.email, given] if given != task.email and given.isascii() else [task.email]


def _matches(field: str, row: Row, wanted: Sequence[str]) -> bool:
    # A database may hold an accented letter for the plain one; what is given to a person must not rest on that.
    if field not in row:
        return True  # the technical user may not see it, and it was asked for alone
    if field == "email":
        return email_key(str(row[field])) in [email_key(value) for value in wanted]
    return str(row[field]) in wanted


def _choose(task: Task, rows: Sequence[Row]) -> None:
    if len(rows) > 1:
        sure = [row for row in rows if task.idnumber and row.get("idnumber") == task.idnumber]
        rows = sure or [row for row in rows if row.get("username") == user_name(task.email)] or rows
    if len(rows) > 1:
        numbers = ", ".join(str(row.get("id")) for row in rows[:9])
        task.failed(Ended(EXPLAINED["several-accounts"].needs_operator(f"Accounts {numbers}.")))
    elif rows:
        task.user, task.account = str(rows[0].get("id")), rows[0]


def _name(text: str) -> str:
    return " ".join(re.sub(r"[<>]", " ", text).split())[:_LONGEST].strip()  # Moodle refuses what looks like a tag


def _password() -> str:
    """Return a password that nobody keeps and every usual policy takes: the person sets one by "Forgotten password"."""
    return f"aA1{secrets.choice(_SYMBOLS)}{secrets.token_urlsafe(18)}"
