"""Every key that can be configured, in order: for errors, for `check` and for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ingest.config.models import Settings
from ingest.config.quantities import format_duration, format_size
from ingest.config.suggestions import nearest


@dataclass(frozen=True)
class Key:
    """One key: where it stands, what may be written there and why."""

    name: str
    field: FieldInfo
    schema: dict[str, Any]

    @property
    def kind(self) -> str:
        """What is written there: `size`, `integer`, `"none" or "zstd"` and so on."""
        schema = self.schema.get("anyOf", [self.schema])[0]
        if "enum" in schema:
            return " or ".join(f'"{value}"' for value in schema["enum"])
        word = str(schema.get("format", schema.get("type", "object")))
        if word == "array":
            return "list of texts" if schema["items"].get("type") == "string" else "list of tables"
        return {"string": "text", "object": "table"}.get(word, word)

    def write(self, value: float) -> str:
        """Return a number in the form in which it is written at this key."""
        match self.kind:
            case "size":
                return format_size(int(value))
            case "duration":
                return format_duration(value)
            case _:
                return str(int(value) if value == int(value) else value)

    @property
    def bounds(self) -> str:
        """The smallest and the largest value, in words; empty where there is no bound."""
        words = {"ge": "at least", "gt": "more than", "le": "at most"}
        return ", ".join(
            f"{word} {self.write(getattr(constraint, name))}"
            for name, word in words.items()
            for constraint in self.field.metadata
            if hasattr(constraint, name)
        )


def keys_of(model: type[BaseModel]) -> Iterator[Key]:
    """Yield the keys that stand directly in a table."""
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        yield Key(name, field, properties[name])


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table or a list of tables."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def table_at(path: Sequence[str | int]) -> type[BaseModel]:
    """Return the model of the table at a path; positions in a list are passed over."""
    table: type[BaseModel] = Settings
    for part in path:
        # A name that is no key is that of a stage: the tables of the policies have one model.
        if part in table.model_fields:
            table = table_of(table.model_fields[str(part)]) or table
    return table


def key_at(path: Sequence[str | int]) -> Key:
    """Return the key at a path, or the one that holds the list that it leads into."""
    names = list(path)
    while isinstance(names[-1], int):
        names.pop()
    return next(key for key in keys_of(table_at(names[:-1])) if key.name == names[-1])


def kind_at(path: Sequence[str | int]) -> str:
    """Return what is written at a path; empty where nothing is known of it."""
    try:
        return key_at(path).kind
    except StopIteration:
        return ""


def suggestion(name: str, table: type[BaseModel]) -> str:
    """Say that a table has no key of that name, and which one was probably meant."""
    if not table.model_fields:
        return "is not a known key; this table has none"
    if meant := nearest(name, table.model_fields):
        return f'is not a known key; did you mean "{meant}"?'
    return f"is not a known key; known are {', '.join(table.model_fields)}"
