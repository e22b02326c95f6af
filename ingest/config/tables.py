"""What every table of the configuration is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConflictError(ValueError):
    """A value that is fine alone but not beside another; `path` is where it stands."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


class Table(BaseModel):
    """A table of the configuration: read once, never changed, no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
