"""`python -m api` prints the OpenAPI document, for docs/openapi.json and for generated clients."""

import json
import sys

from api.app import create_app
from marketplace.core.settings import Settings


def main() -> None:
    """Print the document; no server is needed."""
    settings = Settings(_env_file=None, env="test", database_url="postgresql://none", redis_url="redis://none")
    json.dump(create_app(settings).openapi(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
