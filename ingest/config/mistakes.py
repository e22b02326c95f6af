"""Say what is wrong with the settings in one line: source, key, fault, remedy."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ingest.config.catalogue import key_at, suggestion, table_at
from ingest.config.quantities import shown
from ingest.config.rendering import written_key
from ingest.config.sources import Source
from ingest.config.tables import ConflictError

KeyPath = Sequence[str | int]

_NOT_WHOLE = "is not a whole number; give one like 4"
_LISTS = {
    "list of tables": "is not a list of tables; give one [[{key}]] for each",
    "list of texts": 'is not a list of texts; give one like ["one", "two"]',
}
_FAULTS = {
    "int_from_float": _NOT_WHOLE,
    "int_parsing": _NOT_WHOLE,
    "int_type": _NOT_WHOLE,
    "string_pattern_mismatch": "is not a name; give up to 63 letters, digits, dots, underscores"
    " and hyphens, beginning with a letter or a digit",
    "string_too_short": "is empty; give some text",
    "string_type": "is not text; give text in quotes",
    "bool_parsing": "is not a yes or no; give true or false",
    "bool_type": "is not a yes or no; give true or false",
    "dict_type": "is not a table; give keys with values",
    "finite_number": "is not a finite number; give one like 0.5",
    "float_parsing": "is not a number; give one like 0.5",
    "float_type": "is not a number; give one like 0.5",
}


def explain(error: ValidationError, sources: Sequence[Source]) -> str:
    """Return one line about the first mistake; `sources` are in order of precedence."""
    mistakes = error.errors()
    # A misspelt key is often the cause of the others (its right spelling is missing), so it leads.
    first = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
    path, text = _describe(first)
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{place(path, sources)}: {text}{more}"


def place(path: KeyPath, sources: Sequence[Source]) -> str:
    """Return the source that counts for a key, and the key."""
    return f"{_name_source(path, sources)}: {_dotted(path)}"


def _describe(mistake: ErrorDetails) -> tuple[KeyPath, str]:
    path = mistake["loc"]
    cause = mistake.get("ctx", {}).get("error")
    if isinstance(cause, ConflictError):
        return cause.path, str(cause)
    if isinstance(cause, ValueError):
        return path, str(cause)
    if mistake["type"] == "extra_forbidden":
        return path, suggestion(str(path[-1]), table_at(path[:-1]))
    if mistake["type"] == "missing":
        return path, f"is missing; give {_article(key_at(path).kind)}"
    return path, f"{shown(mistake['input'])} {_fault(mistake['type'], path, mistake['msg'])}"


def _fault(kind: str, path: KeyPath, message: str) -> str:
    match kind:
        case "greater_than_equal" | "greater_than":
            return f"is too small; give {key_at(path).bounds}"
        case "less_than_equal":
            return f"is too large; give {key_at(path).bounds}"
        case "literal_error":
            return f"is not a choice; give {key_at(path).kind}"
        case "tuple_type":
            return _LISTS[key_at(path).kind].format(key=path[-1])
        case "model_type" | "model_attributes_type":
            return f"is not a table; give a table of {', '.join(table_at(path).model_fields)}"
        case _:
            return _FAULTS.get(kind, f"is wrong; {message[:1].lower()}{message[1:]}")


def _name_source(path: KeyPath, sources: Sequence[Source]) -> str:
    """Return the name of the source that counts; of a missing key, the one that has its table."""
    for length in range(len(path), 0, -1):
        for source in sources:
            if _holds(source.values, path[:length]):
                return source.name_of(path)
    return "default"


def _holds(values: object, path: KeyPath) -> bool:
    for part in path:
        try:
            values = values[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _dotted(path: KeyPath) -> str:
    text = "".join(
        f"[{part}]" if isinstance(part, int) else f".{written_key(part)}" for part in path
    )
    return text.removeprefix(".")


def _article(words: str) -> str:
    if words.startswith('"'):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
