"""The quality report of a delivery, kept as files: pages, PDFs, and the evidence that every figure comes from."""

import json
from pathlib import Path
from typing import Any, Final

from cli.errors import CannotRunError
from cli.quality import ENDING, recomputed
from cli.scenario.market import STEP_SECONDS, wait_until
from cli.scenario.people import Person

LANGUAGES: Final = ("en", "zh-CN")


async def keep_report(enterprise: Person, request_id: str, folder: Path) -> dict[str, Any]:
    """Write report and evidence into the folder, recompute the figures, and return what a demo says of it."""
    path = f"/v1/requests/{request_id}"
    evidence = folder / f"{request_id}{ENDING}"
    evidence.write_bytes(await _export(enterprise, f"{path}/exports"))
    delivery = await enterprise.call("GET", f"{path}/delivery")
    report = folder / "report.json"
    report.write_text(json.dumps(delivery, ensure_ascii=False, indent=1), encoding="utf-8")
    pages = []
    for language in LANGUAGES:
        for ending in ("html", "pdf"):
            file = folder / f"report.{language}.{ending}"
            drawn = await enterprise.fetch(f"{path}/delivery/report.{ending}", params={"locale": language})
            file.write_bytes(drawn)
            pages.append(str(file))
    compared, _ = recomputed(evidence, report)
    accuracy = delivery["report"]["accuracy"]
    best = next((one for one in accuracy["estimates"] if one["source"] == accuracy["headline"]), None)
    return {
        "pages": pages,
        "evidence": str(evidence),
        "figures": len(compared),
        "figures_reproduced": sum(one.is_equal for one in compared),
        "different": [one.path for one in compared if not one.is_equal],
        "estimate": best,
    }


async def _export(enterprise: Person, path: str) -> bytes:
    """Have the evidence written, and return it."""
    made = await enterprise.call("POST", path, {"format": "evidence", "with_answers": True})
    found: dict[str, Any] = {}

    async def ask() -> bool:
        page = await enterprise.call("GET", path)
        found.update(next(one for one in page["items"] if one["id"] == made["id"]))
        return bool(found["state"] != "waiting")

    await wait_until("the evidence to be written", STEP_SECONDS, ask)
    if found["state"] != "ready":
        raise CannotRunError("The evidence could not be written.", "Look at the worker's log.")
    return await enterprise.api.fetch(found["url"])
