"""The cases of scaling: each configuration is one that the server takes, and has what it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import scaling
from bench.runs import Plan
from bench.scaling import ScalingCase, ScalingRun
from ingest import config

PLAN = Plan(events=1, runs=1, latency_seconds=1.0, workers=4, data_dir=Path())


@pytest.mark.parametrize(
    "case", list(scaling.cases(PLAN)), ids=lambda at: f"{at.number}-{at.dimension}"
)
def test_a_case_has_as_many_as_it_says(case: ScalingCase, file: Path) -> None:
    file.write_text(scaling.configuration(case))
    settings = config.load(file, {})
    stages = {stage.kernel: stage.config for stage in settings.pipeline.spec().stages}
    found = {
        "workers": case.number,
        "listeners": len(settings.listeners),
        "patterns": len(stages.get("regex_mask", {}).get("patterns", ())),
        "paths": len(stages.get("field_mask", {}).get("fields_to_mask", ())),
    }
    assert found[case.dimension] == case.number
    others = {"listeners": 1, "patterns": 0, "paths": 0}
    assert all(found[name] == number for name, number in others.items() if name != case.dimension)


def test_workers_are_doubled_up_to_the_plans() -> None:
    numbers = [case.number for case in scaling.cases(PLAN) if case.dimension == "workers"]
    assert numbers == [1, 2, 4]


def test_the_page_holds_each_case_against_the_first_of_its_kind() -> None:
    """Round by round: the second round was twice as dear for both."""
    one = ScalingCase("listeners", 1, [ScalingRun(2e6, 0.5), ScalingRun(1e6, 1.0)])
    four = ScalingCase("listeners", 4, [ScalingRun(1e6, 0.6), ScalingRun(5e5, 1.2)])
    rows = scaling.section([one, four]).splitlines()
    assert rows[-1].endswith("| 1.20 (1.20 to 1.20) |")
    assert rows[-2].startswith("| 1 listeners |")
