"""Who calls, and whether they may: each route states its scope and roles in its signature.

    actor: Annotated[Actor, Allow(Scope.BIDS, Role.OWNER, Role.MANAGER, kind=OrganisationKind.VENDOR)]

A scope is always needed; roles and kind narrow it. What is not yours to see answers 404 from the query itself, before
any 403 of here could tell that it exists.
"""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.params import Depends as DependsParam
from fastapi.security import HTTPBearer

from api.limits import limit_address, limit_principal
from api.session import Resources, Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.errors import Forbidden, Unauthenticated
from marketplace.identity.service import actor_of_api_key
from marketplace.identity.tokens import TokenVerifier

API_KEY_PREFIX = "kapok_"
_bearer = HTTPBearer(auto_error=False, description="An access token (JWT), or an API key that begins with `kapok_`")


class ScopeMissing(Forbidden):
    """Your token or API key does not hold the scope this call needs."""

    code = "scope_missing"


class RoleMissing(Forbidden):
    """Your role in the organisation does not allow this call."""

    code = "role_missing"


def bearer_of(request: Request) -> str:
    """Return the bearer token of the request, or raise `Unauthenticated`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send `Authorization: Bearer <access token or API key>`.")
    return token


async def current_actor(
    request: Request, shared: Shared, _documented: Annotated[Any, Depends(_bearer)] = None
) -> Actor:
    """Return the caller; tokens are verified without a query, API keys with one."""
    token = bearer_of(request)
    try:
        actor = await _actor_of(request, shared, token)
    except Unauthenticated:
        await limit_address(request, shared, "failed-token", shared.settings.sign_in_limit_per_minute)
        raise
    await limit_principal(request, shared, actor.principal)
    return actor


async def _actor_of(request: Request, shared: Resources, token: str) -> Actor:
    if token.startswith(API_KEY_PREFIX):
        async with shared.database.sessions() as session:
            return await actor_of_api_key(session, token)
    verifier: TokenVerifier = request.app.state.token_verifier
    return verifier.actor_of(token)


CurrentActor = Annotated[Actor, Depends(current_actor)]


class Authorize:
    """The dependency behind `Allow`: checks scope, kind of organisation and role, and returns the actor."""

    def __init__(self, scopes: frozenset[Scope], roles: frozenset[Role], kind: OrganisationKind | None) -> None:
        self.scopes = scopes
        self.roles = roles
        self.kind = kind

    async def __call__(self, actor: CurrentActor) -> Actor:
        """Return the actor when it may call, else raise `ScopeMissing` or `RoleMissing`."""
        if not self.scopes & actor.scopes:
            names = " or ".join(sorted(self.scopes))
            raise ScopeMissing(f"This call needs the scope {names}.", scopes=sorted(self.scopes))
        if self.kind is not None and actor.organisation_kind is not self.kind:
            raise RoleMissing(f"Only a member of the kind of organisation {self.kind!s} may do that.")
        if self.roles and not (self.roles & actor.roles):
            names = ", ".join(sorted(self.roles))
            raise RoleMissing(f"Only these roles may do that: {names}.", roles=sorted(self.roles))
        return actor


class PublicRoute:
    """The dependency by which a route says that anybody may call it."""

    async def __call__(self) -> None:
        """Let everybody in."""


def Allow(*needs: Scope | Role, kind: OrganisationKind | None = None) -> DependsParam:  # noqa: N802  # read as a type
    """Declare who may call a route: one of the scopes named, and, if roles are named, one of those too."""
    scopes = frozenset(need for need in needs if isinstance(need, Scope))
    roles = frozenset(need for need in needs if isinstance(need, Role))
    declared: DependsParam = Depends(Authorize(scopes, roles, kind))
    return declared


Public = Annotated[None, Depends(PublicRoute())]
__all__ = ["Allow", "CurrentActor", "Public", "Session"]
