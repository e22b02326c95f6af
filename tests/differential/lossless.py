"""JSON with its spelling: to tell whether the bytes of what did not change are the same ones."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import orjson

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^ \t\r\n{}\[\]:,"]+')


class _Node(NamedTuple):
    start: int
    end: int
    children: tuple[_Node, ...]


def assert_spelling_kept(before: str, after: str) -> None:
    """Fail where a value means the same before and after but is spelt differently."""
    if before != after:
        _Comparison(before, after).compare(_parse(before), _parse(after))


def _parse(text: str) -> _Node:
    """Read a valid JSON text; fail where an object has a key twice."""
    json.loads(text, object_pairs_hook=_assert_unique)
    return _value(list(_TOKEN.finditer(text)), 0)[0]


def _assert_unique(pairs: list[tuple[str, object]]) -> None:
    assert len(dict(pairs)) == len(pairs), f"a key stands twice: {pairs}"


def _value(tokens: list[re.Match[str]], at: int) -> tuple[_Node, int]:
    opening = tokens[at]
    at += 1
    if opening[0] not in "{[":
        return _Node(opening.start(), opening.end(), ()), at
    children = []
    while tokens[at][0] not in "}]":
        at += tokens[at][0] == ","
        child, at = _value(tokens, at + 2 if opening[0] == "{" else at)
        children.append(child)
    return _Node(opening.start(), tokens[at].end(), tuple(children)), at + 1


class _Comparison:
    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after

    def compare(self, before: _Node, after: _Node) -> None:
        one, other = self._before[before.start : before.end], self._after[after.start : after.end]
        if one == other:
            return
        if one[0] in "{[" and one[0] == other[0] and self._is_extended(before, after):
            self._compare_parts(before, after)
            return
        value, now = json.loads(one), json.loads(other)
        # What is masked has one spelling, also where the sender had found the mask.
        assert value != now or other == orjson.dumps(now).decode(), f"{one} is spelt {other}"

    def _is_extended(self, before: _Node, after: _Node) -> bool:
        """Say whether it is the container that it was: only enrichers add members, at the end."""
        keys, now = self._keys(self._before, before), self._keys(self._after, after)
        return now[: len(keys)] == keys

    def _keys(self, text: str, node: _Node) -> list[str]:
        if text[node.start] == "[":
            return [""] * len(node.children)
        return list(json.loads(text[node.start : node.end]))

    def _compare_parts(self, before: _Node, after: _Node) -> None:
        for child, same_child in zip(before.children, after.children, strict=False):
            self.compare(child, same_child)
        between = _between(self._before, before), _between(self._after, after)
        count = len(before.children)
        assert between[0][:-1] == between[1][:count], "blanks or keys changed"
        if count == len(after.children):
            assert between[0] == between[1], "blanks at the end changed"


def _between(text: str, node: _Node) -> list[str]:
    """Return the text of a container in front of each value and behind the last."""
    edges = [node.start, *(edge for child in node.children for edge in child[:2]), node.end]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
