"""The object store: a local folder by default, S3 or a compatible store by setting; one API for both (obstore).

Signed addresses: S3 signs its own; for the local folder the app signs with HMAC-SHA256 over method, key and expiry, and
serves them itself (api/routes/objects.py), so that both expire and neither can be forged.
"""

import hashlib
import hmac
from datetime import timedelta
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from obstore import sign_async
from obstore.store import LocalStore, ObjectStore, S3Store

from marketplace.core.clock import now
from marketplace.core.errors import Forbidden
from marketplace.core.settings import Settings

Method = Literal["GET", "PUT"]
_LOCAL_PATH: Final = "/v1/objects/"


class SignatureRefused(Forbidden):
    """This address has expired, or was changed."""

    code = "signature_refused"


def open_store(settings: Settings) -> ObjectStore:
    """Open the store that the settings name; makes the local folder when it is missing."""
    url = urlsplit(settings.object_store_url)
    if url.scheme == "s3":
        options = {"endpoint": settings.s3_endpoint} if settings.s3_endpoint else {}
        return S3Store(
            url.netloc,
            prefix=url.path.strip("/") or None,
            region=settings.s3_region or None,
            client_options={"allow_http": settings.s3_endpoint.startswith("http://")},
            **options,
        )
    folder = settings.object_store_url or str(settings.kapok_home / "objects")
    return LocalStore(folder, automatic_cleanup=True, mkdir=True)


def _signature(secret: str, method: Method, key: str, expires: int) -> str:
    message = f"{method}\n{key}\n{expires}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


async def signed_url(settings: Settings, store: ObjectStore, method: Method, key: str) -> str:
    """Return an address under which one object can be read or written until `signed_url_seconds` from now."""
    if isinstance(store, S3Store):
        return await sign_async(store, method, key, timedelta(seconds=settings.signed_url_seconds))
    expires = int(now().timestamp()) + settings.signed_url_seconds
    query = {"expires": expires, "signature": _signature(settings.secret_key.get_secret_value(), method, key, expires)}
    return f"{settings.base_url}{_LOCAL_PATH}{quote(key)}?{urlencode(query)}"


def check_signature(settings: Settings, method: Method, key: str, expires: int, signature: str) -> None:
    """Refuse a local address that has expired or whose signature does not fit, with `SignatureRefused`."""
    wanted = _signature(settings.secret_key.get_secret_value(), method, key, expires)
    if not hmac.compare_digest(wanted, signature) or expires < now().timestamp():
        raise SignatureRefused
