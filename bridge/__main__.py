"""``python -m bridge`` and the ``bridge`` command."""

from __future__ import annotations

from bridge.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
