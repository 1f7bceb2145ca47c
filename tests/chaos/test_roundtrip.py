"""The stories of tests/integration/roundtrip, two hundred of them."""

from __future__ import annotations

import os

import pytest
from lab.imageio import ImageioDaemon
from tests.integration.roundtrip.cases import PARTS, tell_stories

CASES = int(os.environ.get("VMFERRY_CASES", "200"))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS), ids=lambda part: f"part{part}")
def test_random_disks_come_back_equal(imageio: ImageioDaemon, part: int) -> None:
    tell_stories(CASES, part, imageio)
