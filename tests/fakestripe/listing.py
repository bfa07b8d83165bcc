"""Lists: filters, pages and expanded parts."""

from typing import Any

from tests.fakestripe.actions import seconds
from tests.fakestripe.world import PLATFORM, Refused, World

KINDS = {
    "list_intents": "payment_intent", "list_transfers": "transfer", "list_reversals": "transfer_reversal",
    "list_payouts": "payout", "list_refunds": "refund", "list_disputes": "dispute",
    "list_accounts": "v2.core.account",
}  # fmt: skip
_FILTERS = ("transfer_group", "destination", "payment_intent", "charge", "customer", "status", "source", "type")
_COMPARE = {
    "gte": lambda a, b: a >= b, "gt": lambda a, b: a > b, "lte": lambda a, b: a <= b, "lt": lambda a, b: a < b,
}  # fmt: skip


def listed(world: World, action: str, params: dict[str, Any], account: str, parent: str | None) -> list[dict[str, Any]]:
    """Return all that a list holds, newest first."""
    if action == "list_entries":
        found = [entry for owner, entry in world.entries if owner == account][::-1]
    elif action in {"list_events", "list_thin_events"}:
        kind = "event" if action == "list_events" else "v2.core.event"
        found = [one for one in world.events if one["object"] == kind and one.get("account", PLATFORM) == account][::-1]
    else:
        found = world.of_kind(KINDS[action], account)
    if parent:
        found = [one for one in found if one["transfer"] == parent]
    if types := params.get("types"):
        found = [one for one in found if one["type"] in types]
    for name in _FILTERS:
        if name in params:
            found = [one for one in found if one.get(name) == params[name]]
    created = params.get("created", {})
    for name, bound in (created if isinstance(created, dict) else {"gte": created, "lte": created}).items():
        found = [one for one in found if _COMPARE[name](seconds(one["created"]), seconds(bound))]
    return found


def page_v1(found: list[dict[str, Any]], params: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a page of a v1 list.

    Raises:
        Refused: the limit is out of range, or the cursor unknown.
    """
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Refused("parameter_invalid_integer", "limit must be between 1 and 100")
    if after := params.get("starting_after"):
        ids = [one["id"] for one in found]
        if after not in ids:
            raise Refused("resource_missing", f"No such object: {after}")
        found = found[ids.index(after) + 1 :]
    return {"object": "list", "url": path, "data": found[:limit], "has_more": len(found) > limit}


def page_v2(found: list[dict[str, Any]], query: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a page of a v2 list; the cursor is a place in it."""
    limit, start = int(query.get("limit", 20)), int(query.get("page", 0))
    more = start + limit < len(found)
    url = f"{path}?page={start + limit}&limit={limit}" if more else None
    return {"data": found[start : start + limit], "next_page_url": url, "previous_page_url": None}


def expanded(world: World, thing: Any, path: list[str]) -> Any:
    """Return a copy of an answer with one part, named by its path, put in place of its id."""
    if isinstance(thing, list):
        return [expanded(world, one, path) for one in thing]
    if not path or not isinstance(thing, dict) or path[0] not in thing:
        return thing
    part = thing[path[0]]
    if isinstance(part, str):
        entries = {entry["id"]: entry for _, entry in world.entries} if part.startswith("txn") else world.objects
        part = entries.get(part, part)
    return thing | {path[0]: expanded(world, part, path[1:])}
