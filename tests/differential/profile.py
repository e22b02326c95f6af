"""How many examples a differential test tries: few and always the same ones, or many new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

SCALE = int(os.environ.get("DIFFERENTIAL_SCALE", "1"))
"""`make differential` sets it: so many times as many examples, from another seed every time."""


def examples(count: int) -> settings:
    """Return the decorator for a test with so many examples, each of some events."""
    return settings(
        max_examples=count * SCALE,
        derandomize=SCALE == 1,
        deadline=None,
        database=None,
        # Explaining a failure takes longer than finding it.
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
