"""The garbage collector of a process that runs for long."""

from __future__ import annotations

import gc


def tune_collector() -> None:
    """Let the garbage collector look rarely: what lives from the start is left alone, and a delivery makes no cycles.

    Measured: a fifth to a third of a delivery's CPU time went into looking through what never goes away.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
