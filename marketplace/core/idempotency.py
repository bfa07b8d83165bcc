"""Idempotency keys: a repeated call with the same key gets the first call's answer, and nothing happens twice."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel
from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.errors import Conflict, Invalid
from marketplace.core.tables import Timed, json_field

View = TypeVar("View", bound=BaseModel)
MAX_KEY_LENGTH = 255


class IdempotencyKeyMissing(Invalid):
    """This call moves work or money: send an `Idempotency-Key` header of your own making (a UUID will do)."""

    code = "idempotency_key_missing"


class IdempotencyKeyReused(Conflict):
    """This idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class IdempotencyRecord(Timed, table=True):
    """One used key of one principal, with the hash of what was asked and the answer that was given."""

    __tablename__ = "idempotency_record"
    __table_args__ = (Index(None, "created_at"),)

    principal: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    asked: str
    answer: dict[str, Any] | None = json_field(default=None, nullable=True)


@dataclass(frozen=True, slots=True)
class Once:
    """Runs a command at most once for a (principal, key); bound to the transaction it is given."""

    session: AsyncSession
    principal: str
    key: str
    asked: str

    async def run(self, view: type[View], command: Callable[[], Awaitable[View]]) -> View:
        """Run the command, or return the stored answer of the first run.

        A second call that arrives while the first is under way waits for it at the unique index.

        Raises:
            IdempotencyKeyReused: the key came before with another path or body.
        """
        taken = await self.session.execute(
            insert(IdempotencyRecord)
            .values(principal=self.principal, key=self.key, asked=self.asked)
            .on_conflict_do_nothing()
            .returning(col(IdempotencyRecord.key))
        )
        if taken.first() is None:
            return await self._stored(view)
        answer = await command()
        await self.session.execute(
            update(IdempotencyRecord)
            .where(col(IdempotencyRecord.principal) == self.principal, col(IdempotencyRecord.key) == self.key)
            .values(answer=answer.model_dump(mode="json"))
        )
        return answer

    async def _stored(self, view: type[View]) -> View:
        found = await self.session.exec(
            select(IdempotencyRecord).where(
                IdempotencyRecord.principal == self.principal, IdempotencyRecord.key == self.key
            )
        )
        record = found.one()
        if record.asked != self.asked or record.answer is None:
            raise IdempotencyKeyReused
        return view.model_validate(record.answer)


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return the hash by which a repeated call is known to be the same one."""
    return hashlib.sha256(msgspec.json.encode([method, path]) + body).hexdigest()
