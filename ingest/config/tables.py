"""What every table of the configuration is made of."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict


class ConflictError(ValueError):
    """A value that is fine alone but not beside another; `path` is where it stands."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


class Table(BaseModel):
    """A table of the configuration: read once, never changed, no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check_plain(value: object, fault: str) -> object:
    """Refuse what could not be handed on as JSON and written back as TOML; say what is wrong."""
    match value:
        case dict():
            for item in value.values():
                check_plain(item, fault)
        case list():
            for item in value:
                check_plain(item, fault)
        case str() | int():
            pass
        case float() if math.isfinite(value):
            pass
        case _:
            raise ValueError(
                f"holds {value}, {fault}; use text, numbers, booleans, lists and tables"
            )
    return value
