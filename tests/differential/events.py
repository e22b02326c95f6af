"""Events as senders might write them: the text of a line, not what it means.

Keys come from a small set, so that the paths and patterns of `configurations` meet them, and are
spelt in every way that JSON allows.
"""

from __future__ import annotations

import string

from hypothesis import strategies as st

KEYS = (
    *("data", "context", "diagnostics", "level", "message", "timestamp", "logger", "tags"),
    *("a", "b", "c", "users", "email", "password", "Password", "passWORD_hash", "token", "api-key"),
    *("body", "BODY", "Request_Body", "raw", "trace_id", "tenant", "rate_limited", "ingest"),
    *("0", "1", "007", "*", "[*]", "x[*]", "", " ", ".", "a.b", "data.a", "users.", ".email"),
    *(
        "é",
        "ΑΣ",
        "İ",
        "\u017f",
        "\u212a",
        "٣",
        "²",
        "😀",
        "\u05d0\u202e",
        "\u2028",
        "\x00",
        "\n",
        "\t",
    ),
    *('"', "\\", "/", "k8s_pod", "k8s_node", "pod", "log", "schema_version", "x" * 9, "y" * 40),
)
"""Of events; the literal `x[*]` comes without an `x` beside it."""

_SHORT = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", '"': '"', "\\": "\\", "/": "/"}
_MUST = {*'"\\', *map(chr, range(0x20))}

SCHEMES = (
    *("http", "https", "ftp", "ftps", "ssh", "git", "svn", "postgres", "postgresql", "mysql"),
    *("mongodb", "mongodb+srv", "mssql", "cockroachdb", "redis", "rediss", "amqp", "amqps"),
    *("nats", "ldap", "ldaps", "smtp", "smtps", "HTTPS", "gopher", "postgresql+asyncpg", "httpx"),
)


def brief(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return a strategy that hypothesis can write down in short."""

    @st.composite
    def part(draw: st.DrawFn) -> str:
        return draw(strategy)

    return part()


def spelt(text: str, choice: int) -> str:
    """Write a JSON string; the bits of `choice` say which characters are escaped, and how."""
    out = ['"']
    for at, character in enumerate(text):
        bits = choice >> (2 * at % 62) & 3
        if character in _SHORT and (character in _MUST or bits == 1) and bits != 2:
            out.append("\\" + _SHORT[character])
        elif character in _MUST or bits == 3:
            units = character.encode("utf-16-be").hex()
            units = units.upper() if at % 2 else units
            out += [f"\\u{units[unit : unit + 4]}" for unit in range(0, len(units), 4)]
        else:
            out.append(character)
    return "".join([*out, '"'])


def spellings(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON strings of texts: half of them without a needless escape."""
    return st.builds(spelt, texts, st.just(0) | st.integers(0, 2**62 - 1))


_some_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_words = st.sampled_from(
    (*KEYS, "***", "[truncated]", "+++", "message " * 9, "é" * 70, "😀" * 9, "\x7f", "\ufeff")
)
_userinfo = st.sampled_from(
    (
        *("", "u", "u:p", ":p", "u:", ":", "u@v", "a:b@c:d", "%40:p", "ü:ß", "u\t:p\n", "\t:", "@"),
        *("u:[::1]", "u:p\\", " u:p", "[", "u:]p"),
    )
)
_hosts = st.sampled_from(
    (
        *("h", "H.Example", "h,I", "", "ΑΣ.com", "h\t.io", "127.0.0.1", "h%41", "İ", "h ", "a\\b"),
        *(
            "[::1]",
            "[FE80::1%Eth0]",
            "[v1.A]",
            "[::1",
            "::1]",
            "[1.2.3.4]",
            "a\u2100b",
            "u:p\uff20h",
        ),
    )
)
_ports = st.sampled_from(("", "", "", ":", ":80", ":0080", ":0", ":65535", ":65536", ":x", ":²"))
_rests = st.sampled_from(
    (
        "",
        "/",
        "/a@b",
        "//x",
        "//a:b@h/",
        "/P?q=1#f",
        "?#",
        "?a?b#c#d",
        "/a\rb?c\nd",
        "/ü",
        "#",
        "/;",
    )
)
urls = st.builds(
    "{}{}{}{}{}{}{}".format,
    st.sampled_from((*(f"{scheme}:" for scheme in SCHEMES), "", "see http:", " http:")),
    st.sampled_from(("//", "//", "//", "//", "/", "")),
    _userinfo,
    st.sampled_from(("@", "@", "@", "")),
    _hosts,
    _ports,
    _rests,
)
"""Of all shapes, good and bad."""

strings = brief(
    spellings(_words | urls | _some_text | st.builds(str.__mul__, _some_text, st.just(20)))
)
numbers = st.one_of(
    st.sampled_from(
        (
            *("0", "-0", "-0.0", "0.0", "1", "-1", "1.0", "1e0", "1E+2", "-1e-7", "0e5", "1e5"),
            *("9007199254740993", "9223372036854775807", "-9223372036854775808", "1e16", "1.5e300"),
            *("18446744073709551615", "0.1", "5e-324", "1.7976931348623157e308", "0.00001"),
            *("123456789.123456789123456789", "100000000000000000000.0", "30", "1767225600.5"),
        )
    ),
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
scalars = brief(strings | strings | numbers | st.sampled_from(("true", "false", "null")))
_gaps = st.sampled_from(("", "", "", "", " ", "\t", "  ", "\r"))


def _array(items: list[str], gap: str) -> str:
    return f"[{gap}{f'{gap},{gap}'.join(items)}{gap}]"


def _object(members: list[tuple[str, int, str]], gap: str) -> str:
    texts = (f"{spelt(key, choice)}{gap}:{value}" for key, choice, value in members)
    return f"{{{gap}{f',{gap}'.join(texts)}{gap}}}"


def objects(
    values: st.SearchStrategy[str], keys: st.SearchStrategy[str] | None = None, most: int = 4
) -> st.SearchStrategy[str]:
    """Return objects without a key that stands there twice."""
    choices = st.just(0) | st.integers(0, 2**62 - 1)
    keys = keys or st.sampled_from(KEYS) | _some_text
    members = st.lists(st.tuples(keys, choices, values), max_size=most, unique_by=lambda at: at[0])
    return st.builds(_object, members, _gaps)


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(_array, st.lists(values, max_size=3), _gaps)


values = brief(st.recursive(scalars, lambda inner: _arrays(inner) | objects(inner), max_leaves=5))


def _nested(keys: list[str], value: str) -> str:
    for key in keys:
        value = f"[{value}]" if key == "[" else f"{{{spelt(key, 0)}:{value}}}"
    return value


_deep = brief(
    st.builds(_nested, st.lists(st.sampled_from((*KEYS, "[", "[", "[")), max_size=10), scalars)
)

timestamps = brief(
    spellings(
        st.sampled_from(
            (
                *("2026-11-22T00:04:06.035Z", "2026-11-22T00:04:06Z", "2026-11-22T00:04:06.035Z\n"),
                *(
                    "2026-01-01T01:00:00.123456+01:00",
                    "2026-01-01 01:00:00",
                    "2026-01-01",
                    "20260101",
                ),
                *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.9999-01:00", "2026-W01-1", "Z"),
                *("2026-01-01T24:00:00", "2026-02-30", "yesterday", "٢٠٢٦-01-01T00:00:00Z", ""),
            )
        )
        | st.datetimes().map(str)
        | st.text(string.digits + "-T:.Z+ W", max_size=26)
    )
)
levels = spellings(
    st.sampled_from(
        (
            *("DEBUG", "INFO", "WARNING", "warn", "Error", "FATAL", "AUDIT", "SECURITY", "TRACE"),
            *("", "crit\u0131cal", "\u017fecurity", " ERROR"),
        )
    )
)
_group = brief(objects(values | _deep, most=5) | values)
_members = {
    "level": levels | scalars,
    "message": strings | scalars | values,
    "timestamp": timestamps | numbers | scalars,
    "logger": strings | values,
    "tags": values,
    "context": _group,
    "diagnostics": _group,
    "data": _group,
}
_choices = st.just(0) | st.integers(0, 2**62 - 1)
_named = [
    st.tuples(st.just(key), _choices, value)
    for key, value in _members.items()
    for _ in range(3 if key in {"data", "context", "diagnostics"} else 1)
]
_other = st.tuples(
    st.sampled_from([key for key in KEYS if key not in _members]) | _some_text,
    _choices,
    values | _deep,
)
events = brief(
    st.builds(
        _object,
        st.lists(st.one_of(*_named, _other), max_size=6, unique_by=lambda at: at[0]),
        _gaps,
    )
).map(str.encode)
"""Lines that are events, canonical or not."""

_whole = st.fixed_dictionaries(
    {
        "timestamp": timestamps | numbers,
        "level": levels | numbers | st.sampled_from(("true", "null")),
        "message": scalars,
    },
    optional={key: _members[key] for key in ("logger", "tags", "context", "diagnostics", "data")},
)
whole_events = brief(
    st.builds(
        lambda members, choice, gap: _object(
            [(key, choice, value) for key, value in members.items()], gap
        ),
        _whole,
        _choices,
        _gaps,
    )
).map(str.encode)
"""Events with the keys that fapilog wants of an envelope."""
batches = st.lists(events, min_size=4, max_size=10)
whole_batches = st.lists(whole_events, min_size=4, max_size=10)
