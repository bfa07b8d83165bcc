"""What the tests of money share."""

from sqlalchemy import text

from marketplace.core.db import Database


async def tamper(database: Database, *changes: str) -> None:
    """Change rows as the database's owner, past triggers and constraints, as an intruder or a fault would."""
    async with database.sessions.begin() as session:
        await session.execute(text("SET LOCAL ROLE NONE"))
        await session.execute(text("SET LOCAL session_replication_role = 'replica'"))
        for change in changes:
            await session.execute(text(change))
