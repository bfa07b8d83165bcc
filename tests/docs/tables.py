"""The tables of docs/ that follow from the code. `python -m tests.docs.tables` writes them anew; a test compares."""

from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import api
import marketplace
import workers
from api.errors import STATUS_OF_KIND
from marketplace.core.errors import all_errors
from marketplace.core.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "engineer.md"
BEGIN = "<!-- table of errors: begin (written by `python -m tests.docs.tables`) -->\n"
END = "<!-- table of errors: end -->\n"
# what no error class stands for, because it happens before or outside the domain (api/errors.py)
OF_THE_EDGE = (
    (404, "no_such_path", "There is no such path."),
    (405, "method_not_allowed", "The path does not take this method."),
    (413, "body_too_large", "The body is larger than allowed."),
    (422, "malformed", "The request does not have the form this call takes."),
    (500, "fault", "This is a fault of ours."),
    (503, "database_unavailable", "The database is not available now; try again."),
)


def _import_all(*packages: ModuleType) -> None:
    for package in packages:
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            # running api/__main__.py or workers/main.py is not meant, importing the rest is
            if not module.name.endswith("__main__"):
                import_module(module.name)


def error_rows() -> list[tuple[int, str, str]]:
    """Return status, code and message of every error that a caller can meet."""
    _import_all(marketplace, api, workers)
    own = [error for error in all_errors() if error.__module__.partition(".")[0] in {"marketplace", "api", "workers"}]
    rows = [
        (STATUS_OF_KIND[error.kind], error.code, (error.__doc__ or "").partition("\n")[0]) for error in own
    ]  # fmt: skip
    return sorted({*rows, *OF_THE_EDGE})


def error_table() -> str:
    """Return the table of errors as Markdown."""
    lines = ["| status | code | message |", "|---|---|---|"]
    lines += [f"| {status} | `{code}` | {message} |" for status, code, message in error_rows()]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return the page with the table as the code has it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{error_table()}\n{END}{after}"


def setting_defaults() -> dict[str, str]:
    """Return every setting with its default, as operations.md writes them."""
    found = {}
    for name, field in Settings.model_fields.items():
        value = field.default
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else str("" if value is None else value)
        found[name.upper()] = f"`{text.lower() if isinstance(value, bool) else text}`" if text else "empty"
    return found


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
