"""The table that ``bridge quarantine --causes`` prints loads as TOML."""

from __future__ import annotations

import tomllib

import pytest

from bridge.app.mapping import quoted


@pytest.mark.parametrize(
    "product", ["plain", 'a"b\\c', "two\nlines\r\t", "M\u00fcnchen", "\U0001f600 course", "\x7f\x1b\x00", ""]
)
def test_a_product_id_of_any_signs_is_read_back_as_it_was(product: str) -> None:
    """What is printed for a product is read back as exactly its name."""
    assert tomllib.loads(f"name = {quoted(product)}")["name"] == product
