"""Measurements of the hot path, as ratios taken in one run. ``make bench`` prints the table of ``docs/performance.md``."""
