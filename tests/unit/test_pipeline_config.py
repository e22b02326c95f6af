"""The table [pipeline]: what it may say, and what it comes to."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ingest import contract
from ingest.config import load, load_with_notes, render_toml
from ingest.config.pipeline import Pipeline
from ingest.contract import PipelineSpec, StageSpec

pytestmark = pytest.mark.usefixtures("plain_environment", "acme_plugins")

RICH = """
[pipeline]
filters = ["LEVEL", "rate-limit"]
enrichers = ["origin", "k8s", "acme_tagger"]
redactors = ["acme_plugins:Scrubber", "regex_mask", "url_credentials"]
processors = ["size_guard"]
output = "envelope"
[pipeline.config.level]
min_level = "warning"
[pipeline.config.k8s]
prefix = "pod."
[pipeline.config.regex-mask]
patterns = ["(?!x).*secret", 'a\\.b']
max_depth = 3
[pipeline.config.size_guard]
max_bytes = "64KiB"
[pipeline.config.acme_tagger]
tag = "t"
[pipeline.config."acme_plugins:Scrubber"]
config = {words = ["a", 'b"\\'], "odd key" = {x = [1, 2.5, true]}}
[pipeline.policy.acme_tagger]
fail = "dead_letter"
budget = "20ms"
"""


def pipeline(file: Path, text: str) -> Pipeline:
    """Load a configuration; return its pipeline."""
    file.write_text(text)
    return load(file, {}).pipeline


def stage(spec: PipelineSpec, name: str) -> StageSpec:
    """Return the stage of that name."""
    return next(at for at in spec.stages if at.name == name)


def names(spec: PipelineSpec) -> list[str]:
    """Return the names of the stages in the order in which they run."""
    return [at.name for at in spec.stages]


class TestSpec:
    """What a worker is told."""

    def test_without_configuration_there_are_origin_and_url_credentials(self) -> None:
        """Both native, so that nobody needs fapilog."""
        spec = load(None, {}).pipeline.spec()
        assert [(at.name, at.kind, at.kernel, at.config) for at in spec.stages] == [
            ("origin", "enricher", "origin", {}),
            ("url_credentials", "redactor", "url_credentials", {}),
        ]
        assert spec.output == "bare"

    def test_built_ins_alone_start_no_process_and_import_no_fapilog(self, file: Path) -> None:
        """It would cost half a second and 44 MB in the supervisor."""
        file.write_text(
            '[pipeline]\nfilters = ["level"]\nredactors = ["regex_mask"]\n'
            '[pipeline.config.regex_mask]\npatterns = ["a"]'
        )
        program = """if True:
            import subprocess, sys
            from pathlib import Path
            from ingest.config import load
            def refuse(*arguments, **keywords): raise AssertionError("a process was started")
            subprocess.Popen = refuse
            load(Path(sys.argv[1]), {}).pipeline.spec()
            assert not any(name.split(".")[0] == "fapilog" for name in sys.modules)
        """
        subprocess.run([sys.executable, "-c", program, str(file)], check=True, timeout=30)

    def test_a_rich_pipeline(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Aliases, tables, plugins, policies."""
        monkeypatch.setenv("POD_NAME", "web-7d4b9c6f5d-x2x9z")
        spec = pipeline(file, RICH.replace(', "odd key" = {x = [1, 2.5, true]}', "")).spec()
        assert names(spec) == [
            "level",
            "rate_limit",
            "kubernetes",
            "acme_tagger",
            "origin",
            "acme_plugins:Scrubber",
            "regex_mask",
            "url_credentials",
            "size_guard",
        ]
        assert [at.kernel for at in spec.stages] == [
            "level",
            "rate_limit",
            None,
            None,
            "origin",
            None,
            "regex_mask",
            "url_credentials",
            "size_guard",
        ]
        assert stage(spec, "level").config == {"min_priority": 30, "drop_below": True}
        assert stage(spec, "regex_mask").config == {
            "patterns": ["(?!x).*secret", r"a\.b"],
            "python_patterns": ["(?!x).*secret"],
            "mask_string": "***",
        }
        assert stage(spec, "kubernetes").config["prefix"] == "pod."
        tagger = stage(spec, "acme_tagger")
        assert (tagger.plugin, tagger.config) == ("acme_tagger", {"tag": "t"})
        assert (tagger.fail, tagger.budget_seconds) == ("dead_letter", 0.02)
        assert (tagger.breaker_failures, tagger.breaker_seconds) == (5, 30.0)
        assert stage(spec, "acme_plugins:Scrubber").fail == "closed"
        assert stage(spec, "kubernetes").fail == "open"
        assert spec.output == "envelope"
        assert contract.decode(contract.encode(spec), PipelineSpec) == spec

    def test_the_python_executor_runs_fapilogs_classes(self, file: Path) -> None:
        """With their guards open, so that they see as much of an event as the kernels do.

        All but `size_guard`, whose class leaves nothing of an envelope.
        """
        spec = pipeline(
            file,
            '[pipeline]\nexecutor = "python"\nfilters = ["level"]\nredactors = ["field_mask"]\n'
            'processors = ["size_guard", "zero_copy"]',
        ).spec()
        assert {at.name for at in spec.stages if at.kernel} == {"size_guard"}
        assert stage(spec, "origin").plugin == "ingest.pipeline.reference:Origin"
        assert stage(spec, "level").config == {"min_level": "INFO", "drop_below": True}
        mask = stage(spec, "field_mask").config
        assert mask["max_depth"] == mask["max_keys_scanned"] == 2**63 - 1
        assert stage(spec, "size_guard").config["max_bytes"] == 256_000
        assert stage(spec, "zero_copy").config == {}

    def test_values_are_shaped_for_the_kernels(self, file: Path) -> None:
        """As native/src/pipeline/config.rs reads them."""
        spec = pipeline(
            file,
            """[pipeline]
            filters = ["sampling", "rate_limit", "adaptive_sampling", "trace_sampling",
                       "first_occurrence"]
            redactors = ["field_blocker", "string_truncate"]
            [pipeline.config.sampling]
            seed = 123456789012345678901234567890
            [pipeline.config.rate_limit]
            overflow_action = "MARK"
            max_keys = 123456789012345678901234567890
            [pipeline.config.adaptive_sampling]
            always_pass_levels = ["error"]
            [pipeline.config.trace_sampling]
            always_pass_levels = ["audit"]
            [pipeline.config.field_blocker]
            blocked_fields = ["Body", "RAW", "body"]
            allowed_fields = ["raw"]
            """,
        ).spec()
        assert stage(spec, "sampling").config["seed"] == "123456789012345678901234567890"
        assert stage(spec, "rate_limit").config == {
            "capacity": 10.0,
            "refill_rate_per_sec": 5.0,
            "key_field": None,
            "max_keys": 2**63 - 1,
            "mark": True,
        }
        assert stage(spec, "adaptive_sampling").config["always_pass_levels"] == ["ERROR"]
        assert stage(spec, "trace_sampling").config["always_pass_levels"] == ["AUDIT"]
        assert stage(spec, "first_occurrence").config["key_fields"] == ["message"]
        assert stage(spec, "field_blocker").config["blocked_fields"] == ["body"]
        assert stage(spec, "string_truncate").config == {"max_string_length": None}

    def test_a_pipeline_with_presets_has_to_be_resolved_first(self) -> None:
        """Or its masks would be missing."""
        with pytest.raises(ValueError, match="not expanded"):
            Pipeline(preset="production").spec()


class TestPresets:
    """fapilog's presets, as its documentation means them."""

    @pytest.mark.parametrize(
        ("preset", "expected"),
        [
            ("production", ["level", "origin", "field_mask", "regex_mask", "url_credentials"]),
            ("adaptive", ["level", "origin", "field_mask", "regex_mask", "url_credentials"]),
            ("serverless", ["level", "origin", "field_mask", "regex_mask", "url_credentials"]),
            (
                "hardened",
                ["level", "origin", "field_mask", "regex_mask", "url_credentials", "field_blocker"],
            ),
            ("minimal", ["level", "origin"]),
            ("dev", ["origin"]),
        ],
    )
    def test_stages_of_a_preset(self, file: Path, preset: str, expected: list[str]) -> None:
        """The enrichers of a logging process have no place in a server."""
        assert names(pipeline(file, f'[pipeline]\npreset = "{preset}"').spec()) == expected

    def test_hardened_masks_all_that_its_redaction_presets_name(self, file: Path) -> None:
        """And blocks, which fapilog's own settings switch off."""
        spec = pipeline(file, '[pipeline]\npreset = "hardened"').spec()
        assert len(stage(spec, "field_mask").config["fields_to_mask"]) == 125
        assert len(stage(spec, "regex_mask").config["patterns"]) == 30
        assert stage(spec, "regex_mask").config["python_patterns"] == []
        assert "body" in stage(spec, "field_blocker").config["blocked_fields"]

    def test_given_keys_win_over_the_preset(self, file: Path) -> None:
        """Also empty ones."""
        text = '[pipeline]\npreset = "production"\n'
        assert names(pipeline(file, f"{text}filters = []\nredactors = []").spec()) == ["origin"]
        spec = pipeline(file, f'{text}redactors = ["url_credentials", "field-mask"]').spec()
        assert names(spec) == ["level", "origin", "url_credentials", "field_mask"]
        assert len(stage(spec, "field_mask").config["fields_to_mask"]) == 33
        spec = pipeline(file, f"{text}redaction_presets = []").spec()
        assert stage(spec, "regex_mask").config["patterns"] == []
        spec = pipeline(file, f'{text}[pipeline.config.level]\nmin_level = "ERROR"').spec()
        assert stage(spec, "level").config["min_priority"] == 40

    def test_redaction_presets_come_behind_what_was_given(self, file: Path) -> None:
        """Sorted, each value once, the masks in front of the redactors."""
        spec = pipeline(
            file,
            '[pipeline]\nredaction_presets = ["PCI_DSS", "CREDENTIALS"]\n'
            '[pipeline.config.field_mask]\nfields_to_mask = ["data.z", "data.cvv"]',
        ).spec()
        assert names(spec) == ["origin", "field_mask", "regex_mask", "url_credentials"]
        fields = stage(spec, "field_mask").config["fields_to_mask"]
        assert fields[:2] == ["data.z", "data.cvv"]
        assert fields[2:] == sorted(fields[2:])
        assert len(fields) == len(set(fields)) == 33 + 24 + 1


class TestSources:
    """Where a pipeline can be written."""

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lists as JSON, the other keys one by one."""
        monkeypatch.setenv("INGEST_PIPELINE__FILTERS", '["level"]')
        monkeypatch.setenv("INGEST_PIPELINE__CONFIG__LEVEL__MIN_LEVEL", "ERROR")
        monkeypatch.setenv("INGEST_PIPELINE__ENRICHERS", '["runtime_info"]')
        monkeypatch.setenv("INGEST_PIPELINE__POLICY__RUNTIME_INFO__BUDGET", "1s")
        spec = load(None, {}).pipeline.spec()
        assert stage(spec, "level").config["min_priority"] == 40
        assert stage(spec, "runtime_info").budget_seconds == 1

    def test_a_preset_of_the_file_and_a_key_of_the_environment(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keys win over the preset wherever they are given."""
        file.write_text('[pipeline]\npreset = "production"')
        monkeypatch.setenv("INGEST_PIPELINE__FILTERS", "[]")
        assert "level" not in names(load(file, {}).pipeline.spec())


class TestRendering:
    """The pipeline as `check` prints it."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            RICH.replace(', "odd key" = {x = [1, 2.5, true]}', ""),
            '[pipeline]\npreset = "hardened"\nenrichers = ["k8s", "runtime_info"]',
            '[pipeline]\nexecutor = "python"\nprocessors = ["size_guard"]',
        ],
    )
    def test_what_is_printed_is_read_back_as_the_same_pipeline(self, file: Path, text: str) -> None:
        """With everything written out, so that it needs no preset any more."""
        file.write_text(text)
        first = load(file, {})
        file.write_text(render_toml(first))
        assert load(file, {}) == first
        assert load(file, {}).pipeline.spec() == first.pipeline.spec()
        assert "preset" not in tomllib.loads(file.read_text())["pipeline"]

    def test_any_table_of_a_plugin_can_be_written(self) -> None:
        """Keys in quotes, tables in lists, lists in lists."""
        table: dict[str, Any] = {
            "odd key": {"x": [1, 2.5, True]},
            "rules": [{"a": 1}, {"b": {"c": []}}],
            "mixed": [[1], {"a b": "\x7f\n"}],
            "empty": {},
        }
        settings = load(None, {})
        config = settings.pipeline.config.model_copy(update={"origin": None})
        config = type(config)(**{"a:B": table})
        changed = settings.model_copy(
            update={"pipeline": settings.pipeline.model_copy(update={"config": config})}
        )
        printed = tomllib.loads(render_toml(changed))
        assert printed["pipeline"]["config"]["a:B"] == table

    def test_notes_say_what_runs_in_python_and_why(self, file: Path) -> None:
        """And what has no effect."""
        file.write_text(
            RICH.replace(', "odd key" = {x = [1, 2.5, true]}', "").replace(
                'tag = "t"', "healthy = false"
            )
        )
        notes = load_with_notes(file, {}).notes
        assert notes == (
            (
                "enricher kubernetes 1.1.0 runs in Python: another enricher does, and all of them"
                " see the event as it was before"
            ),
            (
                "enricher acme_tagger 1.2.3 runs in Python: it is a plugin; its health_check says"
                " that it is not well"
            ),
            "redactor acme_plugins:Scrubber 1.2.3 runs in Python: it is a plugin",
            "pipeline.config.regex_mask.max_depth has no effect: events are covered whole",
            (
                "pipeline.config.regex_mask.patterns[0] is decided by Python's engine, once for"
                " each path: it has the group (?!"
            ),
        )

    def test_check_prints_the_notes_as_comments(self, file: Path) -> None:
        """So its output is a configuration file."""
        file.write_text('[pipeline]\nenrichers = ["runtime_info"]\nredaction_presets = ["PCI_DSS"]')
        done = subprocess.run(
            [sys.executable, "-m", "ingest", "check", "--config", file],
            capture_output=True,
            timeout=30,
            check=True,
        )
        output = done.stdout.decode()
        assert tomllib.loads(output)["pipeline"]["enrichers"] == ["runtime_info"]
        assert output.splitlines()[-3:] == [
            "# redaction presets PCI_DSS are written out here",
            "# enricher runtime_info 1.1.0 runs in Python: fapilog's own class does it",
            "# enricher runtime_info describes this server, not the sender",
        ]
