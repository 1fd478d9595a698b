"""A shop of which nothing is mapped: what there is to say about it fits on a screen."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.cli_rig import ask
from tests.acceptance.rig import configuration, emulators, running

MANY = 60


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A ledger in which sixty products wait."""
    folder = tmp_path_factory.mktemp("many")

    async def buy() -> None:
        async with emulators("elevate") as targets, running(folder, targets) as (_, client):
            await asyncio.gather(*(client.register(product=f"P-{number}") for number in range(MANY)))

    asyncio.run(buy())
    return configuration(folder, {})


@pytest.mark.parametrize(
    ("words", "more"), [("check", "and 10 more: bridge quarantine"), ("quarantine --causes", "and 10 more causes")]
)
def test_so_many_products_are_not_all_shown(config, words: str, more: str) -> None:
    """The first fifty, how many there are besides, and JSON has all of them."""
    said = ask(*words.split(), "--config", config)
    assert said.code == 0
    shown = {
        word
        for line in said.out.split("[[products]]")[0].splitlines()
        for word in line.split()
        if word.startswith("P-")
    }
    assert len(shown) == 50
    assert more in " ".join(said.out.split())
    found = ask(*words.split(), "--config", config, "--json").json
    assert len(found if isinstance(found, list) else found["unmapped"]) == MANY
