"""Jobs of the catalog: importing uploads, and removing what is no longer needed from the object store."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from marketplace.catalog.imports.run import run_import
from marketplace.catalog.uploads import give_up_unfinished
from marketplace.core.storage import remove_objects
from workers.handlers import JobContext, handles


@handles("catalog.import")
async def import_upload(job: JobContext, payload: dict[str, Any]) -> None:
    """Turn a received upload into items."""
    request_id, upload_id = UUID(payload["request_id"]), UUID(payload["upload_id"])
    await run_import(job.session, job.store, request_id, upload_id, job.settings.max_upload_bytes)


@handles("catalog.discard_objects")
async def discard_objects(job: JobContext, payload: dict[str, Any]) -> None:
    """Remove the objects of a folder, once nothing points to them."""
    await remove_objects(job.store, payload["prefix"])


@handles("catalog.give_up_uploads", every=timedelta(hours=1))
async def give_up_uploads(job: JobContext, _payload: dict[str, Any]) -> None:
    """Refuse uploads that nobody goes on with."""
    await give_up_unfinished(job.session)
