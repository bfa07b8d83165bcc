"""The pages keep step with the code: tables, calls, commands and links that they name exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from api.app import create_app
from cli.main import app
from marketplace.core.settings import Settings
from tests.docs import tables

ROOT = tables.ROOT
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"")
_CALL = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE|HEAD) \"?(/(?:v1|healthz|\.well-known)/[^\s`\"?),]*)")
_COMMAND = re.compile(r"\bkapok ([a-z]+(?:-[a-z]+)*(?: [a-z]+)?)")
_SETTING = re.compile(r"^\| `([A-Z0-9_]+)` \| (`[^`]*`|empty) \|", re.MULTILINE)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_error_table_is_the_codes_when_compared() -> None:
    page = tables.PAGE.read_text()
    assert page == tables.with_table(page), "run `python -m tests.docs.tables`"


def test_each_setting_stands_in_operations_with_its_default_when_compared() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert dict(_SETTING.findall(page)) == tables.setting_defaults()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere_when_followed(page: Path) -> None:
    targets = [first or second for first, second in _LINK.findall(page.read_text())]
    broken = [t for t in targets if not t.startswith(("http://", "https://")) and not (page.parent / t).exists()]
    assert broken == []


def _operations() -> set[tuple[str, str]]:
    paths = create_app(Settings(_env_file=None, env="test")).openapi()["paths"]
    return {(method.upper(), _shape(path)) for path, calls in paths.items() for method in calls}


def _shape(path: str) -> str:
    """Return a path with every parameter, template or shell variable, written alike."""
    return re.sub(r"\{[^}]*\}|\$\w+", "*", path)


def _calls(page: Path) -> Iterator[tuple[str, str]]:
    for method, path in _CALL.findall(page.read_text()):
        yield method, _shape(path)


def test_calls_that_pages_name_exist_in_openapi_when_looked_up() -> None:
    operations = _operations()
    unknown = {
        (page.name, method, path) for page in PAGES for method, path in _calls(page) if (method, path) not in operations
    }
    assert unknown == set()


def _commands() -> set[str]:
    commands = getattr(typer.main.get_command(app), "commands", {})
    found = set(commands)
    for name, command in commands.items():
        found |= {f"{name} {inner}" for inner in getattr(command, "commands", {})}
    return found


def test_commands_that_pages_name_exist_when_looked_up() -> None:
    commands = _commands()
    named = {
        (page.name, word)
        for page in PAGES
        for line in re.findall(r"`([^`\n]*)`|^\$ (.*)$", page.read_text(), re.MULTILINE)
        for word in _COMMAND.findall(" ".join(line))
    }
    unknown = {(page, word) for page, word in named if word not in commands and word.split()[0] not in commands}
    assert unknown == set()
