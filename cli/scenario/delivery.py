"""Money in, results out, money to the payees: the parts of a request's way before and after the work, over HTTP."""

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cli.scenario.client import RefusedError
from cli.scenario.market import STEP_SECONDS, wait_until
from cli.scenario.people import Person
from marketplace.payments.sandbox import magic

FORMATS: Final = ("jsonl", "csv", "parquet")
FINAL_PAYOUTS: Final = frozenset({"paid", "reversed", "cancelled"})
CSV_CELL_CHARS: Final = 10_000_000


async def top_up(enterprise: Person, amount_minor: int, currency: str) -> None:
    """Put money on the enterprise's balance, and wait until it is there."""
    path = f"/v1/organisations/{enterprise.organisation_id}/top-ups"
    made = await enterprise.call("POST", path, {"amount_minor": amount_minor, "currency": currency})

    async def ask() -> bool:
        return bool((await enterprise.call("GET", f"{path}/{made['id']}"))["state"] == "succeeded")

    await wait_until("the top-up to succeed", STEP_SECONDS, ask)


@dataclass(frozen=True)
class ExportFile:
    """A file of results as it was fetched; `opens` says that a reader of its format read all of its rows."""

    format: str
    rows: int
    size_bytes: int
    opens: bool
    content: bytes

    def facts(self) -> dict[str, Any]:
        """Return what a report says of the file."""
        return {"format": self.format, "rows": self.rows, "bytes": self.size_bytes, "opens": self.opens}


async def export_all(enterprise: Person, request_id: str) -> list[ExportFile]:
    """Have the results written in every format, fetch the files, and open each."""
    path = f"/v1/requests/{request_id}/exports"
    asked = {}
    for number, name in enumerate(FORMATS):
        made = await enterprise.call("POST", path, {"format": name, "with_answers": number % 2 == 0})
        asked[made["id"]] = name
    ready: dict[str, dict[str, Any]] = {}

    async def ask() -> bool:
        page = await enterprise.call("GET", path)
        ready.update({one["id"]: one for one in page["items"] if one["id"] in asked and one["state"] != "waiting"})
        return len(ready) == len(asked)

    await wait_until("the exports to be written", STEP_SECONDS, ask)
    return [await _fetch(enterprise, ready[export_id]) for export_id in asked]


async def _fetch(enterprise: Person, export: dict[str, Any]) -> ExportFile:
    if export["state"] != "ready":
        return ExportFile(export["format"], 0, 0, opens=False, content=b"")
    content = await enterprise.api.fetch(export["url"])
    whole = hashlib.sha256(content).hexdigest() == export["sha256"]
    try:
        rows = READERS[export["format"]](content)
    except (ValueError, csv.Error, pa.ArrowException):
        return ExportFile(export["format"], 0, len(content), opens=False, content=content)
    return ExportFile(
        export["format"], len(rows), len(content), opens=whole and len(rows) == export["rows"], content=content
    )


def _read_jsonl(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.decode().splitlines()]


def _read_csv(content: bytes) -> list[Any]:
    csv.field_size_limit(CSV_CELL_CHARS)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _read_parquet(content: bytes) -> list[Any]:
    rows: list[Any] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


READERS: Final[dict[str, Callable[[bytes], list[Any]]]] = {
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


def rows_of(exports: Sequence[ExportFile]) -> list[dict[str, Any]]:
    """Return the rows of the JSON Lines file among the exports."""
    return _read_jsonl(next(one for one in exports if one.format == "jsonl").content)


async def pay_out(payee: Person, currency: str, *, again: bool = False) -> None:
    """Have all that a worker (or the vendor acted for) has earned paid out, and wait until it has arrived.

    What the bank returns, by the payee's scripted name, is asked for once more, as that payee would.
    """
    path = f"/v1/organisations/{payee.organisation_id}/payouts" if payee.organisation_id else "/v1/me/payouts"
    try:
        made = await payee.call("POST", path, {"currency": currency})
    except RefusedError as error:
        if error.code != "nothing_to_pay_out":
            raise
        return

    async def ask() -> bool:
        return (await payee.call("GET", f"{path}/{made['id']}"))["state"] in FINAL_PAYOUTS

    await wait_until(f"the payout of {payee.name} to arrive", STEP_SECONDS, ask)
    if magic.first_payout_returns(payee.name) and not again:
        await _returned(payee, f"{path}/{made['id']}")
        await pay_out(payee, currency, again=True)


async def _returned(payee: Person, path: str) -> None:
    """Wait until the bank has returned a payout, and its money can be paid out anew."""

    async def ask() -> bool:
        return bool((await payee.call("GET", path))["state"] == "cancelled")

    await wait_until(f"the bank to return the payout of {payee.name}", STEP_SECONDS, ask)


async def pay_everybody(payees: Sequence[Person], currency: str, *, at_once: int = 64) -> None:
    """Have everybody's earnings paid out, some at once."""
    turns = asyncio.Semaphore(at_once)

    async def one(payee: Person) -> None:
        async with turns:
            await pay_out(payee, currency)

    await asyncio.gather(*(one(payee) for payee in payees))
