"""The base of every table: names of constraints, ids, times, and the column types that the project agrees on."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Enum, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from marketplace.core.clock import now
from marketplace.core.ids import new_id

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: MetaData = SQLModel.metadata


class Timed(SQLModel):
    """When the row was made."""

    created_at: datetime = Field(default_factory=now, sa_column_kwargs={"server_default": func.now()})


class Identified(Timed):
    """A row with an id of its own (UUIDv7) as the whole primary key."""

    id: UUID = Field(default_factory=new_id, primary_key=True)


class OfRequest(Timed):
    """A row of the market: `request_id` is the distribution key and leads the primary key."""

    request_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=new_id, primary_key=True)


class OfOrganisation(Timed):
    """A row of a tenant: `organisation_id` is the distribution key and leads the primary key."""

    organisation_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=new_id, primary_key=True)


def enum_field(kind: type[StrEnum], name: str, default: StrEnum | None = None, **options: Any) -> Any:
    """A column that holds an enum's value as text, with a CHECK constraint of the given name."""
    text = Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=32,
        name=name,
        values_callable=lambda members: [member.value for member in members],
    )
    if default is None:
        return Field(sa_type=text, **options)
    return Field(default=default, sa_type=text, **options)


def minor_field(default: int | None = None, **options: Any) -> Any:
    """A column of minor units or of units at price scale: 64 bits."""
    if default is None:
        return Field(sa_type=BigInteger, **options)
    return Field(default=default, sa_type=BigInteger, **options)


def json_field(**options: Any) -> Any:
    """A JSONB column; replace its value as a whole, changes inside it are not tracked."""
    return Field(sa_type=JSONB, **options)
