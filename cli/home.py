"""The data folder of `kapok up`: which folder it is, the secrets in it, and the lock that one Kapok holds on it."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.embedded.binaries import may_enter
from cli.embedded.process import server_account
from cli.errors import CannotRunError

SYSTEM_DATA = Path("/var/lib")


@dataclass(frozen=True)
class Secrets:
    """Made once for each data folder; `jwt_keys` is the JSON list of the current and the next Ed25519 private JWK."""

    secret_key: str
    jwt_keys: str
    postgres_password: str
    valkey_password: str
    sandbox_webhook_secret: str
    proof_signing_key: str

    @classmethod
    def of(cls, home: Path) -> "Secrets":
        """The secrets of this data folder, made on its first start.

        Raises CannotRunError when data exist without them: new ones could neither open the database nor read what the
        old ones encrypted.
        """
        path = home / "secrets.json"
        if path.exists():
            kept = json.loads(path.read_text())
            if "proof_signing_key" not in kept:  # a folder of an earlier version
                kept["proof_signing_key"] = _new_proof_key()
                write_private(path, json.dumps(kept, indent=1))
            return cls(**kept)
        if (home / "postgres" / "data").exists():
            raise CannotRunError(f"{path} is gone, but its data are still there.", f"Restore it, or move {home} away.")
        made = cls(
            secret_key=secrets.token_urlsafe(32),
            jwt_keys=json.dumps([_new_key(), _new_key()]),
            postgres_password=secrets.token_urlsafe(24),
            valkey_password=secrets.token_urlsafe(24),
            sandbox_webhook_secret=secrets.token_urlsafe(32),
            proof_signing_key=_new_proof_key(),
        )
        write_private(path, json.dumps(asdict(made), indent=1))
        return made


def resolve_home(wanted: Path) -> Path:
    """The data folder that stands for `wanted`.

    It is `wanted` itself, unless root starts Kapok under a folder that the servers' account may not enter (a clone in
    a 0700 /root). Opening that folder to everybody is not ours to do, so the data then live in a folder of the system
    named after `wanted`: the next start from the same place finds them again.
    """
    path = wanted.absolute().resolve()
    account = server_account()
    nearest = next(place for place in (path.parent, *path.parent.parents) if place.exists())
    if may_enter(nearest, account):
        return path
    name = "kapok-" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    for base in (SYSTEM_DATA, Path(tempfile.gettempdir())):
        if base.is_dir() and may_enter(base, account) and os.access(base, os.W_OK):
            return base / name
    raise CannotRunError(
        f"The servers run as {account.name if account else 'you'}, who may not enter {nearest}.",
        "Give a folder that everybody may enter: kapok up --home /srv/kapok",
    )


def make_home(home: Path) -> None:
    """Make the data folder: others may walk through it to what is theirs (as root), never list it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if server_account() else 0o700)
        (home / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise CannotRunError(f"Cannot write to the data folder {home}: {error.strerror}.", _owner_hint(home)) from error


def link_home(wanted: Path, home: Path) -> None:
    """Leave a link where the user looks for the data, when they had to go elsewhere."""
    path = wanted.absolute()
    if path.parent.is_dir() and not path.exists() and not path.is_symlink():
        path.symlink_to(home, target_is_directory=True)


def _owner_hint(home: Path) -> str:
    if not home.exists():
        return "Choose another with --home or KAPOK_HOME."
    return f"It belongs to {home.owner()}: run as that user, or choose another folder with --home."


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the data folder; the kernel lets go when we die, however we die.

    Raises CannotRunError when another Kapok holds it.
    """
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotRunError(
                f"Kapok already runs on the data in {home} (process {lock.read().strip() or 'unknown'}).",
                "Stop it with Ctrl-C where it runs, or start a second one with another --home.",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all, on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _new_key() -> dict[str, str]:
    """A private Ed25519 key as a JWK (RFC 8037), named by a random `kid`."""
    private = Ed25519PrivateKey.generate()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": secrets.token_hex(8),
        "use": "sig",
        "alg": "EdDSA",
        "d": _base64url(private.private_bytes_raw()),
        "x": _base64url(private.public_key().public_bytes_raw()),
    }


def _new_proof_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
