"""Which patterns of `regex_mask` the native engine may decide, and which are refused.

A pattern is matched against a whole path. Python's `re` defines what it means; the native engine
takes over only for a subset of the syntax in which both certainly agree on ASCII text. What is not
certain is left to Python: that costs time once for every new path, a wrong answer costs a secret.
"""

from __future__ import annotations

import re
import string
import warnings
from typing import NoReturn

_LARGEST_REPETITION = 100
"""All counted repetitions of a pattern multiplied: more makes a native automaton too large."""
_UNSAFE = (
    (re.compile(r"\([^)]*[+*][^)]*\)[+*]"), "nested quantifier"),
    (re.compile(r"\([^)]*\|[^)]*\)[+*]"), "alternation with quantifier"),
    (re.compile(r"\.\*[^)]*\)\{[0-9]+,"), "wildcard in bounded repetition"),
)
"""What fapilog (regex_mask.py) refuses because a crafted path could keep Python's engine busy."""
_FLAGS = re.compile(r"\(\?[is]+\)")
_COUNT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_CLASSES = frozenset("dDwW")
"""Not `\\s`, which takes in 0x1C to 0x1F only in Python; nor `\\B`, which differs on no text."""
_ESCAPED = frozenset(string.punctuation) - frozenset("<>")
_DEEPEST = 50
_SET_OPERATIONS = ("&&", "--", "~~", "||")


def unsafe(pattern: str) -> str | None:
    """Return why fapilog refuses the pattern unless `allow_unsafe_patterns` is set, or None."""
    return next((reason for found, reason in _UNSAFE if found.search(pattern)), None)


def fault(pattern: str) -> str | None:
    """Return what Python's `re` says against the pattern, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def needs_python(pattern: str) -> str | None:
    """Return why only Python may decide the pattern, or None where the native engine may, too.

    The pattern must be one that Python's `re` compiles.
    """
    if not pattern.isascii():
        return "it is not ASCII"
    flags = _FLAGS.match(pattern)
    reader = _Reader(pattern, flags.end() if flags else 0)
    try:
        reader.read()
    except _NotSharedError as error:
        return str(error)
    return None


class _NotSharedError(Exception):
    """The pattern leaves the subset."""


class _Reader:
    """Reads a pattern of the subset by recursive descent; whatever it does not know ends it."""

    def __init__(self, pattern: str, start: int) -> None:
        self._pattern = pattern
        self._at = self._start = start
        self._repetition = 1
        self._depth = 0

    def read(self) -> None:
        """Read the whole pattern or raise _NotSharedError."""
        self._alternatives()
        if self._at < len(self._pattern):
            self._leave("an unbalanced parenthesis")

    def _alternatives(self) -> bool:
        """Read up to the end of a group; return whether it can match nothing."""
        empty = self._sequence()
        while self._take("|"):
            empty = self._sequence() or empty
        return empty

    def _sequence(self) -> bool:
        empty = True
        while self._at < len(self._pattern) and self._peek() not in "|)":
            empty = self._repeated() and empty
        return empty

    def _repeated(self) -> bool:
        start = self._at
        empty, repeatable = self._atom()
        character = self._peek()
        if character not in ("*", "+", "?", "{"):
            return empty
        # Engines differ in how they repeat what can match nothing.
        if empty or not repeatable:
            self._leave(f"a repetition of {self._pattern[start : self._at]!r}")
        if character == "{":
            empty = self._count()
        else:
            self._at += 1
            empty = character != "+"
        self._take("?")  # whether it is lazy does not matter where the whole text has to match
        if self._peek() in ("*", "+", "?", "{"):
            self._leave("a possessive or doubled quantifier")
        return empty

    def _count(self) -> bool:
        match = _COUNT.match(self._pattern, self._at)
        if match is None:
            self._leave("a brace that is no repetition")
        self._at = match.end()
        least, most = int(match[1]), int(match[2] or match[1])
        self._repetition *= max(least, most, 1)
        if self._repetition > _LARGEST_REPETITION:
            self._leave("a large repetition")
        return least == 0

    def _atom(self) -> tuple[bool, bool]:
        """Read one item; return whether it can match nothing and whether it may be repeated."""
        character = self._peek()
        match character:
            case "(":
                return self._group()
            case "[":
                self._class()
            case "\\":
                return self._escape()
            case "^":
                if self._at != self._start:
                    self._leave("a ^ that is not at the start")
                self._at += 1
                return True, False
            case "$":
                if self._at != len(self._pattern) - 1:
                    self._leave("a $ that is not at the end")
                self._at += 1
                return True, False
            case "*" | "+" | "?" | "{" | "}" | "]":
                self._leave(f"a bare {character}")
            case _:
                self._at += 1
        return False, True

    def _group(self) -> tuple[bool, bool]:
        self._at += 1
        if self._peek() == "?" and not self._take("?:"):
            self._leave(f"the group ({self._pattern[self._at : self._at + 2]}")
        self._depth += 1
        if self._depth > _DEEPEST:
            self._leave("groups nested deeply")
        empty = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            self._leave("an unbalanced parenthesis")
        return empty, True

    def _escape(self) -> tuple[bool, bool]:
        escaped = self._pattern[self._at + 1 : self._at + 2]
        if escaped == "b":
            self._at += 2
            return True, False
        if escaped not in _ESCAPED and escaped not in _CLASSES:
            self._leave(f"\\{escaped}")
        self._at += 2
        return False, True

    def _class(self) -> None:
        end = self._at + 1
        while self._pattern[end : end + 1] not in ("]", ""):
            end += 2 if self._pattern[end] == "\\" else 1
        text = self._pattern[self._at + 1 : end].removeprefix("^")
        if not text:
            self._leave("a class that begins with ]")
        if "[" in text or any(operation in text for operation in _SET_OPERATIONS):
            self._leave("a class that looks like one with set operations")
        self._members(text)
        self._at = end + 1

    def _members(self, text: str) -> None:
        at = 0
        while at < len(text):
            if text[at] != "\\":
                at += 1
                continue
            escaped = text[at + 1 : at + 2]
            if escaped not in _ESCAPED and escaped not in _CLASSES:
                self._leave(f"\\{escaped} in a class")
            at += 2
            if escaped in _CLASSES and text[at : at + 1] == "-":
                self._leave("a range of classes")

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._pattern.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _leave(self, what: str) -> NoReturn:
        raise _NotSharedError(f"it has {what}")
