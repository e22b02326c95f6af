"""The cases of scaling: each configuration is one that the server takes, and has what it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from bench import model, scaling
from bench.model import Machine, Work
from bench.runs import Plan
from bench.scaling import ScalingCase, ScalingRun
from ingest import config

PLAN = Plan(events=1, runs=1, latency_seconds=1.0, workers=4, data_dir=Path())
CONFIGURED = [
    case for case in scaling.cases(PLAN) if case.dimension not in ("workers", "connections")
]


@pytest.mark.parametrize("case", CONFIGURED, ids=lambda at: f"{at.number}-{at.dimension}")
def test_a_case_has_as_many_as_it_says(case: ScalingCase, file: Path) -> None:
    file.write_text(scaling.configuration(case))
    settings = config.load(file, {})
    stages = {stage.kernel: stage.config for stage in settings.pipeline.spec().stages}
    found = {
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
    assert rows[-2].startswith("| listeners: 1 |")


def test_the_page_on_scaling_has_the_tables_that_the_model_prints() -> None:
    """`python -m bench.model` writes them anew."""
    page = Path(__file__).parents[2] / "docs" / "scaling.md"
    assert model.tables() in page.read_text()


@pytest.mark.parametrize(
    ("resource", "machine", "work"),
    [
        ("processor", {"cores": 16}, {"cpu_seconds_per_million": 0.26}),
        ("memory", {"memory_gb_per_second": 200}, {"passes": 8}),
        ("network", {"network_gbit_per_second": 50}, {}),
        ("disk", {"disk_mb_per_second": 6000}, {"ratio": 2.0}),
    ],
)
def test_twice_as_much_of_a_resource_allows_twice_the_events(
    resource: str, machine: dict[str, float], work: dict[str, float]
) -> None:
    """And so does an event that takes half of it; nothing else changes."""
    one = Machine("one", 8, 100, 25, 3000)
    event = Work("event", 320, 0.6, 16, 1.0)
    before = model.limits(one, event)
    for changed in (
        model.limits(structs.replace(one, **machine), event),
        model.limits(one, structs.replace(event, **work)),
    ):
        factor = 2 if changed != before else 1
        assert changed[resource] == pytest.approx(before[resource] * factor)
        assert {**changed, resource: 0} == {**before, resource: 0}
