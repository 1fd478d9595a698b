"""Which core does what: the measured one has a core of its own, where there are two and the system lets us choose."""

from __future__ import annotations

import os


def allowed() -> list[int]:
    """Return the cores this process may use; empty where nobody can tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to(place: int, cores: list[int]) -> None:
    """Stay on the core at this place among ``cores``; on the last of them where there are fewer."""
    if cores:
        os.sched_setaffinity(0, {cores[min(place, len(cores) - 1)]})
