"""The lock of the images is the lock of everybody, without the servers of one machine."""

import re
import tomllib

from tests.docs.tables import ROOT

_PINNED = re.compile(r"^([a-z0-9._-]+(?:\[[a-z,]+\])?)==(\S+)", re.MULTILINE)


def _pinned(path: str) -> dict[str, str]:
    return dict(_PINNED.findall((ROOT / path).read_text()))


def _extra() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {requirement.partition("==")[0] for requirement in project["optional-dependencies"]["local"]}


def test_image_lock_has_the_versions_of_the_lock_when_compared() -> None:
    everybody, image = _pinned("requirements.lock"), _pinned("docker/requirements.lock")
    assert image
    assert {name: everybody.get(name) for name in image} == image


def test_image_lock_has_no_server_when_compared() -> None:
    assert _extra() & _pinned("docker/requirements.lock").keys() == set()
