"""The configuration: where values come from, and what each mistake reads like."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ingest.config import Settings, load, render_toml
from ingest.config.catalogue import keys_of, table_of
from ingest.config.flags import settings_from_flags
from ingest.config.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    split_address,
)
from ingest.errors import ConfigurationError, ExitStatus

pytestmark = pytest.mark.usefixtures("plain_environment")


def mistake(file: Path | None = None, **flags: Any) -> str:  # noqa: ANN401 - any flag
    """Load what must be refused; return the line that says why."""
    with pytest.raises(ConfigurationError) as caught:
        load(file, settings_from_flags(**flags))
    assert caught.value.exit_status is ExitStatus.CONFIGURATION
    text = str(caught.value)
    assert "\n" not in text
    return text


class TestSources:
    """Where values come from."""

    def test_defaults_are_usable_as_they_are(self) -> None:
        """Nothing has to be configured to try the server."""
        settings = load(None, {})
        assert settings.data_dir == "./ingest-data"
        assert settings.workers == len(os.sched_getaffinity(0))
        assert [(at.kind, at.address, at.name) for at in settings.listeners] == [
            ("tcp", "127.0.0.1:5140", "tcp-5140"),
            ("udp", "127.0.0.1:5140", "udp-5140"),
        ]
        assert settings.admin.address == "127.0.0.1:5142"
        assert settings.journal.sync_interval == pytest.approx(0.025)
        assert {at.format for at in settings.listeners} == {"auto"}
        assert settings.limits.line_bytes == 256 * 1024
        assert settings.limits.connections == 20_000
        assert settings.limits.idle_timeout is None

    def test_a_flag_wins_over_the_environment_over_the_file(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Key by key, so that one variable does not hide a whole table of the file."""
        file.write_text('workers = 3\ndata_dir = "from-file"\n[journal]\nlevel = 7\n')
        monkeypatch.setenv("INGEST_WORKERS", "4")
        monkeypatch.setenv("INGEST_JOURNAL__SYNC_INTERVAL", "50ms")
        settings = load(file, settings_from_flags(workers=5))
        assert settings.workers == 5
        assert load(file, {}).workers == 4
        assert settings.data_dir == "from-file"
        assert settings.journal.level == 7
        assert settings.journal.sync_interval == pytest.approx(0.05)

    def test_a_list_of_listeners_fits_into_one_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A container is configured by its environment alone."""
        monkeypatch.setenv("INGEST_LISTENERS", '[{"kind":"tcp","address":"0.0.0.0:5140"}]')
        assert [at.address for at in load(None, {}).listeners] == ["0.0.0.0:5140"]

    def test_one_address_flag_replaces_all_configured_listeners(self, file: Path) -> None:
        """Also those of the other kind."""
        file.write_text('[[listeners]]\nkind = "udp"\naddress = "127.0.0.1:1"\n')
        settings = load(file, settings_from_flags(tcp=["127.0.0.1:2", "[::1]:3"]))
        assert [(at.kind, at.address) for at in settings.listeners] == [
            ("tcp", "127.0.0.1:2"),
            ("tcp", "[::1]:3"),
        ]

    def test_every_flag_sets_its_key(self, tmp_path: Path) -> None:
        """The flags of `serve` other than the TCP addresses."""
        settings = load(
            None,
            settings_from_flags(
                data_dir=tmp_path,
                workers=1,
                udp=["127.0.0.1:9"],
                admin="127.0.0.1:10",
                log_level="DEBUG",
                log_format="pretty",
            ),
        )
        assert settings.data_dir == str(tmp_path)
        assert settings.admin.address == "127.0.0.1:10"
        assert (settings.log.level, settings.log.format) == ("DEBUG", "pretty")

    def test_what_kubernetes_sets_for_a_service_called_ingest_is_no_mistake(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It shares our prefix and cannot be switched off everywhere."""
        monkeypatch.setenv("INGEST_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("INGEST_PORT_5140_TCP", "tcp://10.0.0.1:5140")
        monkeypatch.setenv("INGEST_ADMIN_SERVICE_PORT", "5142")
        load(None, {})

    def test_listeners_without_a_name_get_different_ones(self) -> None:
        """A counter belongs to exactly one listener."""
        settings = load(None, settings_from_flags(tcp=["127.0.0.1:0", "127.0.0.1:0"]))
        assert [at.name for at in settings.listeners] == ["tcp-0", "tcp-0-2"]

    def test_settings_cannot_be_changed(self) -> None:
        """Every role works with what was checked."""
        with pytest.raises(ValueError, match="frozen"):
            setattr(load(None, {}), "workers", 9)  # noqa: B010 - mypy knows it, too


FILE_MISTAKES = [
    ("workers = 0", "workers: 0 is too small; give at least 1, at most 1024"),
    ("workers = 1.5", "workers: 1.5 is not a whole number; give one like 4"),
    ("data_dir = 3", "data_dir: 3 is not text; give text in quotes"),
    ('data_dir = ""', 'data_dir: "" is empty; give some text'),
    ("[jurnal]\nlevel = 1", 'jurnal: is not a known key; did you mean "journal"?'),
    ("[journal]\nlevle = 1", 'journal.levle: is not a known key; did you mean "level"?'),
    (
        "[admin]\nqqq = 1",
        "admin.qqq: is not a known key; known are address",
    ),
    ("journal = 3", "journal: 3 is not a table; give a table of compression, level"),
    (
        '[journal]\ncompression = "lz4"',
        'journal.compression: "lz4" is not a choice; give "auto" or "none" or "zstd"',
    ),
    (
        '[journal]\nsync_interval = "25 parsecs"',
        'journal.sync_interval: "25 parsecs" is not a duration; write it like "25ms"',
    ),
    ("[journal]\nsync_interval = 0", "journal.sync_interval: 0.0 is too small; give at least 1ms"),
    (
        f'[journal]\nqueue_bytes = "{"9" * 400}"',
        f'journal.queue_bytes: "{"9" * 400}" is not a size; write it like "64KiB"',
    ),
    (
        '[journal]\nqueue_bytes = "1 MB"',
        'journal.queue_bytes: "1 MB" is not a size; write it like "64KiB"',
    ),
    (
        '[journal]\ndisk_reserve = "a bit"',
        'journal.disk_reserve: "a bit" is no part of a disk; write it like "10%", "512MiB"',
    ),
    (
        '[journal]\ndisk_low_water = "90%"',
        'journal.disk_low_water: "90%" is more than half of a disk; give at most 50%',
    ),
    (
        '[journal]\nretention_bytes = "1MiB"',
        (
            "journal.retention_bytes: 1MiB is less than journal.segment_bytes, and only whole"
            " segments are deleted; give at least 256MiB"
        ),
    ),
    (
        '[limits]\nline_bytes = "4MiB"\narena_bytes = "4MiB"',
        "limits.arena_bytes: 4MiB does not hold two lines of limits.line_bytes; give at least 8MiB",
    ),
    (
        '[limits]\nline_bytes = "1MiB"\npartial_bytes = "1MiB"',
        (
            "limits.partial_bytes: 1MiB does not hold two lines of limits.line_bytes;"
            " give at least 2MiB"
        ),
    ),
    (
        '[supervision]\nheartbeat_timeout = "300ms"',
        (
            "supervision.heartbeat_timeout: 300ms is less than two of"
            " supervision.heartbeat_interval; give at least 500ms"
        ),
    ),
    (
        '[supervision]\nbackoff_maximum = "10ms"',
        (
            "supervision.backoff_maximum: 10ms is less than supervision.backoff_initial;"
            " give at least 100ms"
        ),
    ),
    ("listeners = []", "listeners: is empty; give at least one [[listeners]] table"),
    (
        "listeners = 3",
        "listeners: 3 is not a list of tables; give one [[listeners]] for each",
    ),
    (
        '[[listeners]]\nkind = "http"\naddress = "127.0.0.1:1"',
        'listeners[0].kind: "http" is not a choice; give "tcp" or "udp" or "tls" or "unix"',
    ),
    ('[[listeners]]\nkind = "tcp"', "listeners[0].address: is missing; give an address"),
    (
        '[[listeners]]\naddress = "127.0.0.1:1"',
        'listeners[0].kind: is missing; give "tcp" or "udp"',
    ),
    (
        '[[listeners]]\nkind = "tcp"\naddress = "5140"',
        'listeners[0].address: "5140" is not an address; write it like "127.0.0.1:5140"',
    ),
    (
        '[[listeners]]\nkind = "tcp"\naddress = "127.0.0.1:1"\nname = "a b"',
        'listeners[0].name: "a b" is not a name; give up to 63 letters',
    ),
    (
        '[[listeners]]\nkind = "tcp"\naddress = "127.0.0.1:1"\n' * 2,
        "listeners[1].address: 127.0.0.1:1 is already the address of a tcp listener",
    ),
    (
        '[[listeners]]\nkind = "tcp"\naddress = "127.0.0.1:5142"',
        "listeners[0].address: 127.0.0.1:5142 is also admin.address",
    ),
    (
        (
            '[[listeners]]\nkind = "tcp"\naddress = "127.0.0.1:1"\nname = "a"\n'
            '[[listeners]]\nkind = "tcp"\naddress = "127.0.0.1:2"\nname = "a"'
        ),
        'listeners[1].name: "a" is the name of another listener',
    ),
]


class TestMistakes:
    """What each mistake reads like: one line of source, key, fault and remedy."""

    @pytest.mark.parametrize(("text", "expected"), FILE_MISTAKES)
    def test_a_mistake_in_the_file_names_file_key_and_remedy(
        self, file: Path, text: str, expected: str
    ) -> None:
        """One case for every kind of mistake."""
        file.write_text(text)
        assert mistake(file).startswith(f"{file}: {expected}")

    def test_several_mistakes_are_counted_and_the_misspelt_key_leads(self, file: Path) -> None:
        """It is often the cause of the others."""
        file.write_text('workers = 0\n[journal]\nlevle = 1\nsync_interval = "x"')
        assert mistake(file).endswith(
            'journal.levle: is not a known key; did you mean "level"? (and 2 more)'
        )

    def test_a_file_that_is_not_there(self, file: Path) -> None:
        """The operating system's words for it."""
        assert mistake(file) == f"{file}: cannot be read: No such file or directory"

    def test_a_file_that_is_not_toml(self, file: Path) -> None:
        """With the place that the parser found."""
        file.write_text("workers =")
        assert mistake(file).startswith(f"{file}: is not valid TOML: ")

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("INGEST_WORKERS", "x", 'workers: "x" is not a whole number'),
            ("INGEST_JOURNAL__LEVEL", "77", 'journal.level: "77" is too large'),
            ("INGEST_JOURNAL__LEVLE", "7", "journal.levle: is not a known key"),
            ("INGEST_WOKERS", "3", 'wokers: is not a known key; did you mean "workers"?'),
            ("INGEST_LISTENERS", "x", "listeners: is not JSON"),
            ("INGEST_LISTENERS", '[{"kind":"x"}]', 'listeners[0].kind: "x" is not a choice'),
            ("INGEST_JOURNAL", '{"level":0}', "journal.level: 0 is too small"),
        ],
    )
    def test_a_mistake_in_the_environment_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
    ) -> None:
        """Its own variable, or the one that holds the table as JSON."""
        monkeypatch.setenv(name, value)
        assert mistake().startswith(f"{name}: {expected}")

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ({"workers": 0}, "--workers: workers: 0 is too small"),
            ({"tcp": ["x"]}, '--tcp: listeners[0].address: "x" is not an address'),
            (
                {"tcp": ["127.0.0.1:1"], "udp": ["127.0.0.1:70000"]},
                '--udp: listeners[1].address: "127.0.0.1:70000" is not an address',
            ),
            ({"admin": "x"}, '--admin: admin.address: "x" is not an address'),
            ({"log_level": "LOUD"}, '--log-level: log.level: "LOUD" is not a choice'),
        ],
    )
    def test_a_mistake_in_a_flag_names_the_flag(self, flags: dict[str, Any], expected: str) -> None:
        """The one that was typed, beside the key it stands for."""
        assert mistake(**flags).startswith(expected)

    def test_the_source_that_counts_is_blamed(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not the one whose value was overridden."""
        file.write_text("workers = 2")
        monkeypatch.setenv("INGEST_WORKERS", "0")
        assert mistake(file).startswith("INGEST_WORKERS: ")

    def test_a_default_that_no_longer_fits_is_called_one(self, file: Path) -> None:
        """Nobody wrote it anywhere, so no file can be blamed."""
        file.write_text('[admin]\naddress = "127.0.0.1:5140"')
        assert mistake(file) == (
            "default: listeners[0].address: 127.0.0.1:5140 is also admin.address;"
            " choose a different one"
        )

    def test_a_table_whose_default_no_longer_fits_is_found_in_the_file(self, file: Path) -> None:
        """The table is there, so that is where the key belongs."""
        file.write_text("[supervision]\nbackoff_initial = 60")
        assert mistake(file).startswith(f"{file}: supervision.backoff_maximum: 30s is less than")


class TestRendering:
    """The settings as `check` prints them."""

    def test_what_is_printed_is_read_back_as_the_same_settings(self, file: Path) -> None:
        """So the output of `check` is a configuration file."""
        original = load(
            None,
            {
                "data_dir": 'with "quotes" and \\',
                "journal": {"retention_age": "7d", "retention_bytes": "1TiB"},
                "listeners": [{"kind": "udp", "address": "[::1]:514", "name": "syslog"}],
            },
        )
        file.write_text(render_toml(original))
        assert load(file, {}) == original

    def test_numbers_are_printed_as_people_write_them(self) -> None:
        """In the largest unit that fits."""
        printed = tomllib.loads(render_toml(load(None, {})))
        assert printed["journal"]["sync_interval"] == "25ms"
        assert printed["journal"]["segment_bytes"] == "256MiB"


class TestQuantities:
    """Sizes, durations and addresses."""

    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("64KiB", 65536),
            ("1GiB", 1 << 30),
            ("1.5KiB", 1536),
            (7, 7),
            ("7", 7),
            ("2 MiB", 2 << 20),
        ],
    )
    def test_sizes(self, text: object, size: int) -> None:
        """What is a size."""
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "1kb", "MiB", "-1", -1, 1.5, "0.3B", True, None, [1]])
    def test_no_sizes(self, text: object) -> None:
        """Decimal units are refused, because half of the readers take them for binary."""
        with pytest.raises(ValueError, match="is not a size"):
            parse_size(text)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("25ms", 0.025), ("1.5h", 5400), ("7d", 604_800), (0.5, 0.5), ("3", 3), ("2 m", 120)],
    )
    def test_durations(self, text: object, seconds: float) -> None:
        """What is a duration."""
        assert parse_duration(text) == pytest.approx(seconds)

    @pytest.mark.parametrize("text", ["", "1w", "-1s", float("nan"), float("inf"), False, None])
    def test_no_durations(self, text: object) -> None:
        """Nor are negative and unending times."""
        with pytest.raises(ValueError, match="is not a duration"):
            parse_duration(text)

    @given(st.integers(min_value=0, max_value=1 << 50))
    def test_a_size_survives_being_written(self, size: int) -> None:
        """For every number of bytes."""
        assert parse_size(format_size(size)) == size

    @given(st.integers(min_value=0, max_value=10**9).map(lambda ms: ms / 1000))
    def test_a_duration_survives_being_written(self, seconds: float) -> None:
        """For every number of milliseconds."""
        assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        ("address", "parts"),
        [("localhost:0", ("localhost", 0)), ("[::1]:5140", ("::1", 5140))],
    )
    def test_addresses(self, address: str, parts: tuple[str, int]) -> None:
        """The host without its brackets, and the port."""
        assert split_address(address) == parts

    @pytest.mark.parametrize("address", ["", "host", ":5140", "::1:5140", "h:65536", "h:-1", "h:¹"])
    def test_no_addresses(self, address: str) -> None:
        """An IPv6 host needs brackets to tell it from the port."""
        with pytest.raises(ValueError, match="is not an address"):
            split_address(address)


def test_every_key_says_what_it_is_for() -> None:
    """The reference is generated from these texts."""
    tables: list[type[BaseModel]] = [Settings]
    for table in tables:
        for key in keys_of(table):
            assert key.field.description, f"{table.__name__}.{key.name}"
            if nested := table_of(key.field):
                tables.append(nested)
