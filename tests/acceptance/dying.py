"""A bridge that is killed at one await of its own: ``python -m tests.acceptance.dying CONFIG`` and orders on standard input.

An order is ``PORT POINT WHEN NTH``: run a bridge on this port, and SIGKILL it when it begins (``before``) or ends (``after``)
to wait at this point for the nth time; ``commit`` is a point of the writer's. With ``-`` for a point it lives until it is
told ``end``, and then says at which points it has waited. Each runs in a fork: what is imported is imported once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import event

from bridge.app import Bridge
from bridge.edge import logs
from bridge.ledger.writer import Writer
from bridge.registry import Registry
from config.load import load

ROOT = Path(__file__).resolve().parents[2]
PARTS = tuple(
    str(ROOT / "bridge" / part)
    for part in ("dispatch", "edge/claims", "edge/webhooks", "intake", "kit/http", "ledger", "notices")
)


def point_of(coroutine: Any) -> str | None:
    """Return the place at which a coroutine of ours waits, with the places that it was called from."""
    found = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None and frame.f_code.co_filename.startswith(PARTS):
            found.append(f"{Path(frame.f_code.co_filename).relative_to(ROOT / 'bridge')}:{frame.f_lineno}")
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return ">".join(found) or None


def say(words: str) -> None:
    os.write(1, words.encode() + b"\n")


class Watched(Coroutine[Any, Any, Any]):
    """A coroutine that notes where it waits, and dies where it is told to."""

    seen: ClassVar[dict[str, None]] = {}
    fatal: ClassVar[tuple[str, str]] = ("", "")
    armed: ClassVar[bool] = False
    lives: ClassVar[int] = 0

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine
        self._point: str | None = None

    def send(self, value: Any) -> Any:
        if self.armed and self.fatal == (self._point, "after"):
            self.lose_a_life()
        waited_for = self._coroutine.send(value)
        self._point = point_of(self._coroutine)
        if self.armed and self._point is not None:
            self.seen[self._point] = None
            if self.fatal == (self._point, "before"):
                self.lose_a_life()
        return waited_for

    @classmethod
    def lose_a_life(cls) -> None:
        cls.lives -= 1
        if cls.lives == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def throw(self, *fault: Any) -> Any:
        return self._coroutine.throw(*fault)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._coroutine.__await__())


class WatchedTask(asyncio.Task[Any]):
    """A task of a coroutine that is watched."""

    def __init__(self, coroutine: Any, **how: Any) -> None:
        super().__init__(Watched(coroutine), **how)


def watch_tasks() -> None:
    """Have every task watched: those of the loop, and those that aiohttp makes itself from Python 3.12 on."""
    asyncio.get_running_loop().set_task_factory(lambda loop, coroutine, **how: WatchedTask(coroutine, loop=loop, **how))
    asyncio.Task = WatchedTask  # type: ignore[misc]


def die_around_commits(bridge: Bridge, when: str) -> None:
    """Kill before what is written is committed, or after it, before anybody hears of it."""
    if when == "before":
        event.listen(bridge.ledger._writing, "commit", lambda _: Watched.lose_a_life() if Watched.armed else None)
    else:
        heard = Writer._resolve

        def resolve(self: Writer, *what: Any) -> None:
            if Watched.armed:
                Watched.lose_a_life()
            heard(self, *what)

        Writer._resolve = resolve


async def live(config: str, port: int, point: str, when: str, nth: int) -> None:
    watch_tasks()
    settings = load(config, Registry(), env={}).settings
    bridge = Bridge(settings.model_copy(update={"server": settings.server.model_copy(update={"port": port})}))
    Watched.fatal, Watched.lives = (point, when), nth
    if point == "commit":
        die_around_commits(bridge, when)
    await bridge.start()
    say("up")
    Watched.armed = True
    await asyncio.to_thread(sys.stdin.readline)
    Watched.armed = False
    await bridge.stop()
    say(json.dumps(list(Watched.seen)))


def main(config: str) -> None:
    logs.configure("critical")
    while order := os.read(0, 1_000).decode().split():
        child = os.fork()
        if child == 0:
            sys.stdin = os.fdopen(0)
            asyncio.run(live(config, int(order[0]), order[1], order[2], int(order[3])))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say("killed" if os.WIFSIGNALED(status) else "ended")


if __name__ == "__main__":
    main(sys.argv[1])
