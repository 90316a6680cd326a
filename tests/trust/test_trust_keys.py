"""Keys lie in files that only their user can read, outside of every work tree, or come from a variable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tallystick import InputError, NotFoundError, StoreUnavailableError
from tallystick.proof.keys import ED25519, MLDSA44_COSIGNATURE, SigningKey
from tallystick.proof.note import sign
from tallystick.trust.keys import VARIABLE, KeyFolder, given_key

LOG = "tallystick/0123456789abcdef0123456789abcdef"
as_user = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder({"XDG_CONFIG_HOME": str(tmp_path / "config")})


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@as_user
def test_a_new_key_is_the_users_alone(folder: KeyFolder) -> None:
    before = os.umask(0)
    try:
        key = folder.new()
    finally:
        os.umask(before)
    path = os.path.join(folder.path, "default")
    assert (mode(path), mode(folder.path)) == (0o600, 0o700)
    assert Path(path).read_text().startswith("PRIVATE+KEY+default+")
    assert (key.name, key.place, key.key_type) == ("default", "file", ED25519)


def test_a_key_comes_back_and_signs_under_any_log(folder: KeyFolder) -> None:
    made = folder.new("ci")
    key = folder.load("ci")
    assert (key.public, key.fingerprint) == (made.public, made.fingerprint)
    for name in (LOG, f"{LOG}/2", "another"):
        note = sign(f"{name}\nsome text\n", [key.signer(name)])
        note.verify([key.verifier(name)])
        assert key.signer(name).key == key.verifier(name) == made.verifier(name)
    assert str(key) == "the key ci"


def test_keys_differ(folder: KeyFolder) -> None:
    assert len({folder.new(f"k{n}").fingerprint for n in range(5)}) == 5
    assert folder.names() == [f"k{n}" for n in range(5)]


def test_a_name_is_taken_once(folder: KeyFolder) -> None:
    kept = folder.new("ci").public
    with pytest.raises(InputError, match="there is a key of that name"):
        folder.new("ci")
    assert folder.load("ci").public == kept


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", ".hidden", "a b", "ü", "x" * 65, "a\n"])
def test_what_a_key_cannot_be_called(folder: KeyFolder, name: str) -> None:
    for ask in (folder.new, folder.load):
        with pytest.raises(InputError, match="a key cannot be called"):
            ask(name)
    assert folder.names() == []


def test_there_may_be_no_key(folder: KeyFolder) -> None:
    assert folder.names() == []
    with pytest.raises(NotFoundError, match="there is no such key"):
        folder.load("ci")


@pytest.mark.parametrize("content", ["", "x", "PRIVATE+KEY+", "PRIVATE+KEY+a+00000000+AQ==", "ssh-rsa AAAA me", "\0"])
def test_a_file_that_holds_no_key(folder: KeyFolder, content: str) -> None:
    folder.new("ci")
    Path(folder.path, "ci").write_text(content)
    with pytest.raises(InputError) as caught:
        folder.load("ci")
    assert folder.path in caught.value.where
    assert len(str(caught.value).splitlines()) == 1


def test_a_secret_is_never_repeated(folder: KeyFolder) -> None:
    folder.new("ci")
    path = Path(folder.path, "ci")
    secret = path.read_text().strip()
    tail = secret.split("+", 4)[4]
    for damaged in (secret[:-3], secret.replace("PRIVATE", "PRIVAT"), f"x{secret}", secret.replace("+ci+", "+c+")):
        path.write_text(damaged)
        with pytest.raises(InputError) as caught:
            folder.load("ci")
        assert tail[:12] not in str(caught.value)
        with pytest.raises(InputError) as caught:
            given_key({VARIABLE: damaged})
        assert tail[:12] not in str(caught.value)
    assert tail[:12] not in repr(SigningKey.parse(secret))


@as_user
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o622])
def test_a_key_that_others_can_read_is_refused(folder: KeyFolder, bits: int) -> None:
    folder.new("ci")
    path = Path(folder.path, "ci")
    path.chmod(bits)
    with pytest.raises(InputError, match=r"others can read or own this key; chmod 600"):
        folder.load("ci")
    path.chmod(0o600)
    folder.load("ci")


@as_user
def test_a_folder_that_others_can_write_to_is_refused(folder: KeyFolder) -> None:
    folder.new("ci")
    Path(folder.path).chmod(0o770)
    with pytest.raises(InputError, match="others can write to it; chmod 700"):
        folder.new("other")


@pytest.mark.parametrize("marker", ["folder", "file"])
def test_keys_are_never_kept_in_a_work_tree(tmp_path: Path, marker: str) -> None:
    """Nor where a symbolic link leads into one, nor in a linked work tree, whose `.git` is a file."""
    repo = tmp_path / "repo"
    (repo / "deep" / "config").mkdir(parents=True)
    if marker == "folder":
        (repo / ".git").mkdir()
    else:
        (repo / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "link").symlink_to(repo / "deep")
    for config in (repo / "deep" / "config", repo, tmp_path / "link" / "config"):
        folder = KeyFolder({"XDG_CONFIG_HOME": str(config)})
        for ask in (folder.new, folder.load):
            with pytest.raises(InputError, match="never kept inside a work tree") as caught:
                ask("ci")
            assert "XDG_CONFIG_HOME" in caught.value.advice
    assert not list(repo.rglob("keys"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    with pytest.raises(StoreUnavailableError, match="cannot be made"):
        KeyFolder({"XDG_CONFIG_HOME": str(tmp_path / "config")}).new()


def test_without_a_configuration_folder_it_is_in_the_home(home: Path) -> None:
    assert KeyFolder({}).path == str(home / ".config" / "tallystick" / "keys")


def test_a_key_from_the_variable() -> None:
    assert given_key({}) is None
    assert given_key({VARIABLE: " \n"}) is None
    for key_type in (ED25519, MLDSA44_COSIGNATURE):
        secret = SigningKey("ci", key_type, b"\7" * 32)
        key = given_key({VARIABLE: secret.encode() + "\n"})
        assert key is not None
        assert (key.name, key.place, key.public) == ("", "variable", secret.key.public)
        assert key.verifier("ci") == secret.key
        assert str(key) == f"the key in ${VARIABLE}"
    with pytest.raises(InputError) as caught:
        given_key({VARIABLE: "hunter2"})
    assert caught.value.where == f"${VARIABLE}"
    assert "hunter2" not in str(caught.value)
