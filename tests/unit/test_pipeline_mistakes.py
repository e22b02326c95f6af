"""What each mistake in the table [pipeline] reads like: source, key, fault and remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingest.config import load
from ingest.errors import ConfigurationError, ExitStatus

pytestmark = pytest.mark.usefixtures("plain_environment", "acme_plugins")

MISTAKES = [
    (
        (
            'filters = ["first_occurrence"]\n[pipeline.config.first_occurrence]\n'
            f"key_fields = {[str(number) for number in range(33)]}"
        ),
        "config.first_occurrence.key_fields: names 33 keys; give at most 32",
    ),
    (
        'filters = ["leevl"]',
        'filters[0]: "leevl" is no filter; did you mean "level"? known are adaptive_sampling, ',
    ),
    (
        'enrichers = ["origin", "acme-tager"]',
        'enrichers[1]: "acme_tager" is no enricher; did you mean "acme_tagger"? known are ',
    ),
    ('filters = ["field-mask"]', 'filters[0]: "field-mask" is a redactor; name it in pipeline.red'),
    ('filters = ["acme_tagger"]', 'filters[0]: "acme_tagger" is an enricher; name it in pipeline.'),
    (
        (
            'filters = ["acme_plugins:Scrubber"]\n[pipeline.config."acme_plugins:Scrubber"]\n'
            "config = {words = []}"
        ),
        'filters[0]: "acme_plugins:Scrubber" is a redactor; name it in pipeline.redactors',
    ),
    (
        'filters = ["level", "Level"]',
        'filters[1]: "Level" stands in pipeline.filters already; name a stage once',
    ),
    ('filters = "level"', 'filters: "level" is not a list of texts; give one like ["one", "two"]'),
    ("filters = [3]", "filters[0]: 3 is not text; give text in quotes"),
    ('executor = "rust"', 'executor: "rust" is not a choice; give "auto" or "python"'),
    ('preset = "produktion"', 'preset: "produktion" is no preset; did you mean "production"? kno'),
    (
        'redaction_presets = ["CREDENTIALS", "pci-dss"]',
        'redaction_presets[1]: "pci-dss" is no redaction preset; did you mean "PCI_DSS"? known ',
    ),
    (
        "[pipeline.config.level]",
        'config.level: has no stage; name "level" in pipeline.filters, or leave the table out',
    ),
    ("[pipeline.config.orign]\nx = 1", 'config.orign: has no stage; did you mean "origin"?'),
    (
        "[pipeline.config.qqqq]",
        "config.qqqq: has no stage; the stages are origin, url_credentials",
    ),
    ("[pipeline.policy.qqqq]", "policy.qqqq: has no stage; the stages are origin, url_credentials"),
    (
        "[pipeline.policy.origin]",
        "policy.origin: is the policy of a native kernel, which cannot fail; leave it out",
    ),
    (
        'enrichers = ["runtime_info"]\n[pipeline.policy.runtime_info]\nfail = "shut"',
        'policy.runtime_info.fail: "shut" is not a choice; give "open" or "closed" or "dead_',
    ),
    (
        'enrichers = ["runtime_info"]\n[pipeline.policy.runtime_info]\nbudget = "6s"',
        "policy.runtime_info.budget: 6s is more than half of supervision.heartbeat_timeout, after ",
    ),
    (
        'enrichers = ["runtime_info"]\n[pipeline.policy.runtime_info]\nbudgt = 1',
        'policy.runtime_info.budgt: is not a known key; did you mean "budget"?',
    ),
    (
        'enrichers = ["runtime_info"]\n[pipeline.config.runtime_info]\nx = 1',
        "config.runtime_info.x: is not a known key; this table has none",
    ),
    (
        'filters = ["level"]\n[pipeline.config.level]\nmin_levl = "INFO"',
        'config.level.min_levl: is not a known key; did you mean "min_level"?',
    ),
    (
        'filters = ["level"]\n[pipeline.config.level]\nmin_level = "TRACE"',
        'config.level.min_level: "TRACE" is not a level; give one of DEBUG, INFO, ',
    ),
    (
        'filters = ["level"]\n[pipeline.config.level]\ndrop_below = "perhaps"',
        'config.level.drop_below: "perhaps" is not a yes or no; give true or false',
    ),
    (
        'filters = ["sampling"]\n[pipeline.config.sampling]\nsample_rate = 2',
        "config.sampling.sample_rate: 2 is too large; give at least 0, at most 1",
    ),
    (
        'filters = ["adaptive_sampling"]\n[pipeline.config.adaptive_sampling]\ntarget_eps = inf',
        "config.adaptive_sampling.target_eps: inf is not a finite number",
    ),
    (
        (
            'filters = ["adaptive_sampling"]\n[pipeline.config.adaptive_sampling]\n'
            "max_sample_rate = 0.001"
        ),
        "config.adaptive_sampling.max_sample_rate: 0.001 is less than min_sample_rate; give at le",
    ),
    (
        'redactors = ["regex_mask"]\n[pipeline.config.regex_mask]\npatterns = ["a", "b", "(c"]',
        'config.regex_mask.patterns[2]: "(c" is not a regular expression of Python: missing ), unt',
    ),
    (
        'redactors = ["regex_mask"]\n[pipeline.config.regex_mask]\npatterns = ["(a+)+"]',
        'config.regex_mask.patterns[0]: "(a+)+" could take without end (nested quantifier); rewri',
    ),
    (
        'enrichers = ["k8s"]\n[pipeline.config.k8s]\n[pipeline.config.kubernetes]',
        'config.kubernetes: is the table of "kubernetes" once more; write one table for each stage',
    ),
    (
        'enrichers = ["acme_tagger"]\n[pipeline.config.acme_tagger]\ntags = "x"',
        "config.acme_tagger.tags: is refused by the plugin: is not a known key",
    ),
    (
        'enrichers = ["acme_tagger"]\n[pipeline.config.acme_tagger]\ntag = 3',
        'enrichers[0]: "acme_tagger" cannot be used: tag has to be a text; give it the settings th',
    ),
    (
        (
            'redactors = ["acme_plugins:Scrubber"]\n[pipeline.config."acme_plugins:Scrubber"]\n'
            "config = {words = [1]}"
        ),
        'config."acme_plugins:Scrubber".config.words[0]: is refused by the plugin: Input should be',
    ),
    (
        'enrichers = ["acme_tagger"]\n[pipeline.config.acme_tagger]\ntag = [2026-01-01]',
        "config.acme_tagger: holds 2026-01-01, which a plugin cannot be given; use text, numbers,",
    ),
    (
        'enrichers = ["missing"]',
        "enrichers[0]: \"missing\" cannot be used: module 'acme_plugins' has no attribute 'NotThe",
    ),
    (
        'enrichers = ["no_such_module:Thing"]',
        "enrichers[0]: \"no_such_module:Thing\" cannot be used: No module named 'no_such_module'; ",
    ),
    (
        'filters = ["acme_plugins:Synchronous"]',
        'filters[0]: "acme_plugins:Synchronous" cannot be used: filter must be async; keep fapilog',
    ),
    (
        'filters = ["acme_plugins:Crash"]',
        'filters[0]: "acme_plugins:Crash" cannot be used: the process that tried it ended with SIG',
    ),
    (
        (
            f"[pipeline.config.url_credentials]\n[pipeline.config.field_mask]\n"
            f"fields_to_mask = {[f'data.{number:06}' for number in range(10000)]}"
        ),
        "config.field_mask: has no stage",
    ),
]


class TestMistakes:
    """One line of source, key, fault and remedy."""

    @pytest.mark.parametrize(("text", "expected"), MISTAKES)
    def test_a_mistake_names_file_key_and_remedy(
        self, file: Path, text: str, expected: str
    ) -> None:
        file.write_text(f"[pipeline]\n{text}")
        with pytest.raises(ConfigurationError) as caught:
            load(file, {})
        line = str(caught.value)
        assert caught.value.exit_status is ExitStatus.CONFIGURATION
        assert line.startswith(f"{file}: pipeline.{expected}")
        assert "\n" not in line

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("INGEST_PIPELINE__FILTERS", '["leevl"]', 'pipeline.filters[0]: "leevl" is no filter'),
            ("INGEST_PIPELINE__FILTERS", "level", "pipeline.filters: is not JSON; write the list"),
            ("INGEST_PIPELINE__PRESET", "x", 'pipeline.preset: "x" is no preset; known are adapt'),
            (
                "INGEST_PIPELINE__CONFIG__ORIGIN__X",
                "1",
                "pipeline.config.origin.x: is not a known key; this table has none",
            ),
            (
                "INGEST_PIPELINE__CONFIG__FIELD_MASK__FIELDS_TO_MASK",
                "a.b",
                "pipeline.config.field_mask.fields_to_mask: is not JSON; write the list like",
            ),
        ],
    )
    def test_a_mistake_in_the_environment_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError) as caught:
            load(None, {})
        assert str(caught.value).startswith(f"{name}: {expected}")

    def test_a_server_with_a_wrong_pipeline_binds_nothing(self, file: Path, tmp_path: Path) -> None:
        """It ends with status 4, and there is no data directory."""
        file.write_text('[pipeline]\npreset = "prod"')
        done = subprocess.run(
            [sys.executable, "-m", "ingest", "serve", "--config", file, "--data-dir", "data"],
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == ExitStatus.CONFIGURATION
        assert b'pipeline.preset: "prod" is no preset' in done.stderr
        assert not (tmp_path / "data").exists()
