import json
import os
import tempfile
from pathlib import Path

import jwt
import pytest

from cli import home as module
from cli.errors import CannotRunError
from cli.home import Secrets, link_home, locked, make_home, resolve_home


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the servers to another account")


def test_secrets_are_kept_and_private_when_read_again(tmp_path):
    assert Secrets.of(tmp_path) == Secrets.of(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_new_secrets_are_refused_when_data_exist(tmp_path):
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(CannotRunError, match=r"secrets\.json is gone"):
        Secrets.of(tmp_path)


def test_jwt_keys_sign_when_made(tmp_path):
    keys = json.loads(Secrets.of(tmp_path).jwt_keys)
    assert len({key["kid"] for key in keys}) == 2
    for key in keys:
        token = jwt.encode({"sub": "x"}, jwt.PyJWK(key), algorithm="EdDSA")
        public = jwt.PyJWK({name: value for name, value in key.items() if name != "d"})
        assert jwt.decode(token, public, algorithms=["EdDSA"]) == {"sub": "x"}


def test_second_start_is_refused_when_home_is_in_use(tmp_path):
    with locked(tmp_path), pytest.raises(CannotRunError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_home_is_the_wanted_folder_when_it_can_be_entered(open_folder):
    assert resolve_home(open_folder / ".kapok") == open_folder / ".kapok"


@as_root
def test_data_go_elsewhere_when_servers_may_not_enter_the_folder(open_folder, monkeypatch):
    system, private = open_folder / "lib", open_folder / "private"
    system.mkdir(mode=0o755)
    private.mkdir(mode=0o700)
    monkeypatch.setattr(module, "SYSTEM_DATA", system)
    home = resolve_home(private / ".kapok")
    assert home.parent == system
    assert private.stat().st_mode & 0o777 == 0o700
    make_home(home)
    link_home(private / ".kapok", home)
    assert (private / ".kapok").resolve() == home
    assert resolve_home(private / ".kapok") == home


@as_root
def test_data_of_two_folders_differ_when_both_go_elsewhere(open_folder, monkeypatch):
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(module, "SYSTEM_DATA", open_folder)
    assert resolve_home(private / "a") != resolve_home(private / "b")
