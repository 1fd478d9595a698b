"""What a school holds, and the forms of its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

DATE = "%Y-%m-%d %H:%M:%S"
Answers = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class User:
    """One account; ``memberships`` has the end of each one ever given, None being without end."""

    id: int
    first_name: str
    last_name: str
    email: str
    password_length: int
    disabled: bool = False
    kind: str = "general"
    note: str | None = None
    membership: int | None = None
    memberships: dict[int, datetime | None] = field(default_factory=dict)
    portals: set[int] = field(default_factory=set)
    mails: int = 0


@dataclass(slots=True)
class Enrollment:
    """One person in one course or learning path (``kind``)."""

    id: int
    kind: str
    of: int
    user: int
    allowed: bool = True
    expires: datetime | None = None
    percent: int = 0

    @property
    def expired(self) -> bool:
        """Whether its end is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


@dataclass(slots=True)
class Order:
    """One order of the school's shop."""

    id: int
    user: int
    status: str
    items: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    refunded: str = ""

    @property
    def total(self) -> str:
        """The sum of its items."""
        return f"{sum(float(item['total']) for item in self.items):.2f}"


@dataclass(slots=True)
class Portal:
    """One portal; ``seats`` None is without limit."""

    seats: int | None = None
    active: bool = True


def moment(text: str) -> datetime:
    """Read a date in the vendor's form."""
    return datetime.strptime(text, DATE).replace(tzinfo=UTC)


async def body_of(request: web.Request) -> dict[str, Any]:
    """Return the body, which must be an object."""
    body = orjson.loads(await request.read())
    assert isinstance(body, dict)  # noqa: S101 - a connector that sends anything else shall hear of it
    return body


def message(status: int, text: str) -> web.Response:
    """Return an answer with a text."""
    return web.json_response({"message": text}, status=status)


def not_found(what: str) -> web.Response:
    """Return what is said of an id that nobody has."""
    return message(404, f"No query results for model [{what}].")


def invalid(**faults: str) -> web.Response:
    """Return what is said of fields that are not as they must be."""
    body = {"message": "The given data was invalid.", "errors": {name: [text] for name, text in faults.items()}}
    return web.json_response(body, status=422)


def checked(given: Mapping[str, Any], needed: Iterable[str], may: Iterable[str] = ()) -> web.Response | None:
    """Return the refusal of fields that are missing, or that the reference does not have; None where all is well."""
    needed = tuple(needed)
    faults = {name: f"The {name} field is required." for name in needed if given.get(name) in (None, "", [])}
    faults |= {name: f"The {name} field is not known." for name in given if name not in {*needed, *may}}
    return invalid(**faults) if faults else None


def page(asked: Mapping[str, str], rows: Sequence[Mapping[str, Any]], largest: int, **more: Any) -> web.Response:
    """Return one page of a list."""
    size = min(int(asked["page_size"]), largest)
    first = (int(asked["page_number"]) - 1) * size
    return web.json_response(
        {"recordsTotal": len(rows), "recordsFiltered": len(rows), "records": rows[first : first + size], **more}
    )
