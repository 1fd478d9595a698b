"""Bringing contacts to Salesforce: adopted where one is there, linked where a duplicate rule found it, else upserted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import quote
from weakref import WeakValueDictionary

from bridge.contract.command import email_key
from bridge.contract.outbound import NeedsOperator, Outcome, TryLater
from bridge.kit.http import Answer
from connectors.outbound.salesforce.errors import ERRORS
from connectors.outbound.salesforce.outcomes import Problem, Told, is_id, objects, only_match, problem_of, unreadable
from connectors.outbound.salesforce.people import NAME, Person
from connectors.outbound.salesforce.session import Session
from connectors.outbound.salesforce.writer import Writer

_LONGEST_QUERY = 7_500  # characters of an address, encoded; many a server or proxy takes 8 kB
_LOOK, _LINK = "look for contacts by e-mail", "link the contact that matches"
_GONE = ("NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY")
# Of the whole process: two targets of one organisation look at the same contacts. By loop, organisation, and what it is about.
_TURNS: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, str], asyncio.Lock] = WeakValueDictionary()
_ESCAPED = str.maketrans({"\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class Contacts:
    """Writes the contacts of a batch."""

    def __init__(self, writer: Writer, session: Session, organisation: str, *, adopt: bool, link: bool) -> None:
        """``organisation``: its address. ``adopt``: look by e-mail first. ``link``: adopt what a duplicate rule found."""
        self._writer = writer
        self._session = session
        self._adopt = adopt
        self._link_matches = link
        self._organisation = organisation.rstrip("/").casefold()

    async def bring(self, people: Sequence[Person], until: float) -> None:
        """Write everybody's contact. Who has an outcome afterwards could not be written."""
        if strangers := [one for one in people if self._adopt and _stranger(one)]:
            async with self._turn_of({_email(one) for one in strangers}):
                places = await self._places(strangers)
                if adopted := [one for one in strangers if one.work.person in places]:
                    await self._take(adopted, places, until)
        await self._upsert([one for one in people if one.outcome is None and not one.there], until)

    async def _upsert(self, people: Sequence[Person], until: float, *, made_up: bool = False) -> None:
        if not people:
            return
        told = await self._writer.write([one.record(made_up=made_up) for one in people], until)
        nameless: list[Person] = []
        for person, one in zip(people, told, strict=True):
            if not made_up and _lacks_name(one.problem, person):
                nameless.append(person)
            elif self._link_matches and one.problem.code == "DUPLICATES_DETECTED":
                await self._link(person, one)
            else:
                person.written(one)
        await self._upsert(nameless, until, made_up=True)

    @asynccontextmanager
    async def _turn_of(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Let one delivery at a time look and adopt for an address, or a contact: two learners must not take the same one."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as turns:
            for name in sorted(names):  # in one order, so that no two deliveries wait for each other
                turn = _TURNS.setdefault((loop, self._organisation, name), asyncio.Lock())
                await turns.enter_async_context(turn)
            yield

    async def _places(self, people: Sequence[Person]) -> dict[str, str]:
        """Return who is to be adopted, and the id of their contact. Of several that match, a person has to choose."""
        found = await self._matches(sorted({_email(one) for one in people}))
        taken: set[str] = set()
        places: dict[str, str] = {}
        if isinstance(found, dict):
            for person in people:
                self._choose(person, found.get(email_key(_email(person)), ()), taken, places)
            return places
        for person in people:
            person.outcome = found
        return places

    def _choose(
        self, person: Person, matches: Sequence[tuple[str, str]], taken: set[str], places: dict[str, str]
    ) -> None:
        if any(key.casefold() == person.work.person.casefold() for _, key in matches):
            return  # ours already: the upsert finds it
        # A contact with another external id is another learner's, with whom this one shares the address.
        free = [found for found, key in matches if not key and found not in taken]
        if len(free) > 1:
            person.outcome = ERRORS["several-matches"].needs_operator(f"{_LOOK}: {', '.join(sorted(free)[:5])}")
        elif free:
            places[person.work.person] = free[0]
            taken.add(free[0])

    async def _matches(self, emails: Sequence[str]) -> dict[str, list[tuple[str, str]]] | Outcome:
        """Ask for many addresses by one query, and return (id, external id) by address."""
        found: dict[str, list[tuple[str, str]]] = {}
        for query in _queries(emails, self._writer.kind.external_id):
            path = f"/query?q={query}"
            while path:
                answer = await self._session.call("GET", path)
                said, rows = answer.json, objects(answer.json, "records")
                if not answer.ok or rows is None:
                    return self._not_told(answer)
                for row in rows:
                    key = str(row.get(self._writer.kind.external_id) or "")
                    found.setdefault(email_key(str(row.get("Email") or "")), []).append((str(row.get("Id")), key))
                path = self._session.below(str(said.get("nextRecordsUrl") or "")) if not said.get("done", True) else ""
        return found

    def _not_told(self, answer: Answer) -> Outcome:
        if answer.ok:
            return unreadable(answer, _LOOK)
        problem = problem_of(answer.json)
        if answer.status == 400 and problem.code in ("INVALID_FIELD", "INVALID_TYPE", "MALFORMED_QUERY"):
            # Its message quotes the query, and that the addresses of everybody in it.
            return ERRORS["no-lookup"].needs_operator(f"{_LOOK}: HTTP 400, {problem.code}", "lane")
        if problem.code == "QUERY_TIMEOUT":
            return TryLater(f"{_LOOK}: HTTP {answer.status}, {problem.code}", cause="busy")
        return self._writer.table.of_call(answer, _LOOK)

    async def _take(self, people: Sequence[Person], places: dict[str, str], until: float) -> None:
        """Write our external id, and the fields along with it, on the contacts that were found."""
        told = await self._writer.write([one.record(at=places[one.work.person]) for one in people], until)
        for person, one in zip(people, told, strict=True):
            if one.outcome is None:
                person.written(Told(id=places[person.work.person]), "adopted the contact with this e-mail")
            elif one.problem.code in _GONE:
                person.outcome = TryLater(f"{_LOOK}: the contact is no longer there; the next try looks again")
            elif one.problem.code == "DUPLICATE_VALUE" and self._writer.kind.external_id in one.problem.message:
                continue  # the learner has a contact, with another address: the upsert finds it
            else:
                person.outcome = one.outcome

    async def _link(self, person: Person, told: Told) -> None:
        """Write our external id on the one contact that the duplicate rule matched, then upsert again."""
        found = only_match(told.problem.duplicates)
        if found is None and told.problem.duplicates:
            person.outcome = ERRORS["no-sure-match"].needs_operator(_LINK)
            return
        if found is None:  # a result of a collections call need not say which one matched: asked once more, by itself
            again = await self._writer.one(person.record())
            found = only_match(again.problem.duplicates)
            if found is None:
                missed = again.problem.code == "DUPLICATES_DETECTED"
                person.written(Told(ERRORS["no-sure-match"].needs_operator(_LINK)) if missed else again)
                return
        async with self._turn_of({found}):
            await self._link_to(person, found)

    async def _link_to(self, person: Person, found: str) -> None:
        key = self._writer.kind.external_id
        held = await self._session.call("GET", f"/sobjects/Contact/{found}?fields=Id,{key}")
        record = held.json if held.ok else None
        if not isinstance(record, dict):
            person.outcome = self._unlinked(held, person)
        elif record.get(key) and str(record[key]).casefold() != person.work.person.casefold():
            person.outcome = _anothers(found)  # adopting it would take the record away from another learner
        else:
            person.written(await self._writer.one(person.record(at=found)), "linked the contact that matched")

    def _unlinked(self, held: Answer, person: Person) -> Outcome:
        if held.status == 404:
            return TryLater(f"{_LINK}: it is no longer there; the next try sees what matches now")
        return unreadable(held, _LINK) if held.ok else self._writer.table.of_call(held, _LINK, person.record())


def _stranger(person: Person) -> bool:
    return not person.contact and bool(person.work.learner.email)


def _email(person: Person) -> str:
    return (person.work.learner.email or "").strip().lower()


def _lacks_name(problem: Problem, person: Person) -> bool:
    """Say whether the contact is a new one, and nobody told its last name."""
    return problem.code == "REQUIRED_FIELD_MISSING" and NAME in problem.fields and NAME not in person.fields


def _anothers(found: str) -> NeedsOperator:
    return ERRORS["anothers-contact"].needs_operator(f"{_LINK}: {found if is_id(found) else ''}")


def _queries(emails: Iterable[str], external_id: str) -> list[str]:
    """Return the queries, encoded, each as long as an address may be."""
    head = f"SELECT Id, Email, {external_id} FROM Contact WHERE Email IN ("  # noqa: S608 - SOQL reads only; escaped
    lists: list[list[str]] = []
    size = _LONGEST_QUERY
    for email in emails:
        literal = quote(f"'{email.translate(_ESCAPED)}'", safe="")
        if size + len(literal) + 3 > _LONGEST_QUERY:
            lists.append([])
            size = len(head)
        lists[-1].append(literal)
        size += len(literal) + 3
    return [quote(head, safe="") + "%2C".join(one) + "%29" for one in lists]
