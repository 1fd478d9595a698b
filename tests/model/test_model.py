"""Whatever happens in whatever order, bridge and targets end where a plain model of the promises ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger.cluster import Cluster
from tests.model.machine import Machine
from tests.model.plain import Who

DEEP = int(os.environ.get("BRIDGE_MODEL_EXAMPLES", "0"))  # noqa: TID251 - only a test is told by it, and no bridge
"""Examples of a deep search, each time others; 0 is the same few every time."""


def _settings(examples: int) -> settings:
    return settings(
        max_examples=DEEP or examples,
        stateful_step_count=60 if DEEP else 30,
        derandomize=not DEEP,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.normal,
    )


def _check(make_url: Callable[[], str], examples: int) -> None:
    machine = type("Machine", (Machine,), {"make_url": staticmethod(make_url)})
    run_state_machine_as_test(machine, settings=_settings(examples))


def test_a_ledger_on_sqlite_ends_where_the_model_ends(tmp_path: Path, sqlite_template: Path):
    """Random sequences of everything that senders, targets, operators and crashes do."""
    numbers = count()

    def make_url() -> str:
        file = tmp_path / f"bridge-{next(numbers)}.db"
        shutil.copy(sqlite_template, file)
        return f"sqlite:///{file}"

    _check(make_url, 12)


def test_a_line_that_waits_again_goes_on_waiting(tmp_path: Path, sqlite_template: Path):
    """Found by chance: an order with a line that is not mapped, cancelled, resumed and suspended again."""
    file = tmp_path / "bridge.db"
    shutil.copy(sqlite_template, file)
    state = type("Machine", (Machine,), {"make_url": staticmethod(lambda: f"sqlite:///{file}")})()
    try:
        state.open()
        state.shop_sells(back=0, order="o-3", source="store", who=Who(email="a@example.org", number="2", name="Bob"))
        for action in ("cancel", "resume", "suspend"):
            state.shop_takes(
                source="store",
                order="o-3",
                line=None,
                who=None,
                back=0,
                action=action,
                full=True,
                pending=False,
                undoes="holds",
            )
        assert list(state.model.quarantine)
    finally:
        state.teardown()


def test_a_ledger_on_postgresql_ends_where_the_model_ends(postgres: Cluster):
    """The same on the other database."""
    lent: list[Iterator[str]] = []

    def make_url() -> str:
        if lent:
            next(lent.pop(), None)
        lent.append(postgres.lend_ledger())
        return next(lent[0])

    _check(make_url, 4)
