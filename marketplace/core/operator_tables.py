"""Tables (JSON) that the operator answers for: figures of law, of which Kapok ships none."""

from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from marketplace.core.errors import DomainError

Table = TypeVar("Table", bound=BaseModel)


def read_table(model: type[Table], path: Path, setting: str, refusal: type[DomainError]) -> Table:
    """Return the table in the file that a setting names, read once a process.

    Raises:
        DomainError: the file cannot be read, or is no such table; of the class given as `refusal`.
    """
    try:
        return cast("Table", _read(model, path))
    except (OSError, ValidationError) as error:
        raise refusal(f"{setting} {path} cannot be used: {error}") from error


@lru_cache(maxsize=16)
def _read(model: type[BaseModel], path: Path) -> BaseModel:
    return model.model_validate_json(path.read_bytes())
