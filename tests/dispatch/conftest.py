"""The rig, opened and closed."""

from __future__ import annotations

import pytest

from tests.dispatch.rig import Rig


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path)
    await rig.open()
    yield rig
    await rig.close()
