"""Whatever these parsers are given, they raise our own errors, of one line, in a time that grows with its length."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import StoreUnavailableError, TallystickError
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, SigningKey
from tallystick.proof.note import sign
from tallystick.stores.base import Head
from tallystick.trust.against import read_against, read_trusted
from tallystick.trust.keys import Key, KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.ssh_agent import SshAgent, parse_public_line
from tallystick.trust.statements import Subject, approve, attest, parse_statement

LEDGER = "0123456789abcdef" * 2
SUBJECT = Subject("t", Head(3, "a" * 64))
SECRET = SigningKey(f"tallystick/{LEDGER}", ED25519, b"\1" * 32)
WITNESS = SigningKey("witness.example", ED25519_COSIGNATURE, b"\2" * 32)
KEY = Key("k", "file", ED25519, SECRET.key.public, secret=SECRET)
NOTE = str(sign(f"tallystick/{LEDGER}\n1\n{'A' * 43}=\n", [SECRET.signer()]))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


AGENT_KEY = _string(_string(b"ssh-ed25519") + _string(b"k" * 32))


class ToldAgent(SshAgent):
    """An agent that answers as it is told."""

    def __init__(self, answer: bytes) -> None:
        super().__init__({"SSH_AUTH_SOCK": "agent"})
        self._answer = answer

    def _ask(self, request: bytes, expected: int) -> bytes:
        del request, expected
        return self._answer


def _keys(path: Path, data: bytes) -> None:
    folder = KeyFolder({"XDG_CONFIG_HOME": str(path)})
    folder.make()
    file = Path(folder.path) / "k"
    file.touch(mode=0o600)
    file.write_bytes(data)
    folder.load("k").verifier("x")


def _memory(path: Path, data: bytes) -> None:
    memory = Memory(KeyFolder({"XDG_CONFIG_HOME": str(path)}), KEY, LEDGER)
    file = Path(memory.path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    memory.last()
    memory.retired()


Parser = Callable[[Path, bytes], object]
PARSERS: dict[str, tuple[Parser, bytes]] = {
    "keys": (lambda _, data: read_trusted(data), f"# who\n{SECRET.key} until 3\n".encode()),
    "policy": (
        lambda _, data: read_trusted(data),
        f"log {SECRET.key}\nwitness w {WITNESS.key}\ngroup g 1 w\nquorum g\n".encode(),
    ),
    "checkpoint": (lambda _, data: read_against(data, LEDGER, read_trusted(str(SECRET.key).encode())), NOTE.encode()),
    "attestation": (
        lambda _, data: parse_statement(data.decode("utf-8", "replace")).signers([SECRET.key]),
        attest(KEY, LEDGER, SUBJECT, {1: "a" * 64}).encode(),
    ),
    "approval": (
        lambda _, data: parse_statement(data.decode("utf-8", "replace")).signers([SECRET.key]),
        approve(KEY, LEDGER, SUBJECT, [{"what": "command changed"}]).encode(),
    ),
    "agent's keys": (lambda _, data: ToldAgent(data).held(), b"\0\0\0\1" + AGENT_KEY + _string(b"me")),
    "agent's signature": (
        lambda _, data: ToldAgent(data).sign(b"k" * 32, b"m"),
        _string(_string(b"ssh-ed25519") + _string(b"s" * 64)),
    ),
    "public line": (
        lambda _, data: parse_public_line(data.decode("utf-8", "replace")),
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me",
    ),
    "key file": (_keys, SECRET.encode().encode()),
    "memory": (
        _memory,
        json.dumps(
            {"v": 1, "ledger": LEDGER, "origins": {f"tallystick/{LEDGER}": {"size": 1, "root": "a" * 64}}}
        ).encode(),
    ),
}
INSERTED = (
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b" ",
    b"+",
    b"[" * 300,
    b"9" * 5_000,
    b"null",
    b"\xc2\x85",
    b"\xff\xff\xff\xff",
)


def _one_line(error: TallystickError) -> None:
    assert not set(str(error)) & set("\n\r\0"), repr(str(error))


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_well_formed_is_read(name: str, tmp_path: Path) -> None:
    parse, text = PARSERS[name]
    parse(tmp_path, text)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_nothing_but_our_own_errors(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    parse, text = PARSERS[name]
    changed = bytearray(text)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        end = place + data.draw(st.sampled_from((0, 1, 4, 40)))
        changed[place:end] = data.draw(st.sampled_from(INSERTED) | st.binary(max_size=4))
    try:
        parse(_FOLDER[0], bytes(changed))
    except TallystickError as error:
        _one_line(error)


_FOLDER: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDER.append(tmp_path_factory.mktemp("parsers"))


def test_a_long_answer_of_an_agent_is_read_in_a_time_that_grows_with_its_length() -> None:
    count = 100_000
    began = time.process_time()
    assert ToldAgent(count.to_bytes(4, "big") + bytes(8 * count)).held() == []
    with pytest.raises(StoreUnavailableError, match="ends too early"):
        ToldAgent(b"\xff" * 4 + bytes(8 * count)).held()
    assert time.process_time() - began < 3
