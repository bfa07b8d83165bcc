"""What the fake knows: objects, balance transactions, events and a clock of its own."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DAY = 24 * 3600
PLATFORM = ""


class Refused(Exception):
    """An error that Stripe answers with."""

    def __init__(self, code: str, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.kind = code, message, status, kind


@dataclass
class World:
    """The state; `account` is "" for the platform. A charge is pending first; payouts arrive, and may return later."""

    fee_per_myriad: int = 290
    fee_fixed_minor: int = 30
    pending_seconds: int = 2 * DAY
    arrival_seconds: int = 2 * DAY
    return_seconds: int = 7 * DAY
    offset: float = 0
    serial: int = 0
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def now(self) -> int:
        """Return the fake's time in Unix seconds."""
        return int(time.time() + self.offset)

    def new_id(self, prefix: str) -> str:
        """Return the next id of a kind."""
        self.serial += 1
        return f"{prefix}_{self.serial:014d}"

    def make(self, prefix: str, kind: str, account: str, **fields: Any) -> dict[str, Any]:
        """Add an object that belongs to an account."""
        made = {"id": self.new_id(prefix), "object": kind, "created": self.now(), "livemode": False, **fields}
        self.objects[made["id"]] = made
        self.owners[made["id"]] = account
        return made

    def get(self, object_id: str, account: str) -> dict[str, Any]:
        """Return an account's object.

        Raises:
            Refused: there is none.
        """
        if object_id not in self.objects or self.owners[object_id] != account:
            raise Refused("resource_missing", f"No such object: {object_id}", 404)
        return self.objects[object_id]

    def of_kind(self, kind: str, account: str) -> list[dict[str, Any]]:
        """Return an account's objects of a kind, newest first."""
        found = [one for one in self.objects.values() if one["object"] == kind and self.owners[one["id"]] == account]
        return found[::-1]

    def book(
        self, account: str, kind: str, source: dict[str, Any], amount: int, *, fee: int = 0, wait: int = 0
    ) -> dict[str, Any]:
        """Write a balance transaction, available after `wait` seconds."""
        entry = {
            "id": self.new_id("txn"), "object": "balance_transaction", "type": kind, "source": source["id"],
            "amount": amount, "fee": fee, "net": amount - fee, "currency": source["currency"],
            "created": self.now(), "available_on": self.now() + wait, "reporting_category": kind,
        }  # fmt: skip
        self.entries.append((account, entry))
        return entry

    def sums(self, account: str) -> dict[str, dict[str, int]]:
        """Return available and pending amounts by currency."""
        out: dict[str, dict[str, int]] = {}
        for owner, entry in self.entries:
            if owner == account:
                parts = out.setdefault(entry["currency"], {"available": 0, "pending": 0})
                parts["available" if entry["available_on"] <= self.now() else "pending"] += entry["net"]
        return out

    def available(self, account: str, currency: str) -> int:
        """Return what an account may spend."""
        return self.sums(account).get(currency, {"available": 0})["available"]

    def emit(self, kind: str, thing: dict[str, Any], account: str = PLATFORM) -> None:
        """Write a full (v1) event."""
        event: dict[str, Any] = {
            "id": self.new_id("evt"), "object": "event", "type": kind, "created": self.now(), "livemode": False,
            "api_version": "2026-10-28.endive", "pending_webhooks": 1, "data": {"object": dict(thing)},
        }  # fmt: skip
        self.events.append(event | ({"account": account} if account else {}))

    def emit_thin(self, kind: str, account: str) -> None:
        """Write a thin (v2) event about an account."""
        related = {"id": account, "type": "v2.core.account", "url": f"/v2/core/accounts/{account}"}
        self.events.append({
            "id": self.new_id("evt_v2"), "object": "v2.core.event", "type": kind, "created": iso(self.now()),
            "livemode": False, "related_object": related, "context": None, "reason": None,
        })  # fmt: skip


def iso(seconds: float) -> str:
    """Return Unix seconds as v2 writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
