"""What a claimed delivery may come to: no work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do: the target holds what is wanted."""

    why: str
