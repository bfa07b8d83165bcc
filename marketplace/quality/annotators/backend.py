"""The client of a model's backend: Label Studio's ML-backend protocol over HTTP (`/health`, `/setup`, `/predict`).

The address is the enterprise's word, so outside of development it must be https and resolve to public addresses only:
Kapok must not be made to call what stands behind its own walls (OWASP, server-side request forgery). Redirects are not
followed, answers are read up to a bound.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from marketplace.core.settings import Settings
from marketplace.quality.annotators.errors import BackendAddressRefused, BackendAnswerInvalid, BackendUnreachable

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
CALL_SECONDS: Final = 150.0
"""How long a call may take in all, however its bytes drip."""
_QUICK: Final = httpx.Timeout(10.0)
_PREDICTING: Final = httpx.Timeout(120.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one task: its regions, and how sure it says it is."""

    regions: list[dict[str, Any]]
    score: float | None
    model_version: str | None


async def check_address(url: str, settings: Settings) -> None:
    """Refuse an address that is not https or leads into a private network; in development all are allowed.

    Raises:
        BackendAddressRefused: with the reason.
    """
    if settings.env != "production":
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise BackendAddressRefused("Data travel to it: give an https address.")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        raise BackendAddressRefused(f"{parts.hostname} has no address.") from error
    if any(not ipaddress.ip_address(place[4][0]).is_global for place in found):
        raise BackendAddressRefused(f"{parts.hostname} is an address inside a private network.")


class Backend:
    """One model's backend; use as a context."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers, follow_redirects=False)

    async def __aenter__(self) -> "Backend":
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._client.aclose()

    async def set_up(self, project: str, config: str, hostname: str) -> str | None:
        """Ask for its health, tell it the labeling configuration, and return the version of its model."""
        await self._call("GET", "health", None, _QUICK)
        body = {"project": project, "schema": config, "hostname": hostname, "access_token": "", "extra_params": {}}
        answer = await self._call("POST", "setup", body, _QUICK)
        version = answer.get("model_version")
        return None if version is None else _name(version)

    async def predict(self, project: str, config: str, tasks: Sequence[dict[str, Any]]) -> list[Prediction]:
        """Return its predictions, one a task in their order; of several for a task the first one."""
        body = {"tasks": list(tasks), "project": project, "label_config": config, "params": {"context": None}}
        answer = await self._call("POST", "predict", body, _PREDICTING)
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(tasks):
            raise BackendAnswerInvalid(f"/predict must answer one result for each of the {len(tasks)} tasks.")
        return [_prediction(each) for each in results]

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None, patience: httpx.Timeout
    ) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._client.stream(method, path, json=body, timeout=patience) as response,
            ):
                if response.status_code >= httpx.codes.MULTIPLE_CHOICES:
                    raise BackendUnreachable(f"/{path} answered {response.status_code}.")
                content = await _bounded(response, path)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise BackendUnreachable(f"/{path}: {type(error).__name__} {error}"[:300]) from error
        try:
            answer = msgspec.json.decode(content or b"{}")
        except (msgspec.DecodeError, RecursionError) as error:
            raise BackendAnswerInvalid(f"/{path} did not answer JSON.") from error
        if not isinstance(answer, dict):
            raise BackendAnswerInvalid(f"/{path} must answer a JSON object.")
        return answer


async def _bounded(response: httpx.Response, path: str) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise BackendAnswerInvalid(f"/{path} answered more than {MAX_ANSWER_BYTES:,} bytes; send fewer regions.")
    return bytes(content)


def _prediction(result: Any) -> Prediction:
    """Read one result; older backends answer a list of predictions for each task."""
    if isinstance(result, list):
        result = result[0] if result else {}
    if not isinstance(result, dict) or not isinstance(result.get("result", []), list):
        raise BackendAnswerInvalid("each of `results` must be an object with a list `result`.")
    score, version = result.get("score"), result.get("model_version")
    return Prediction(
        [region for region in result.get("result", []) if isinstance(region, dict)],
        _score(score),
        None if version is None else _name(version),
    )


def _name(version: Any) -> str:
    return str(version).replace("\0", "")[:200]


def _score(score: Any) -> float | None:
    try:
        return float(score) if isinstance(score, int | float) else None
    except OverflowError:  # an integer of hundreds of digits
        return None
