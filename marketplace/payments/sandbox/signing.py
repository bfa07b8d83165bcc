"""Signing and checking the sandbox's webhooks: HMAC-SHA256 over `time.body`, several signatures allowed (rotation)."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from marketplace.core.settings import Settings
from marketplace.payments.errors import WebhookRefused

HEADER: Final = "Kapok-Sandbox-Signature"
TOLERANCE: Final = timedelta(minutes=5)


def secret_of(settings: Settings) -> str:
    """Return the secret of the webhooks: SANDBOX_WEBHOOK_SECRET, or one derived from SECRET_KEY."""
    given = settings.sandbox_webhook_secret.get_secret_value()
    if given:
        return given
    root = settings.secret_key.get_secret_value().encode()
    return hmac.new(root, b"sandbox webhooks", hashlib.sha256).hexdigest()


def _signature(secret: str, stamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def sign(secret: str, body: bytes, at: datetime) -> str:
    """Return the header's value for a body sent at a time."""
    stamp = int(at.timestamp())
    return f"t={stamp},v1={_signature(secret, stamp, body)}"


def check(secret: str, header: str, body: bytes, at: datetime) -> None:
    """Refuse a body whose signature does not fit or whose stamp is off by more than `TOLERANCE` in either direction.

    Raises:
        WebhookRefused: with the reason.
    """
    parts = [part.partition("=") for part in header.split(",")]
    stamps = [value for name, _, value in parts if name.strip() == "t"]
    given = [value.strip() for name, _, value in parts if name.strip() == "v1"]
    if len(stamps) != 1 or not stamps[0].isascii() or not stamps[0].isdigit() or not given:
        raise WebhookRefused(f"{HEADER} must read `t=<seconds>,v1=<signature>`")
    stamp = int(stamps[0])
    wanted = _signature(secret, stamp, body)
    if not any(hmac.compare_digest(wanted.encode(), signature.encode()) for signature in given):
        raise WebhookRefused("no signature fits")
    if abs(at.timestamp() - stamp) > TOLERANCE.total_seconds():
        raise WebhookRefused("the stamp is too far from now")
