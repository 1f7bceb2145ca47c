"""How many stories are told, and which: the same ones every time, unless VMFERRY_SEED says otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from lab.imageio import ImageioDaemon
from tests.integration.roundtrip.stories import STORIES, Story
from tests.integration.roundtrip.telling import tell

PARTS = 4
SEED = int(os.environ.get("VMFERRY_SEED", "2026"))


def tell_stories(count: int, part: int, daemon: ImageioDaemon) -> None:
    """Tell every PARTS-th share of `count` stories; the first that fails is made as short as it gets."""
    share = (count + PARTS - 1 - part) // PARTS
    checks = list(HealthCheck)

    @seed(SEED * PARTS + part)
    @settings(
        max_examples=share, deadline=None, database=None, suppress_health_check=checks,
        phases=[Phase.explicit, Phase.generate, Phase.shrink], print_blob=True,
    )  # fmt: skip
    @given(STORIES)
    def one(story: Story) -> None:
        tell(story, daemon)

    run: Callable[[], None] = one
    run()
