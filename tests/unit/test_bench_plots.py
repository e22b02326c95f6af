"""Pictures of results: all of those there are results for, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench.figures import Summary
from bench.plots import __main__ as plots
from bench.plots import bars, pictures, tables
from bench.plots.bars import Bar

RUN = {"events": 10, "events_per_second": 2e6, "cpu_seconds_per_million": 0.5}
PEER_RUN = {**RUN, "peak_resident_bytes": None, "generator_cpu_seconds_per_million": 0.1}
COMPLETE_RUN = {
    **RUN,
    "bytes": 3200,
    "kernel_dropped": 0,
    "stored_events": 10,
    "worker_cpu_seconds_per_million": 0.5,
    "generator_cpu_seconds_per_million": 0.1,
    "peak_resident_bytes": {},
}
# Durable within 15 ms the first half, and within 20 ms the rest.
BUCKETS = [0] * 7 + [5, 5] + [0] * 14
LATENCY = dict.fromkeys(("p50", "p90", "p95", "p99", "p999", "maximum"), 15.0)
RESULTS: dict[str, Any] = {
    "peers": {
        "versions": {},
        "absent": {},
        "grounds": [
            {
                "ground": "json",
                "entries": [
                    {"name": "ingest", "runs": [PEER_RUN, None], "failures": ["round 2: <gone>"]},
                    {"name": "rsyslog", "runs": [PEER_RUN, PEER_RUN], "failures": []},
                    {"name": "absent", "runs": [None], "failures": ["round 1: gone"]},
                ],
            }
        ],
    },
    "limits": {
        "limits": [{"name": "copy", "job": "copies", "runs": [RUN]}],
        "ours": [{"pipeline": "none", "runs": [COMPLETE_RUN]}],
        "absent": {},
    },
    "scaling": [{"dimension": "listeners", "number": 4, "runs": [RUN | COMPLETE_RUN]}],
}


def case(name: str, group: str, **parameters: object) -> dict[str, Any]:
    """Return what results.json has of a case with one run that failed and one that did not."""
    return {
        "name": name,
        "group": group,
        "compared_to": None,
        "parameters": parameters,
        "runs": [None, COMPLETE_RUN],
        "latency": [
            None,
            {
                "events_per_second": 1e6,
                "milliseconds": {"samples": 10, "buckets": BUCKETS, **LATENCY},
            },
        ],
        "failures": ["round 1: none"],
    }


MATRIX = [
    case("reference", "pipelines"),
    case("connections-64", "connections", connections=64),
    case("bytes-1024", "sizes", event_bytes=1024),
]


def written(tmp_path: Path, results: dict[str, Any]) -> Path:
    (tmp_path / "results.json").write_bytes(msgspec.json.encode(results))
    return tmp_path


def test_every_part_of_the_results_has_its_pictures(tmp_path: Path) -> None:
    """Each of them is well-formed, and drawing them again gives the same bytes."""
    directory = written(tmp_path, {**RESULTS, "matrix": MATRIX})
    drawn = list(pictures.pictures(pictures.read([directory])))
    assert {each.name for each in drawn} == {
        *("peers-json-rate", "peers-json-cpu", "limits-rate", "limits-cpu"),
        *("cases-rate", "cases-cpu", "connections-speed", "connections-cpu"),
        *("sizes-speed", "sizes-cpu", "latency", "scaling"),
    }
    for picture in drawn:
        ET.fromstring(picture.text)  # noqa: S314 - our own
    assert drawn == list(pictures.pictures(pictures.read([directory])))


def test_a_missing_part_has_no_picture_and_takes_an_old_one_away(tmp_path: Path) -> None:
    """The page shows exactly the pictures that there are."""
    directory = written(tmp_path, {"matrix": [case("raw", "pipelines")], "peers": None})
    old = tmp_path / "pictures" / "peers-json-rate.svg"
    old.parent.mkdir()
    old.write_text("old")
    drawn = list(pictures.pictures(pictures.read([directory])))
    plots.write(drawn, [directory], tmp_path)
    files = {each.name for each in old.parent.iterdir()}
    assert files == {"cases-rate.svg", "cases-cpu.svg", "latency.svg"}
    page = (tmp_path / "pictures.md").read_text()
    assert all(f"(pictures/{name})" in page for name in files)
    assert page.count(".svg)") == len(files)


def test_tables_are_written_between_their_marks(tmp_path: Path) -> None:
    """Also where some were written before; a page without marks is a mistake."""
    shown = pictures.read([written(tmp_path, {"scaling": RESULTS["scaling"]})])
    page = tmp_path / "scaling.md"
    marks = ("<!-- scaling: written by make plots -->", "<!-- scaling: end -->")
    page.write_text("\n".join(("before", marks[0], "| old |", marks[1], "behind", "")))
    assert tables.write(shown, tmp_path) == [page]
    first = page.read_text()
    assert tables.write(shown, tmp_path) == [page]
    assert page.read_text() == first
    lines = first.splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind")
    assert "| old |" not in lines
    assert sum(line.startswith("| listeners: 4 |") for line in lines) == 1
    page.write_text("no marks")
    with pytest.raises(ValueError, match="marks of scaling"):
        tables.write(shown, tmp_path)


def test_directories_without_results_have_no_pictures(tmp_path: Path) -> None:
    assert not list(pictures.pictures(pictures.read([tmp_path])))


def test_names_are_shown_as_they_are() -> None:
    """Also those that mean something in XML."""
    row = Bar('<rate> & "cost"', Summary(2.0, 1.0, 3.0))
    root = ET.fromstring(bars.bars("a < b", [row], ".1f"))  # noqa: S314 - our own
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a < b", row.name, "2.0"]
