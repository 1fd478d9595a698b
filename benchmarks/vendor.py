"""An emulated HubSpot in a process of its own, with the vendor's real limit: prints its port, and at the end what it answered.

``python -m benchmarks.vendor LIMIT``: LIMIT requests in any 10 s; one more is answered 429.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

from benchmarks.cores import allowed, keep_to
from bridge.kit.sandbox import Recorded
from bridge.registry import emulator_class


async def main(limit: int) -> None:
    keep_to(1, allowed())
    kind = emulator_class("hubspot")
    answered: Counter[str] = Counter()
    taken: list[tuple[float, int]] = []

    def watch(seen: Recorded, status: int, _: bytes) -> None:
        answered[str(status)] += 1
        if status == 200 and seen.path.endswith("/contacts/batch/upsert"):
            taken.append((time.monotonic(), len(seen.json["inputs"])))

    kind.witness = watch
    async with kind() as emulator:
        emulator.limit = limit  # type: ignore[attr-defined]
        print(emulator.base_url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps({"answered": answered, "held": len(emulator.holdings()), "taken": taken}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
