"""Whether this process lives, is ready, and has started: for load balancers, containers and `kapok up`."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.auth import Public
from api.session import Shared
from marketplace.core.errors import Unavailable

router = APIRouter(prefix="/healthz", tags=["Health"])


class NotReady(Unavailable):
    """A server that this process needs does not answer."""

    code = "not_ready"


class Health(BaseModel):
    """The answer of a health check."""

    status: str


@router.get("/live")
async def live(_: Public) -> Health:
    """Say that the process runs; touches nothing else."""
    return Health(status="live")


async def _check(shared: Shared) -> None:
    try:
        async with shared.database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await shared.redis.ping()
    except (SQLAlchemyError, RedisError, OSError) as error:
        raise NotReady(type(error).__name__) from error


@router.get("/ready")
async def ready(_: Public, _checked: Annotated[None, Depends(_check)]) -> Health:
    """Say that PostgreSQL and Redis answer."""
    return Health(status="ready")


@router.get("/startup")
async def startup(_: Public, shared: Shared) -> Health:
    """Say that the database has been migrated."""
    async with shared.database.engine.connect() as connection:
        found = await connection.execute(text("SELECT to_regclass('alembic_version')"))
        if found.scalar_one() is None:
            raise NotReady("The database has not been migrated.")
    return Health(status="started")
