"""Which key signs, and what a gate gets of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkpoints import SignerUnderTest
from tallystick import Entry, InputError, Ledger
from tallystick.trust import checkpoint_if_key
from tallystick.trust.choice import choose_key
from tallystick.trust.keys import VARIABLE
from tallystick.trust.memory import Memory
from tallystick.trust.signer import sign_checkpoint

NOTE = Entry(type="note")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(path)) as ledger:
        yield ledger


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


@pytest.fixture
def other(tmp_path: Path) -> SignerUnderTest:
    """Somebody else's key, with a memory of its own."""
    return SignerUnderTest(tmp_path / "elsewhere")


def test_a_retired_key_signs_nothing_more(ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    signer.sign(ledger)
    with signer.memory(ledger) as memory:
        memory.retire(2)
    ledger.append("a", NOTE)
    assert signer.sign(ledger).size == 2
    made = signer.make(ledger)
    assert made is not None
    assert not made.signed
    ledger.append("a", NOTE)
    with pytest.raises(InputError, match="the key k retired at checkpoint 2, and signs none after it"):
        signer.make(ledger)
    assert ledger.store.log.size() == 2
    assert signer.memory(ledger).pending() is None


def test_which_key_is_chosen(ledger: Ledger, signer: SignerUnderTest, tmp_path: Path) -> None:
    environ, folder = dict(signer.environ), signer.folder

    def chosen(named: str | None = None) -> str | None:
        key = choose_key(environ, ledger.ledger_id, named)
        return key and (key.name or key.place)

    assert choose_key({"XDG_CONFIG_HOME": str(tmp_path / "none")}, ledger.ledger_id) is None
    assert chosen() == "k"
    second = folder.new("second")
    with pytest.raises(InputError, match="several keys could sign: k, second"):
        chosen()
    assert chosen("second") == "second"
    ledger.append("a", NOTE)
    first = signer.sign(ledger)
    assert chosen() == "k"
    ledger.append("a", NOTE)
    sign_checkpoint(ledger, second, Memory(folder, second, ledger.ledger_id), against=first)
    assert chosen() == "second"
    with Memory(folder, second, ledger.ledger_id) as memory:
        memory.retire(2)
    assert chosen() == "k"
    environ[VARIABLE] = (Path(folder.path) / "second").read_text()
    assert chosen() == "variable"
    assert chosen("k") == "k"


# --- where a key is there


def test_a_checkpoint_where_a_key_is_there(path: Path, ledger: Ledger, signer: SignerUnderTest, tmp_path: Path) -> None:
    said: list[str] = []
    ledger.append("a", NOTE)
    assert checkpoint_if_key(ledger, environ={"XDG_CONFIG_HOME": str(tmp_path / "none")}, warn=said.append) is None
    note = checkpoint_if_key(ledger, environ=signer.environ, warn=said.append)
    assert note is not None
    assert signer.witness.see(note).size == 1
    ledger.append("a", NOTE)
    with Ledger.open(str(path), read_only=True) as reading:
        note = checkpoint_if_key(reading, environ=signer.environ, warn=said.append)
        assert note is not None
        assert signer.witness.see(note).size == 2
        assert checkpoint_if_key(reading, environ=signer.environ) == note
    assert said == []


def test_what_keeps_a_key_from_signing_is_told(
    path: Path, ledger: Ledger, signer: SignerUnderTest, other: SignerUnderTest
) -> None:
    said: list[str] = []
    ledger.append("a", NOTE)
    signer.sign(ledger)
    assert checkpoint_if_key(ledger, environ=other.environ, warn=said.append) is None
    assert checkpoint_if_key(ledger, environ=other.environ) is None
    assert checkpoint_if_key(ledger, environ={VARIABLE: "x"}, warn=said.append) is None
    assert [one.partition(": ")[0] for one in said] == ["no checkpoint was made"] * 2
    assert "has no memory of this ledger" in said[0]
