"""The temporary table between an upload and its items: filled by COPY, deduplicated and emptied by SQL."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.imports.checking import Staged

_TABLE: Final = "staged_row"
_OPEN: Final = text(
    """
    CREATE TEMPORARY TABLE staged_row (
        line bigint NOT NULL, id uuid NOT NULL, external_id text NOT NULL, data jsonb NOT NULL, media_key text,
        gold jsonb, note text NOT NULL
    ) ON COMMIT DROP
    """
)
# an id counts as repeated when an earlier line has it, or an item of an earlier upload
_FIND_REPEATED: Final = text(
    """
    CREATE TEMPORARY TABLE repeated_row ON COMMIT DROP AS
    SELECT line, external_id FROM (
        SELECT line, external_id, row_number() OVER (PARTITION BY external_id ORDER BY line) AS nth FROM staged_row
    ) AS counted
    WHERE nth > 1 OR EXISTS (
        SELECT 1 FROM item WHERE item.request_id = CAST(:request_id AS uuid) AND item.external_id = counted.external_id
    )
    """
)
_LIST_REPEATED: Final = text("SELECT line, external_id FROM repeated_row ORDER BY line LIMIT :most")
_COUNT_REPEATED: Final = text("SELECT count(*) FROM repeated_row")
_DROP_REPEATED: Final = text("DELETE FROM staged_row USING repeated_row WHERE staged_row.line = repeated_row.line")
_KEEP_ITEMS: Final = text(
    """
    INSERT INTO item (request_id, id, created_at, external_id, position, data, media_key)
    SELECT CAST(:request_id AS uuid), id, now(), external_id,
           CASE WHEN gold IS NULL
                THEN :first - 1 + row_number() OVER (PARTITION BY gold IS NULL ORDER BY line)
                ELSE -1 END,
           data, media_key
    FROM staged_row
    """
)
_KEEP_GOLD: Final = text(
    """
    INSERT INTO gold (request_id, item_id, created_at, truth, note)
    SELECT CAST(:request_id AS uuid), id, now(), gold, note FROM staged_row WHERE gold IS NOT NULL
    """
)
_COUNT_KEPT: Final = text("SELECT count(*) FILTER (WHERE gold IS NULL), count(gold) FROM staged_row")


class Staging:
    """The staging table of one import; it ends with the transaction of the session that it is given."""

    def __init__(self, session: AsyncSession, request_id: UUID) -> None:
        self.session = session
        self.request = {"request_id": request_id}
        self.repeated = 0

    async def open(self) -> None:
        """Make the table."""
        await self.session.execute(_OPEN)

    async def copy(self, rows: Sequence[Staged]) -> None:
        """Add rows by COPY, on the session's own connection and in its transaction."""
        connection = await (await self.session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        await driver.copy_records_to_table(_TABLE, records=rows, columns=Staged._fields)

    async def drop_repeated(self, most: int) -> list[tuple[int, str]]:
        """Drop rows whose id is taken; return (line, id) of the first of them. `repeated` counts them all."""
        await self.session.execute(_FIND_REPEATED, self.request)
        self.repeated = (await self.session.execute(_COUNT_REPEATED)).scalar_one()
        if not self.repeated:
            return []
        listed = (await self.session.execute(_LIST_REPEATED, {"most": most})).all()
        await self.session.execute(_DROP_REPEATED)
        return [(line, external_id) for line, external_id in listed]

    async def keep(self, first_position: int) -> tuple[int, int]:
        """Make items of all rows, the ones to label from `first_position` on; return how many items and gold."""
        await self.session.execute(_KEEP_ITEMS, {**self.request, "first": first_position})
        await self.session.execute(_KEEP_GOLD, self.request)
        items, golds = (await self.session.execute(_COUNT_KEPT)).one()
        return items, golds
