"""The process that makes plugins, and `ingest plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ingest.config.inspector import ask
from ingest.pipeline.inspection import Construct, ExpandPreset, Plugin, Preset, Refusal
from tests.unit import acme


@pytest.fixture(autouse=True)
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


class TestInspector:
    """Whatever a plugin does, every question has an answer."""

    def test_a_plugin_that_ends_the_process_takes_no_other_one_along(self) -> None:
        """The ones behind it are asked of a new process."""
        first, second, third = ask(
            [
                ExpandPreset("dev"),
                Construct("filter", "acme_plugins:Crash", {}),
                Construct("enricher", "acme_tagger", {}),
            ]
        )
        assert isinstance(first, Preset)
        assert isinstance(second, Refusal)
        assert second.reason == "the process that tried it ended with SIGABRT: about to crash"
        assert isinstance(third, Plugin)
        assert (third.version, third.description, third.healthy) == ("1.2.3", "Adds a tag.", True)

    def test_no_directory_has_to_be_writable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in a container whose file system may only be read."""
        monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
        monkeypatch.setattr(tempfile, "tempdir", None)
        (answer,) = ask([ExpandPreset("dev")])
        assert isinstance(answer, Preset)

    def test_a_plugin_that_hangs_is_given_up(self) -> None:
        """With what it was that took so long."""
        (answer,) = ask([Construct("filter", "acme_plugins:Sleeper", {})], deadline_seconds=3)
        assert isinstance(answer, Refusal)
        assert answer.reason.startswith("it took longer than 3 seconds")


class TestCommand:
    """`ingest plugins`."""

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ingest", "plugins", *arguments],
            capture_output=True,
            timeout=30,
            check=True,
        )
        return done.stdout.decode()

    def test_the_table_has_a_line_for_each(self) -> None:
        """Built-in ones first, then what is installed, usable or not."""
        lines = [line.split() for line in self.run().splitlines()]
        assert lines[0] == ["KIND", "NAME", "RUNS", "VERSION", "HEALTH", "DESCRIPTION"]
        found = {line[1]: line for line in lines[1:]}
        assert found["level"][:5] == ["filter", "level", "native", "1.0.0", "healthy"]
        assert found["runtime_info"][2] == "python"
        assert found["acme_tagger"] == [
            *("enricher", "acme_tagger", "python", "1.2.3", "healthy", "Adds", "a", "tag."),
        ]
        assert found["missing"][2:5] == ["python", "-", "unusable"]
        assert "NotThere" in " ".join(found["missing"])
        assert "key" in " ".join(found["needy"][5:])

    def test_json_has_the_schema_of_the_settings(self) -> None:
        """Of built-in stages and of plugins that have one."""
        found = {at["name"]: at for at in json.loads(self.run("--json"))}
        assert found["origin"]["runs"] == "native"
        assert found["acme_tagger"]["config_schema"] == {"type": "object"}
        assert found["field_mask"]["config_schema"]["properties"]["mask_string"]["default"] == "***"
        assert found["missing"]["health"] == "unusable"
        assert found["missing"]["reason"]
