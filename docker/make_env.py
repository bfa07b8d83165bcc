# ruff: noqa: INP001  (a script, no package)
"""Print the environment file that compose.yaml needs, with new secrets: `make_env.py PUBLIC_URL > docker/.env`."""

import secrets
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from cli.home import Secrets

PASSWORD_BYTES = 24


def _of_address(url: str) -> dict[str, str]:
    """Return what the proxy needs to know: over https Caddy listens on 80 and 443 and fetches a certificate."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        sys.exit("Give the address under which people will reach this Kapok: make_env.py https://kapok.example")
    facts = {"PUBLIC_URL": f"{parts.scheme}://{parts.netloc}"}
    if parts.scheme == "https":
        return facts | {"SITE_ADDRESS": parts.hostname, "HTTP_PORT": "80", "HTTPS_PORT": str(parts.port or 443)}
    port = str(parts.port or 80)
    return facts | {"SITE_ADDRESS": f":{port}", "HTTP_PORT": port}


def main() -> None:
    """Print one line a setting; passwords hold no character that means something in an address."""
    address = _of_address(sys.argv[1] if len(sys.argv) == 2 else "")
    with tempfile.TemporaryDirectory() as folder:
        made = Secrets.of(Path(folder))
    lines = address | {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(PASSWORD_BYTES),
        "REDIS_PASSWORD": secrets.token_urlsafe(PASSWORD_BYTES),
        "SECRET_KEY": made.secret_key,
        "JWT_KEYS": f"'{made.jwt_keys}'",
        "PROOF_SIGNING_KEY": made.proof_signing_key,
        "SANDBOX_IN_PRODUCTION": "true",
        "SANDBOX_WEBHOOK_SECRET": made.sandbox_webhook_secret,
    }
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in lines.items()))


if __name__ == "__main__":
    main()
