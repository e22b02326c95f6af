"""Our tables beside fapilog's own: names, settings, levels, guards, the pod's members."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from fapilog.core.levels import get_level_priority
from fapilog.plugins import loader
from fapilog.plugins.enrichers.kubernetes import KubernetesEnricher, KubernetesEnricherConfig
from fapilog.plugins.filters.adaptive_sampling import AdaptiveSamplingConfig
from fapilog.plugins.filters.first_occurrence import FirstOccurrenceConfig
from fapilog.plugins.filters.level import LevelFilterConfig
from fapilog.plugins.filters.rate_limit import RateLimitFilterConfig
from fapilog.plugins.filters.sampling import SamplingFilterConfig
from fapilog.plugins.filters.trace_sampling import TraceSamplingConfig
from fapilog.plugins.processors.size_guard import SizeGuardConfig
from fapilog.plugins.redactors.field_blocker import FieldBlockerConfig
from fapilog.plugins.redactors.field_mask import FieldMaskConfig
from fapilog.plugins.redactors.regex_mask import RegexMaskConfig, _is_potentially_dangerous
from fapilog.plugins.redactors.string_truncate import StringTruncateConfig
from fapilog.plugins.redactors.url_credentials import UrlCredentialsConfig
from fapilog.redaction import list_redaction_presets, resolve_preset_fields
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ingest.config import stages
from ingest.config.pipeline import StageTables, builtin_model
from ingest.pipeline.catalogue import BUILTINS, GROUPS, LEVELS, ORIGIN, canonical
from ingest.pipeline.patterns import needs_python, unsafe

MODELS: list[tuple[type[stages.Stage], type[BaseModel]]] = [
    (stages.Level, LevelFilterConfig),
    (stages.Sampling, SamplingFilterConfig),
    (stages.RateLimit, RateLimitFilterConfig),
    (stages.AdaptiveSampling, AdaptiveSamplingConfig),
    (stages.TraceSampling, TraceSamplingConfig),
    (stages.FirstOccurrence, FirstOccurrenceConfig),
    (stages.Kubernetes, KubernetesEnricherConfig),
    (stages.FieldMask, FieldMaskConfig),
    (stages.RegexMask, RegexMaskConfig),
    (stages.UrlCredentials, UrlCredentialsConfig),
    (stages.FieldBlocker, FieldBlockerConfig),
    (stages.StringTruncate, StringTruncateConfig),
]
PATTERNS = sorted(
    {pattern for name in list_redaction_presets() for pattern in resolve_preset_fields(name)[1]}
)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return type and bounds of every field, without its words and defaults."""
    properties = model.model_json_schema()["properties"]
    unimportant = {"title", "description", "default"}
    return {
        name: {key: value for key, value in field.items() if key not in unimportant}
        for name, field in properties.items()
    }


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the default of every field; order does not matter in what fapilog keeps as a set."""
    return {
        key: sorted(value) if isinstance(value, list | tuple) else value
        for key, value in model().model_dump().items()
    }


class TestSettings:
    """Field by field, so that they cannot drift."""

    @pytest.mark.parametrize(("ours", "theirs"), MODELS)
    def test_defaults_are_fapilogs(self, ours: type[stages.Stage], theirs: type[BaseModel]) -> None:
        assert defaults_of(ours) == defaults_of(theirs)

    @pytest.mark.parametrize(("ours", "theirs"), MODELS)
    def test_types_and_bounds_are_fapilogs(
        self, ours: type[stages.Stage], theirs: type[BaseModel]
    ) -> None:
        expected = schema_of(theirs)
        if ours is stages.RateLimit:  # fapilog checks it in a validator
            expected["overflow_action"]["enum"] = ["drop", "mark"]
        assert schema_of(ours) == expected

    def test_size_guard_is_fapilogs_dataclass(self) -> None:
        assert defaults_of(stages.SizeGuard) == {
            key: sorted(value) if isinstance(value, list) else value
            for key, value in dataclasses.asdict(SizeGuardConfig()).items()
        }
        action = get_type_hints(SizeGuardConfig)["action"]
        assert get_origin(action) is Literal
        assert schema_of(stages.SizeGuard)["action"]["enum"] == list(get_args(action))

    @pytest.mark.parametrize("name", [name for name in BUILTINS if name != ORIGIN])
    def test_fapilogs_class_takes_what_it_is_told(self, name: str) -> None:
        plugin = loader.load_plugin(
            GROUPS[BUILTINS[name].kind], name, builtin_model(name)().plugin()
        )
        assert plugin.name == name

    def test_every_built_in_stage_has_a_table(self) -> None:
        assert set(StageTables.model_fields) == set(BUILTINS)


class TestNames:
    """What a stage may be called."""

    def test_built_in_stages_and_aliases_are_fapilogs(self) -> None:
        for kind, group in GROUPS.items():
            ours = {name for name, at in BUILTINS.items() if at.kind == kind} - {ORIGIN}
            assert ours == set(loader._registry_for_group(group) or {})
            for alias, name in loader.BUILTIN_ALIASES[group].items():
                assert canonical(alias) == name

    def test_names_are_read_as_fapilog_reads_them(self) -> None:
        assert canonical("Rate-Limit") == "rate_limit"
        assert canonical("K8S-Enricher") == "kubernetes"
        assert canonical("My-Plugin") == loader._normalize_plugin_name("My-Plugin")
        assert canonical("My-Module:My-Class") == "My-Module:My-Class"

    def test_levels_are_fapilogs(self) -> None:
        assert {name: get_level_priority(name) for name in LEVELS} == LEVELS
        assert get_level_priority("unheard-of") == LEVELS["INFO"]


@pytest.mark.parametrize(
    "pod",
    ["", "web-7d4b9c6f5d-x2x9z", "db-0", "agent-x2x9z", "plain", "a-12345678-abcde\n", "-1"],
)
@pytest.mark.parametrize("skip", [True, False])
def test_members_of_the_pod_are_fapilogs(
    monkeypatch: pytest.MonkeyPatch, pod: str, skip: bool
) -> None:
    """In the same order, too."""
    monkeypatch.setenv("POD_NAME", pod)
    monkeypatch.setenv("NODE_NAME", "node-1")
    monkeypatch.setenv("CLUSTER_NAME", "")
    monkeypatch.setenv("NAMESPACE", "logs")
    table = stages.Kubernetes(prefix="k_", skip_if_not_k8s=skip, pod_namespace_env="NAMESPACE")
    enricher = KubernetesEnricher(**table.plugin())

    async def enrich() -> dict[str, Any]:
        await enricher.start()
        return await enricher.enrich({})

    expected = asyncio.run(enrich())["diagnostics"]
    assert table.kernel()["diagnostics"] == [list(item) for item in expected.items()]


class TestPatterns:
    """Which patterns the native engine may decide."""

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_patterns_of_the_redaction_presets_are_native(self, pattern: str) -> None:
        assert needs_python(pattern) is None

    @pytest.mark.parametrize(
        "pattern",
        [
            "",
            "a",
            r"^data\.(?:user|client)\.[a-z_0-9]+$",
            "(?is)a.?b*?c{2}d{1,3}e{2,}|f",
            r"\bx\b|[^\w.-]\d\D\W",
            r"[-a]|[a-]|[\]^]|\-\.\*\&",
            "(|a)",
        ],
    )
    def test_plain_syntax_is_native(self, pattern: str) -> None:
        re.compile(pattern)
        assert needs_python(pattern) is None

    @pytest.mark.parametrize(
        "pattern",
        [
            "(?!a)b",
            "(?<=a)b",
            r"(a)\1",
            "(?P<n>a)",
            "(?x)a b",
            "(?m)^a$",
            "(?i:a)",
            "(?>a)",
            "ü",
            r"\s",
            r"\S",
            r"\B",
            r"\Aa\Z",
            r"\x41",
            r"\<",
            "a++",
            "a{2}+",
            "a*?" + "?",
            "(a?)*",
            "(?:)+",
            r"(\b)*",
            "a{,3}",
            "a{101}",
            "(?:a{20}){20}",
            "{",
            "a}",
            "]",
            "[]a]",
            "[^]a]",
            "[a[b]",
            "[a&&b]",
            "[a||b]",
            "[a~~b]",
            "[!--]",
            r"[\b]",
            r"[\s]",
            "a^b",
            "a$b",
            "(^a)",
            "(a$)",
            "(" * 60 + ")" * 60,
        ],
    )
    def test_what_is_not_certain_is_left_to_python(self, pattern: str) -> None:
        assert needs_python(pattern)

    @given(st.text("ab.*+?|(){}[]^$\\,-&1i:", max_size=12))
    def test_any_pattern_has_an_answer(self, pattern: str) -> None:
        """Also one that is no pattern at all."""
        needs_python(pattern)

    @given(st.text("ab.*+|(){},0?", max_size=14))
    def test_what_is_unsafe_is_what_fapilog_refuses(self, pattern: str) -> None:
        assert unsafe(pattern) == _is_potentially_dangerous(pattern)
