"""The purchases, in order, and what each target should hold after all of them."""

from __future__ import annotations

from collections.abc import Awaitable

from bridge.cli.demo.board import Board, Row, StuckError, Watch
from bridge.cli.demo.senders import Person, Reply, Senders
from bridge.cli.demo.stage import Stage
from bridge.cli.demo.verdict import Place

_AMS, _GET, _POST = "AMS POST", "10XPRO GET", "10XPRO POST"
_INTRO, _ETHICS, UNMAPPED = "ABCD1234", "ETHICS", "MYSTERY-1"

ADA = Person("Ada", "Lovelace", "123456")
BEN = Person("Ben", "Banneker")
CLEO = Person("Cleo", "Wade")
DORA = Person("Dora", "Richter")
EMIL = Person("Emil", "Noether")
FAY = Person("Fay", "Ajzenberg", "123457")
GUS = Person("Gus", "Weierstrass", "123458")
HAL = Person("Hal", "Abelson", "123459")
IDA = Person("Ida", "Rhodes", "123460")
JON = Person("Jon", "Postel", "123461")
EVE = Person("Eve", "Nobody", "123462")


def _in(person: Person, tags: str, *, academy: str | None = None, elevate: str | None = None) -> list[Place]:
    given = {"academy": academy, "elevate": elevate, "hubspot": "active", "salesforce": "contact", "mailchimp": tags}
    return [Place(person.email, target, what) for target, what in given.items() if what is not None]


SHOULD: tuple[Place, ...] = (
    *_in(ADA, "ce", academy="course:42"),
    *_in(BEN, "ce", academy="course:42"),
    *_in(CLEO, "ethics", elevate="ETHICS-1"),
    *_in(DORA, "ce, ethics", academy="course:42", elevate="ETHICS-1"),
    *_in(EMIL, "forum", elevate="FORUM-5"),
    *_in(FAY, "ce", academy="course:42"),
    *_in(GUS, "ce", academy="course:42"),
    *(Place(IDA.email, target, what) for target, what in (("hubspot", "cancelled"), ("salesforce", "contact"))),
    Place(IDA.email, "mailchimp", "no tags"),
    *_in(JON, "ethics", elevate="ETHICS-1"),
)
"""Everything that the targets should hold in the end, once; Hal and Eve are nowhere."""


class Script:
    """Plays the purchases, one scene after the other."""

    def __init__(self, stage: Stage, board: Board, watch: Watch, pace: float) -> None:
        """Rest ``pace`` seconds after each call, for whoever looks on."""
        self._stage = stage
        self._board = board
        self._watch = watch
        self._pace = pace
        self._send = Senders(stage.session)

    async def play(self) -> None:
        """Play everything.

        Raises:
            StuckError: a call was not answered as it should be, or something did not come about in time.
        """
        await self._every_protocol()
        await self._hubspot_goes()
        await self._an_answer_is_lost()
        await self._turned_away()
        await self._cancelled()
        await self._bought_again()
        await self._hubspot_comes_back()

    async def _every_protocol(self) -> None:
        send = self._send
        ada = self._board.row(ADA, "Ada buys", _AMS)
        await self._sent(ada, send.ams(ADA, _INTRO))
        again = self._board.row(ADA, "Ada's purchase, repeated", _AMS)
        again.repeated = True
        await self._sent(again, send.ams(ADA, _INTRO))
        ben = self._board.row(BEN, "Ben buys with full access", _GET)
        await self._sent(ben, send.checkout_get(BEN, {"course_id": "3", "full_access": "yes"}))
        cleo = self._board.row(CLEO, "Cleo buys, by form", _POST)
        await self._sent(cleo, send.checkout_post(CLEO, {"course_id": "4"}))
        dora = self._board.row(DORA, "Dora buys a bundle", _POST)
        await self._sent(dora, send.checkout_post(DORA, {"bundle_id": "9"}))
        emil = self._board.row(EMIL, "Emil joins the forum", _POST)
        await self._sent(emil, send.checkout_post(EMIL, {"forum_category_id": "5", "forum_full_access": "yes"}))
        await self._watch.until("the first purchases settled", self._board.settled)

    async def _hubspot_goes(self) -> None:
        await self._stage.emulators["hubspot"].stop()
        self._board.tell("HubSpot is switched off")
        fay = self._board.row(FAY, "Fay; HubSpot is down", _AMS)
        await self._sent(fay, self._send.ams(FAY, _INTRO))
        await self._watch.until("HubSpot tried twice for Fay", lambda: self._board.failed(fay, "hubspot") >= 2)

    async def _an_answer_is_lost(self) -> None:
        self._stage.emulators["academy"].now_fails("lost", times=1, method="POST", path="/enroll")
        self._board.tell("Academy of Mine will do the next enrollment and lose its answer")
        gus = self._board.row(GUS, "Gus; LMS answer gets lost", _AMS)
        await self._sent(gus, self._send.ams(GUS, _INTRO))
        await self._watch.until("Gus enrolled after all", lambda: self._board.is_in(gus, "active"))

    async def _turned_away(self) -> None:
        hal = self._board.row(HAL, "Hal; product not mapped", _AMS)
        await self._sent(hal, self._send.ams(HAL, UNMAPPED), due=422)
        eve = self._board.row(EVE, "Eve has a wrong key", _AMS)
        await self._sent(eve, self._send.ams(EVE, _INTRO, key="guessed"), due=401)

    async def _cancelled(self) -> None:
        ida = self._board.row(IDA, "Ida buys", _AMS)
        await self._sent(ida, self._send.ams(IDA, _INTRO))
        await self._cancels(ida, "Ida buys and cancels")

    async def _bought_again(self) -> None:
        jon = self._board.row(JON, "Jon buys", _AMS)
        await self._sent(jon, self._send.ams(JON, _ETHICS))
        await self._cancels(jon, "Jon buys, cancels")
        jon.story = "Jon buys, cancels, rebuys"
        await self._sent(jon, self._send.ams(JON, _ETHICS))
        await self._watch.until("Jon back in", lambda: self._board.is_in(jon, "active"))

    async def _hubspot_comes_back(self) -> None:
        await self._stage.emulators["hubspot"].start()
        self._board.tell("HubSpot is switched on again")
        await self._watch.until("everything settled", self._board.settled)

    async def _cancels(self, row: Row, story: str) -> None:
        await self._watch.until(f"{row.person.first} in", lambda: self._board.is_in(row, "active"))
        row.story = story
        if row.registration is not None:
            await self._sent(row, self._send.ams_cancels(row.registration))
        await self._watch.until(f"{row.person.first} out", lambda: self._board.is_in(row, "cancelled"))

    async def _sent(self, row: Row, call: Awaitable[Reply], due: int = 200) -> None:
        reply = await call
        row.answers.append((reply.status, due))
        number = reply.registration_id
        if number is not None and number not in row.registrations:
            row.registrations.append(number)
        told = "" if number is None else f", registration {number}"
        self._board.tell(f"{row.story}: {reply.request} → {reply.status}{told}")
        if reply.status != due:
            raise StuckError(f"{row.story}: {reply.request} was answered {reply.status}, not {due}")
        await self._watch.rest(self._pace)
