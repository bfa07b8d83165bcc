"""The limits of rule 11 and the edges of rule 3, read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("marketplace", "api", "workers", "cli")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 400
MAY_COMMIT = {"api/session.py", "workers/session.py", "workers/relay.py"}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _calls_commit(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"


def test_the_walk_sees_the_code():
    assert len(FILES) > 100
    assert any(_calls_commit(node) for node in ast.walk(ast.parse((ROOT / "api/session.py").read_text())))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_stay_small(path):
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_FILE_LINES
    long = {
        function.name: function.end_lineno - function.lineno + 1
        for function in _functions(ast.parse(source))
        if function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_only_the_edges_commit(path):
    calls = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if _calls_commit(node)]
    assert not calls or _name(path) in MAY_COMMIT


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_stand_at_the_top(path):
    inner = [
        node.lineno
        for function in _functions(ast.parse(path.read_text()))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


@pytest.mark.parametrize("path", sorted((ROOT / "marketplace").glob("*/__init__.py")), ids=_name)
def test_every_subdomain_opens_with_its_charter(path):
    charter = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Owns:" in charter
    assert "Promises:" in charter
    assert "Needs:" in charter
