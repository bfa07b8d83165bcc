"""Sign-up, sign-in, refresh, switch, sign-out, and the public keys that verify access tokens.

The refresh token is answered in the body (programs) and in a cookie that no script can read (browsers). A call that
uses the cookie must carry `X-Kapok-Client`: a page of another site cannot send that header without being asked first.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from api.auth import Allow, Public
from api.limits import limit_address
from api.session import Session, Shared
from marketplace.core.actor import Actor, Scope
from marketplace.core.errors import DomainError
from marketplace.core.settings import Settings
from marketplace.identity import signing_in
from marketplace.identity.errors import ClientHeaderMissing, RefreshTokenMissing
from marketplace.identity.schemas import ChangePassword, Refresh, SignIn, SignUp, Switch, TokenView
from marketplace.identity.signing_in import SignedIn
from marketplace.identity.tokens import KeyRing, TokenSigner

router = APIRouter(tags=["Sign in"])
CLIENT_HEADER = "x-kapok-client"
Caller = Annotated[Actor, Allow(Scope.PROFILE)]


async def _limited(request: Request, shared: Shared) -> None:
    """Count the calls of this address to this path, so that passwords and tokens cannot be tried in bulk."""
    await limit_address(request, shared, request.url.path, shared.settings.sign_in_limit_per_minute)


Limited = Annotated[None, Depends(_limited)]


def cookie_name(settings: Settings) -> str:
    """Return the cookie's name; `__Host-` (https only) keeps other hosts of the domain from setting it."""
    return "__Host-kapok_refresh" if settings.base_url.startswith("https://") else "kapok_refresh"


def _set_cookie(response: Response, settings: Settings, token: str) -> None:
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=settings.refresh_token_seconds,
        path="/",
        secure=settings.base_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def _given_token(request: Request, settings: Settings, in_body: str | None) -> str | None:
    """Return the refresh token of the body, or of the cookie when the call proves to be no other site's."""
    if in_body is not None:
        return in_body
    token = request.cookies.get(cookie_name(settings))
    if token is not None and CLIENT_HEADER not in request.headers:
        raise ClientHeaderMissing
    return token


async def _answer(
    request: Request, response: Response, shared: Shared, outcome: SignedIn | DomainError
) -> TokenView | Response:
    """Answer new tokens; answer (not raise) a refusal, so that its trace in the transaction is committed."""
    if isinstance(outcome, DomainError):
        refused: Response = await request.app.exception_handlers[DomainError](request, outcome)
        return refused
    signer: TokenSigner = request.app.state.token_signer
    _set_cookie(response, shared.settings, outcome.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return TokenView(
        access_token=signer.access_token(outcome.actor, outcome.person),
        token_type="Bearer",  # noqa: S106  # a scheme's name
        expires_in=shared.settings.access_token_seconds,
        refresh_token=outcome.refresh_token,
        organisation_id=outcome.actor.organisation_id,
    )


@router.post("/v1/auth/sign-up", status_code=status.HTTP_201_CREATED, response_model=TokenView)
async def sign_up(
    _: Public, _limit: Limited, request: Request, response: Response, shared: Shared, session: Session, body: SignUp
) -> TokenView | Response:
    """Make an account with an e-mail address or a phone number, and sign in."""
    return await _answer(request, response, shared, await signing_in.sign_up(session, shared.settings, body))


@router.post("/v1/auth/sign-in", response_model=TokenView)
async def sign_in(
    _: Public, _limit: Limited, request: Request, response: Response, shared: Shared, session: Session, body: SignIn
) -> TokenView | Response:
    """Sign in; an unknown address and a wrong password are answered alike."""
    attempt = await signing_in.prove(shared.database, body)
    outcome = await signing_in.sign_in(session, shared.settings, attempt, body.organisation_id)
    return await _answer(request, response, shared, outcome)


@router.post("/v1/auth/refresh", response_model=TokenView)
async def refresh(
    _: Public, _limit: Limited, request: Request, response: Response, shared: Shared, session: Session, body: Refresh
) -> TokenView | Response:
    """Exchange a refresh token for new tokens; each works once, and a second use ends all of its sign-in."""
    token = _given_token(request, shared.settings, body.refresh_token)
    if token is None:
        raise RefreshTokenMissing
    return await _answer(request, response, shared, await signing_in.refresh(session, shared.settings, token))


@router.post("/v1/auth/switch", response_model=TokenView)
async def switch(
    actor: Caller, request: Request, response: Response, shared: Shared, session: Session, body: Switch
) -> TokenView | Response:
    """Act for another of your organisations, or for yourself."""
    token = _given_token(request, shared.settings, body.refresh_token)
    outcome = await signing_in.switch(session, shared.settings, actor, body.organisation_id, token)
    return await _answer(request, response, shared, outcome)


@router.post("/v1/auth/sign-out", status_code=status.HTTP_204_NO_CONTENT)
async def sign_out(
    _: Public, _limit: Limited, request: Request, response: Response, shared: Shared, session: Session, body: Refresh
) -> None:
    """End the sign-in of this refresh token; its access token ends by itself within minutes."""
    token = _given_token(request, shared.settings, body.refresh_token)
    if token is not None:
        await signing_in.sign_out(session, token)
    response.delete_cookie(
        cookie_name(shared.settings),
        path="/",
        secure=shared.settings.base_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


@router.post("/v1/auth/password", response_model=TokenView)
async def change_password(
    actor: Caller,
    _limit: Limited,
    request: Request,
    response: Response,
    shared: Shared,
    session: Session,
    body: ChangePassword,
) -> TokenView | Response:
    """Take another password; every other sign-in of yours ends."""
    attempt = await signing_in.prove_actor(shared.database, actor, body.password.get_secret_value())
    outcome = await signing_in.change_password(session, shared.settings, actor, attempt, body)
    return await _answer(request, response, shared, outcome)


@router.get("/.well-known/jwks.json")
async def jwks(_: Public, request: Request, response: Response) -> dict[str, list[dict[str, str]]]:
    """Publish the keys by which others may verify this Kapok's access tokens."""
    signer: TokenSigner = request.app.state.token_signer
    keyring: KeyRing = signer.keyring
    response.headers["Cache-Control"] = "public, max-age=300"
    return keyring.jwks()
