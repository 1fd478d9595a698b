"""How many files and connections a bridge may have open."""

from __future__ import annotations

import resource

from bridge.cli.run import raise_files


def test_a_bridge_takes_more_files_than_it_was_given() -> None:
    """One target may have a thousand requests in flight, and many systems give a process 1,024 files unless it asks."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, before[1]), before[1]))
    try:
        raise_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == min(65_536, hard)
        assert hard == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
