"""People of a scenario: how they sign up, found organisations, are vetted, and engage each other, all over HTTP.

Each step may be taken again after a crash in the middle: what is done already is taken as done.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cli.scenario.client import Api, RefusedError

UNAUTHENTICATED: Final = 401


def new_password() -> str:
    """Return a password that nobody needs to remember."""
    return secrets.token_urlsafe(18)


def address_of(number: int) -> str:
    """Return the network address that the person with this number calls from (RFC 1918)."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@dataclass
class Person:
    """Somebody with an account; acts for `organisation_id`, or as a worker when there is none."""

    api: Api
    name: str
    sign_in: str
    password: str
    address: str
    id: str = ""
    organisation_id: str | None = None
    _access: str = field(default="", repr=False)
    _refresh: str = field(default="", repr=False)
    _signing_in: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        """Call the API as this person and return the decoded answer (None when it is empty).

        Raises:
            RefusedError: as `Api.send`; an access token that has ended is replaced first.
        """
        if json is not None:
            options["json"] = json
        content = await self.fetch(path, method, **options)
        return msgspec.json.decode(content) if content else None

    async def fetch(self, path: str, method: str = "GET", **options: Any) -> bytes:
        """Call the API as `call` does, and return the answer as it is."""
        headers = options.pop("headers", {})
        access = self._access
        try:
            answer = await self._send(method, path, headers, options)
        except RefusedError as error:
            if error.status != UNAUTHENTICATED:
                raise
            await self._renew(access)
            answer = await self._send(method, path, headers, options)
        return bytes(answer.content)

    async def _send(self, method: str, path: str, headers: dict[str, str], options: dict[str, Any]) -> Any:
        given = {"Authorization": f"Bearer {self._access}", "X-Forwarded-For": self.address, **headers}
        return await self.api.send(method, path, headers=given, **options)

    async def _renew(self, ended: str) -> None:
        async with self._signing_in:
            if self._access != ended:
                return
            try:
                await self._post_tokens("/v1/auth/refresh", {"refresh_token": self._refresh})
            except RefusedError:
                await self.sign_in_again()

    async def sign_up(self, locale: str = "en") -> None:
        """Make the account, or sign in when it exists."""
        body = {"identifier": self.sign_in, "password": self.password, "display_name": self.name, "locale": locale}
        try:
            await self._post_tokens("/v1/auth/sign-up", body)
        except RefusedError as error:
            if error.code != "identifier_taken":
                raise
            await self.sign_in_again()

    async def sign_in_again(self) -> None:
        """Sign in with the password, for the organisation acted for."""
        body = {"identifier": self.sign_in, "password": self.password, "organisation_id": self.organisation_id}
        await self._post_tokens("/v1/auth/sign-in", body)

    async def act_for(self, organisation_id: str) -> None:
        """Act for one of one's organisations from now on."""
        body = {"organisation_id": organisation_id, "refresh_token": self._refresh}
        answer = await self.call("POST", "/v1/auth/switch", body)
        self._take(answer)
        self.organisation_id = organisation_id

    async def _post_tokens(self, path: str, body: dict[str, Any]) -> None:
        answer = await self.api.send("POST", path, json=body, headers={"X-Forwarded-For": self.address})
        self._take(answer.json())

    def _take(self, tokens: dict[str, Any]) -> None:
        self._access, self._refresh = tokens["access_token"], tokens["refresh_token"]

    @property
    def access_token(self) -> str:
        """The bearer token of the moment."""
        return self._access

    async def learn_id(self) -> str:
        """Ask who one is, once, and return the id."""
        if not self.id:
            self.id = (await self.call("GET", "/v1/me"))["id"]
        return self.id


async def found(person: Person, kind: str, name: str, country: str) -> str:
    """Make the person the owner of an organisation (the one of this name, if it is there) and act for it."""
    contexts = (await person.call("GET", "/v1/me"))["contexts"]
    for context in contexts:
        if context["organisation"]["name"] == name:
            await person.act_for(context["organisation"]["id"])
            return str(context["organisation"]["id"])
    made = await person.call("POST", "/v1/organisations", {"kind": kind, "name": name, "country": country})
    await person.act_for(made["id"])
    return str(made["id"])


async def apply_as_vendor(vendor: Person, profile: dict[str, Any], statement: str) -> str:
    """Write the vendor's profile and apply for vetting; return the vetting file's id."""
    await vendor.call("PUT", f"/v1/vendors/{vendor.organisation_id}/profile", profile)
    return await _apply(vendor, statement)


async def apply_as_worker(worker: Person, profile: dict[str, Any]) -> str:
    """Write the worker's profile and apply for vetting; return the vetting file's id."""
    worker.id = (await worker.call("PUT", "/v1/me/worker-profile", profile))["person_id"]
    return await _apply(worker, "")


async def _apply(person: Person, statement: str) -> str:
    try:
        file = await person.call("POST", "/v1/vetting/files", {"statement": statement})
    except RefusedError as error:
        if error.code != "vetting_file_open":
            raise
        file = (await person.call("GET", "/v1/vetting/files"))["items"][0]
    return str(file["id"])


async def approve(officer: Person, file_id: str) -> None:
    """Review a vetting file and approve it, unless that has been done."""
    path = f"/v1/vetting/files/{file_id}"
    try:
        await officer.call("POST", f"{path}/review")
        await officer.call("POST", f"{path}/decision", {"verdict": "approved", "reason": "Papers seen."})
    except RefusedError:
        state = (await officer.call("GET", path))["state"]
        if state == "in_review":
            await officer.call("POST", f"{path}/decision", {"verdict": "approved", "reason": "Papers seen."})
        elif state != "approved":
            raise


async def engage(vendor: Person, worker: Person) -> None:
    """Have the vendor invite the worker, who accepts; an engagement that stands is left as it is."""
    path = f"/v1/organisations/{vendor.organisation_id}/invitations"
    try:
        made = await vendor.call("POST", path, {"identifier": worker.sign_in, "role": "worker"})
        invitation_id = made["invitation"]["id"]
    except RefusedError as error:
        if error.code == "already_member":
            return
        if error.code != "already_invited":
            raise
        mine = await worker.call("GET", "/v1/me/invitations")
        invitation_id = next(one["id"] for one in mine if one["organisation"]["id"] == vendor.organisation_id)
    try:
        await worker.call("POST", f"/v1/me/invitations/{invitation_id}/accept", {})
    except RefusedError as error:
        if error.code != "transition_refused":
            raise
