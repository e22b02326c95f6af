"""Settings of the built-in stages, as a configuration file could have them.

Left out is what is meant to differ from fapilog: `test_differences` has that.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from fapilog.redaction import list_redaction_presets, resolve_preset_fields
from hypothesis import strategies as st

from ingest.config.pipeline import Pipeline
from ingest.config.stages import Stage
from ingest.pipeline.patterns import unsafe
from tests.differential.events import KEYS

Settings = dict[str, Any]

_segments = st.sampled_from(
    (
        *(key for key in KEYS if "." not in key and key not in {"٣", "²"}),
        *(
            "*",
            "*",
            "[*]",
            "[*]",
            "a[*]",
            "users[*]",
            "data[*]",
            "[*][*]",
            "0",
            "1",
            "2",
            "",
            "999",
        ),
        *("99999999999999999999", "b[*]", "email[*]"),
    )
)
_groups = st.sampled_from(("data", "data", "data", "context", "diagnostics", "*", "users", ""))
paths = st.builds(
    lambda group, segments: ".".join([group, *segments]), _groups, st.lists(_segments, max_size=4)
)

PRESETS = {name: resolve_preset_fields(name) for name in list_redaction_presets()}
PRESET_PATTERNS = sorted({pattern for _, own in PRESETS.values() for pattern in own})
PRESET_FIELDS = sorted({f"data.{field}" for own, _ in PRESETS.values() for field in own})

_pieces = st.sampled_from(
    (
        *(".*", "data", r"\.", "password", "(?:a|b)", "[a-z]+", r"\w+", r"\bemail\b", r"[^.]+"),
        *("a", "b", "users", "a{1,2}", "x?", ".", r"\d", r"\W", r"\D*", "[A-Z_.-]*", "^", "$"),
        *(
            "(?!a)",
            "(?<=a)",
            "(?<!\\.)",
            r"(?P<n>a)(?P=n)?",
            "é",
            r"\s",
            r"\Z",
            "(?s:.)",
            "[\\w-]+",
        ),
        *("(?i:k)", "[k-\u017f]", "[[]", r"\x61", "(|a)", "b*?", "", "ΑΣ", r"\u0061", r"\B"),
    )
)
_flags = st.sampled_from(("", "", "(?i)", "(?s)", "(?is)", "(?x)", "(?a)", "(?m)"))
_whole_patterns = st.sampled_from(
    (
        *(*PRESET_PATTERNS, "(?i).*pass.?word.*", r"(?i).*\btoken\b.*", ".*", "data", r".*\.0"),
        *(r"data\..*", r"(?i)ς.*", r"(?i).*\u017f.*", "(?i).*k.*", "[^a]*", r"(?:.*\.)?email"),
        *("", "a.b", r"(?s).*\n.*", "(?i)ß", r"\W+", "(?i)İ", "(?i)i̇"),
    )
)


def _compiles(pattern: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, Warning):
        return False
    return unsafe(pattern) is None


_own_patterns = st.builds(lambda flags, some: flags + "".join(some), _flags, st.lists(_pieces))
patterns = _whole_patterns | _own_patterns.filter(_compiles)

masks = st.sampled_from(
    (
        *("***", "***", "***", "", "[X]", "https://u:p@h/x", "//u:p@h", 'a"b\\', "é😀", "*" * 30),
        *("\x00\n", "null", "{}", "[truncated]"),
    )
)
_names = st.lists(
    st.sampled_from(("body", "RAW", "Token", "é", "ΑΣ", "ας", "İ", "i̇", "a", "", "data", "K", "k")),
    max_size=4,
)
_lengths = st.none() | st.sampled_from((1, 2, 3, 7, 8, 14, 40, 10**30))

FIELD_MASK = st.fixed_dictionaries(
    {
        "fields_to_mask": st.lists(paths, max_size=6) | st.just(PRESET_FIELDS),
        "mask_string": masks,
    }
)
REGEX_MASK = st.fixed_dictionaries(
    {"patterns": st.lists(patterns, max_size=3) | st.just(PRESET_PATTERNS), "mask_string": masks}
)
REDACTORS: dict[str, st.SearchStrategy[Settings]] = {
    "field_mask": FIELD_MASK,
    "regex_mask": REGEX_MASK,
    "url_credentials": st.just({}),
    "field_blocker": st.fixed_dictionaries(
        {}, optional={"blocked_fields": _names, "allowed_fields": _names, "replacement": masks}
    ),
    "string_truncate": st.fixed_dictionaries({"max_string_length": _lengths}),
}

_top_keys = st.sampled_from(("level", "message", "tenant", "a", "trace_id", "é", "logger", "0"))
FILTERS: dict[str, st.SearchStrategy[Settings]] = {
    "level": st.fixed_dictionaries(
        {
            "min_level": st.sampled_from(("DEBUG", "INFO", "warn", "ERROR", "FATAL", "SECURITY")),
            "drop_below": st.sampled_from((True, True, True, False)),
        }
    ),
    "sampling": st.fixed_dictionaries(
        {
            "sample_rate": st.sampled_from((0.0, 0.5, 0.9, 1.0)) | st.floats(0.0, 1.0),
            "seed": st.integers(-(2**70), 2**70),
        }
    ),
    "rate_limit": st.fixed_dictionaries(
        {
            "capacity": st.integers(1, 3),
            "refill_rate_per_sec": st.just(0.0),
            "key_field": st.none() | _top_keys,
            "max_keys": st.integers(1, 3),
            "overflow_action": st.sampled_from(("drop", "mark")),
        }
    ),
    # What passes does not depend on chance: the rate is adjusted once a second at most.
    "adaptive_sampling": st.just({}),
    "trace_sampling": st.fixed_dictionaries(
        {
            # Events without a trace are sampled at random.
            "sample_rate": st.sampled_from((0.0, 1.0)),
            "trace_id_field": st.sampled_from(("trace_id", "message", "level")),
            "always_pass_levels": st.lists(st.sampled_from(("error", "INFO", "")), max_size=2),
        }
    ),
    "first_occurrence": st.fixed_dictionaries(
        {
            "key_fields": st.lists(_top_keys, max_size=2),
            "max_keys": st.integers(1, 3),
        }
    ),
}
ENRICHERS: dict[str, st.SearchStrategy[Settings]] = {
    "origin": st.just({}),
    "kubernetes": st.fixed_dictionaries(
        {
            "prefix": st.sampled_from(("k8s_", "", "é")),
            "skip_if_not_k8s": st.booleans(),
            "pod_namespace_env": st.sampled_from(("POD_NAMESPACE", "NOT_THERE")),
        }
    ),
}
POD = {"POD_NAME": "web-7d4b9c6f5d-x2x9z", "POD_NAMESPACE": "https://u:p@h/", "NODE_NAME": 'n"1'}
"""The environment in which the pod's members are read."""
BY_NAME = FILTERS | ENRICHERS | REDACTORS


def model(name: str, settings: Settings) -> Stage:
    """Return a stage with its settings, checked as those of a configuration file are."""
    return Pipeline.model_validate({"config": {name: settings}}).config.builtin(name)


@st.composite
def pipelines(draw: st.DrawFn, output: str = "bare", executor: str = "auto") -> Pipeline:
    """Return whole pipelines; each kind of stage in any order."""
    kinds = {
        kind: draw(st.lists(st.sampled_from(sorted(stages)), unique=True, max_size=most))
        for kind, stages, most in (
            ("filters", FILTERS, 2),
            ("enrichers", ENRICHERS, 2),
            ("redactors", REDACTORS, 5),
        )
    }
    config = {name: draw(BY_NAME[name]) for names in kinds.values() for name in names}
    return Pipeline.model_validate(
        {**kinds, "config": config, "output": output, "executor": executor}
    )
