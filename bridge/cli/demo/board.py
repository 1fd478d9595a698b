"""What is known of each purchase so far: what was sent and answered, and how far the ledger says it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.cli.demo.senders import Person
from bridge.cli.demo.stage import Stage
from bridge.ledger.progress import Progress, Standing, Step, WaitingLine, progress, waiting_lines

_EVERY = 0.04
_SETTLED = frozenset({"active", "cancelled"})


class StuckError(Exception):
    """Something that should have happened did not, or not in time."""


@dataclass(slots=True)
class Row:
    """One person's purchase.

    Attributes:
        story: what happens, in a few words; grows when more is sent.
        road: which protocol it came by.
        answers: (HTTP status, the status it should be) of each call.
        registrations: ids from the answers, in order, without repeats.
        repeated: whether an earlier row tells of the same purchase.
    """

    person: Person
    story: str
    road: str
    answers: list[tuple[int, int]] = field(default_factory=list)
    registrations: list[int] = field(default_factory=list)
    repeated: bool = False

    @property
    def registration(self) -> int | None:
        """The latest registration."""
        return self.registrations[-1] if self.registrations else None


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened, so many seconds after the start."""

    seconds: float
    text: str


class Board:
    """Everything that the views show."""

    def __init__(self, targets: Sequence[str]) -> None:
        """Start empty."""
        self.targets = tuple(targets)
        self.rows: list[Row] = []
        self.news: list[News] = []
        self.progress: Mapping[int, Progress] = {}
        self.quarantine: Sequence[WaitingLine] = ()
        self.lanes: dict[str, str] = {}
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def row(self, person: Person, story: str, road: str) -> Row:
        """Begin another purchase."""
        self.rows.append(Row(person, story, road))
        return self.rows[-1]

    def tell(self, text: str) -> None:
        """Keep something that happened."""
        self.news.append(News(self.seconds, text))

    def of(self, row: Row) -> Progress | None:
        """Return how far the row's latest registration is."""
        return self.progress.get(row.registration) if row.registration is not None else None

    def step(self, row: Row, target: str) -> Step | None:
        """Return how far one target is with it, or None where the purchase does not concern the target."""
        known = self.of(row)
        return known.steps.get(target) if known is not None else None

    def failed(self, row: Row, target: str) -> int:
        """Return how often a target was tried in vain."""
        step = self.step(row, target)
        return step.failed if step is not None else 0

    def is_in(self, row: Row, state: str) -> bool:
        """Say whether the row's latest registration is in a state."""
        known = self.of(row)
        return known is not None and known.state == state

    def settled(self) -> bool:
        """Say whether nothing is left to do for any registration."""
        return all(
            one.state in _SETTLED and all(step.standing is Standing.DONE for step in one.steps.values())
            for one in (self.progress.get(number) for row in self.rows for number in row.registrations)
            if one is not None
        )


class View(Protocol):
    """Whatever shows the board."""

    def show(self, board: Board) -> None:
        """Show what has changed."""


class Watch:
    """Keeps the board true to the ledger, and waits for things to come about."""

    def __init__(self, stage: Stage, board: Board, view: View) -> None:
        """Read from ``stage``, write to ``board``, have it shown by ``view``."""
        self._stage = stage
        self._board = board
        self._view = view

    async def look(self) -> None:
        """Read the ledger once and show what it says."""
        board, ledger = self._board, self._stage.bridge.ledger
        ids = sorted({number for row in board.rows for number in row.registrations})
        board.progress = await ledger.read(lambda connection: progress(connection, ids))
        board.quarantine = await ledger.read(waiting_lines)
        for target, status in self._stage.lanes().items():
            if board.lanes.get(target, "running") != status:
                board.tell(_LANE[status].format(target=target))
            board.lanes[target] = status
        self._view.show(board)

    async def until(self, what: str, come: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait for a condition on the board.

        Raises:
            StuckError: it did not come about in time.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.look()
                while not come():
                    await asyncio.sleep(_EVERY)
                    await self.look()
        except TimeoutError:
            raise StuckError(f"{what}: not within {seconds:g} s") from None

    async def rest(self, seconds: float) -> None:
        """Give the spectator time to read, while the bridge goes on."""
        end = self._board.seconds + seconds
        await self.look()
        while self._board.seconds < end:
            await asyncio.sleep(_EVERY)
            await self.look()


_LANE = {
    "open": "{target} does not answer: its lane waits (breaker open) and looks again every second",
    "paused": "{target}: the lane is paused",
    "running": "{target} answers again: its lane runs, and what was put off goes out now",
}
