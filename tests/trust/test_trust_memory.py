"""What a key signed last, beside the key: durable, one per ledger, and never taken for nothing when unreadable."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tallystick import InputError, StoreUnavailableError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.trust.keys import VARIABLE, Key, KeyFolder, given_key
from tallystick.trust.memory import Memory

LEDGER = "0123456789abcdef0123456789abcdef"
ORIGIN = f"tallystick/{LEDGER}"


def checkpoint(size: int, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, bytes([size]) * 32)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder({"XDG_CONFIG_HOME": str(tmp_path / "config")})


@pytest.fixture
def key(folder: KeyFolder) -> Key:
    return folder.new()


@pytest.fixture
def memory(folder: KeyFolder, key: Key) -> Memory:
    return Memory(folder, key, LEDGER)


def test_it_remembers_the_last_of_the_newest_epoch(folder: KeyFolder, key: Key, memory: Memory) -> None:
    assert memory.last() is None
    with memory:
        for size in (1, 2, 9):
            memory.remember(checkpoint(size))
            assert Memory(folder, key, LEDGER).last() == checkpoint(size)
        memory.remember(checkpoint(5, f"{ORIGIN}/2"))
        assert memory.last() == checkpoint(5, f"{ORIGIN}/2")
        memory.remember(checkpoint(3, f"{ORIGIN}/10"))
        assert memory.last() == checkpoint(3, f"{ORIGIN}/10")
    assert stat.S_IMODE(os.stat(memory.path).st_mode) == 0o600
    assert not [name for name in os.listdir(os.path.dirname(memory.path)) if name.endswith(str(os.getpid()))]


def test_each_ledger_and_key_has_its_own(folder: KeyFolder, memory: Memory, key: Key) -> None:
    with memory:
        memory.remember(checkpoint(4))
    assert Memory(folder, key, "f" * 32).last() is None
    assert Memory(folder, folder.new("other"), LEDGER).last() is None


def test_it_belongs_to_the_key_whatever_it_is_called(folder: KeyFolder, memory: Memory) -> None:
    """A key that is renamed, copied or given in the variable still knows what it signed."""
    with memory:
        memory.remember(checkpoint(4))
    path = Path(folder.path)
    (path / "default").rename(path / "renamed")
    assert Memory(folder, folder.load("renamed"), LEDGER).last() == checkpoint(4)
    given = given_key({VARIABLE: (path / "renamed").read_text()})
    assert given is not None
    assert Memory(folder, given, LEDGER).last() == checkpoint(4)
    assert SigningKey.parse((path / "renamed").read_text().strip()).key.key_type == ED25519


GOOD: dict[str, Any] = {"v": 1, "ledger": LEDGER, "origins": {ORIGIN: {"size": 4, "root": "aa" * 32}}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**GOOD, "v": 2}).encode(),
        json.dumps({**GOOD, "ledger": "f" * 32}).encode(),
        json.dumps({**GOOD, "origins": []}).encode(),
        json.dumps({**GOOD, "origins": {ORIGIN: {}}}).encode(),
        json.dumps({**GOOD, "origins": {ORIGIN: {"size": -1, "root": "aa" * 32}}}).encode(),
        json.dumps({**GOOD, "origins": {ORIGIN: {"size": "4", "root": "aa" * 32}}}).encode(),
        json.dumps({**GOOD, "origins": {ORIGIN: {"size": 4, "root": "aa"}}}).encode(),
        json.dumps({**GOOD, "retired": "x"}).encode(),
    ],
)
def test_a_memory_that_cannot_be_read_is_not_an_empty_one(memory: Memory, content: bytes) -> None:
    with memory:
        memory.remember(checkpoint(4))
    Path(memory.path).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read .*, so it signs nothing") as caught:
        memory.last()
    assert "--against" in caught.value.advice


def test_a_memory_that_cannot_be_written(folder: KeyFolder, key: Key, memory: Memory) -> None:
    (Path(folder.path) / "memory").write_text("a file in its place")
    with pytest.raises(StoreUnavailableError, match=r"cannot be remembered .*, so it signs nothing"), memory:
        pass
    with pytest.raises(InputError, match="so it signs nothing"):
        memory.remember(checkpoint(1))


def test_it_is_on_disk_before_it_is_there(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file is synced before it takes the old one's place, and the folder after."""
    with memory:
        memory.remember(checkpoint(1))
        calls: list[str] = []
        fsync, replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd))[1])
        monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))[1])
        memory.remember(checkpoint(2))
    assert calls == ["fsync", "replace", "fsync"]


def test_signers_with_one_key_wait_for_each_other(folder: KeyFolder, key: Key, memory: Memory) -> None:
    import threading

    entered, order = threading.Event(), []

    def other() -> None:
        with Memory(folder, key, LEDGER):
            order.append("other")
        entered.set()

    with memory:
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        assert not entered.wait(0.2)
        order.append("first")
    assert entered.wait(10)
    assert order == ["first", "other"]


def test_a_key_retires_once(memory: Memory) -> None:
    assert memory.retired() is None
    with memory:
        memory.remember(checkpoint(4))
        memory.retire(4)
        assert memory.retired() == 4
        with pytest.raises(InputError, match="already retired at checkpoint 4"):
            memory.retire(9)
    assert memory.last() == checkpoint(4)
