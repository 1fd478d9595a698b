"""An emulator in a process of its own: ``python -m benchmarks.emulated TYPE CORE`` prints its port, then when it took what.

One line for each request that was answered with 200: the system's monotonic clock, in nanoseconds. CORE -1 keeps to no core.
"""

from __future__ import annotations

import asyncio
import sys
import time

from benchmarks.cores import allowed, keep_to
from bridge.kit.sandbox import Recorded
from bridge.registry import emulator_class


async def main(name: str, core: int, *, told: bool) -> None:
    if core >= 0:
        keep_to(core, allowed())
    kind = emulator_class(name)

    def tell(_seen: Recorded, status: int, _: bytes) -> None:
        if status == 200:
            print(time.monotonic_ns(), flush=True)

    if told:
        kind.witness = tell
    async with kind() as emulator:
        print(emulator.base_url.rpartition(":")[2], flush=True)
        while True:
            await asyncio.sleep(5.0)
            emulator.journal.clear()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), told=len(sys.argv) > 3))
