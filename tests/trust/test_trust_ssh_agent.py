"""Signing with a key that an ssh-agent holds: a real agent where there is one, and one that answers as it is told."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tallystick import CheckFailedError, InputError, NotFoundError, StoreUnavailableError, TallystickError
from tallystick.proof.keys import ED25519
from tallystick.proof.note import sign
from tallystick.trust.keys import KeyFolder
from tallystick.trust.ssh_agent import SshAgent, fingerprint, parse_public_line, public_line

LOG = "tallystick/0123456789abcdef0123456789abcdef"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\5" * 32)
PUBLIC = PRIVATE.public_key().public_bytes_raw()


@pytest.fixture
def real_agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A real ssh-agent with an Ed25519 key, an ECDSA one, and another Ed25519 one with a comment of its own."""
    if not all(shutil.which(tool) for tool in ("ssh-agent", "ssh-add", "ssh-keygen")):
        pytest.skip("openssh-client is not here")
    place = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    env = {**os.environ, "SSH_AUTH_SOCK": place}
    try:
        while not os.path.exists(place):
            assert agent.poll() is None
        for kind, name in (("ed25519", "one"), ("ecdsa", "two"), ("ed25519", "three")):
            file = tmp_path / name
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", file], check=True)
            subprocess.run(["ssh-add", "-q", file], env=env, check=True)
        yield {"SSH_AUTH_SOCK": place, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    finally:
        agent.terminate()
        agent.wait()


def test_a_real_agent_signs(real_agent: dict[str, str], tmp_path: Path) -> None:
    agent = SshAgent(real_agent)
    assert [comment for _, comment in agent.held()] == ["one", "three"]
    line = (tmp_path / "one.pub").read_text()
    public, comment = parse_public_line(line.strip())
    assert (public, comment) == agent.held()[0]
    assert public_line(public, comment) == line.strip()
    folder = KeyFolder(real_agent)
    with pytest.raises(NotFoundError, match="not one but 2 Ed25519 keys"):
        folder.from_agent("mine")
    for wanted in ("one", fingerprint(public)):
        key = folder.from_agent(f"mine-{wanted[:3]}", wanted)
        assert (key.place, key.public, key.key_type) == ("ssh-agent", public, ED25519)
        note = sign(f"{LOG}\ntext\n", [key.signer(LOG)])
        note.verify([key.verifier(LOG)])
    kept = Path(folder.path, "mine-one").read_text()
    assert kept == line
    printed = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "one.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert fingerprint(public) in printed


def test_an_agent_that_lost_the_key_or_is_locked_refuses(real_agent: dict[str, str]) -> None:
    key = KeyFolder(real_agent).from_agent("mine", "one")
    subprocess.run(["ssh-add", "-q", "-D"], env={**os.environ, **real_agent}, check=True, capture_output=True)
    with pytest.raises(InputError, match="the ssh-agent refuses to sign"):
        sign("x\n", [key.signer("x")])


def test_there_is_no_agent(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no ssh-agent here"):
        SshAgent({})
    with pytest.raises(StoreUnavailableError, match="cannot be asked"):
        SshAgent({"SSH_AUTH_SOCK": str(tmp_path / "nothing")}).held()


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def blob(public: bytes = PUBLIC) -> bytes:
    return string(b"ssh-ed25519") + string(public)


@contextmanager
def answering(path: Path, answer: Callable[[bytes], bytes]) -> Iterator[SshAgent]:
    """An agent whose answers are whatever `answer` makes of the request, framed as they are."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    (size,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
                    connection.sendall(answer(connection.recv(size, socket.MSG_WAITALL)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield SshAgent({"SSH_AUTH_SOCK": str(path)})
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_the_messages_are_those_of_the_protocol(tmp_path: Path) -> None:
    requests: list[bytes] = []

    def answer(request: bytes) -> bytes:
        requests.append(request)
        if request[0] == 11:
            keys = struct.pack(">I", 2) + string(b"other") + string(b"x") + string(blob()) + string(b"me@here")
            return string(b"\x0c" + keys)
        return string(b"\x0e" + string(string(b"ssh-ed25519") + string(PRIVATE.sign(b"a message"))))

    with answering(tmp_path / "agent", answer) as agent:
        assert agent.held() == [(PUBLIC, "me@here")]
        assert agent.sign(PUBLIC, b"a message") == PRIVATE.sign(b"a message")
    assert requests == [b"\x0b", b"\x0d" + string(blob()) + string(b"a message") + bytes(4)]


GARBAGE = [
    b"",
    b"\0",
    bytes(4),
    b"\xff\xff\xff\xff",
    string(b"\x05"),
    string(b"\x0e"),
    string(b"\x0e" + string(b"")),
    string(b"\x0e" + string(string(b"ssh-rsa") + string(bytes(64)))),
    string(b"\x0e" + string(string(b"ssh-ed25519") + string(bytes(63)))),
    string(b"\x0e" + string(string(b"ssh-ed25519"))),
    string(b"\x0e\xff\xff\xff\xff"),
    string(b"\x0c\xff\xff\xff\xff"),
    string(b"\x0c" + struct.pack(">I", 1) + string(blob())),
    string(b"\x63" + bytes(100)),
    string(b"\x0e" + bytes(20))[:-5],
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_an_agent_that_answers_garbage(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "agent", lambda _: answer) as agent:
        with pytest.raises(TallystickError):
            agent.sign(PUBLIC, b"a message")
        with pytest.raises(TallystickError):
            agent.held()


def test_a_signature_by_another_key_is_not_passed_on(tmp_path: Path) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"\6" * 32)

    def answer(request: bytes) -> bytes:
        if request[0] == 11:
            return string(b"\x0c" + struct.pack(">I", 1) + string(blob()) + string(b"me"))
        return string(b"\x0e" + string(string(b"ssh-ed25519") + string(other.sign(request))))

    with answering(tmp_path / "agent", answer):
        environ = {"SSH_AUTH_SOCK": str(tmp_path / "agent"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        key = KeyFolder(environ).from_agent("mine")
        with pytest.raises(CheckFailedError, match="does not fit the text"):
            sign("x\n", [key.signer("x")])


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 !!!!", "ssh-ed25519 AAAA me", "ssh-rsa AAAA", "x y z"]
)
def test_lines_that_are_no_public_key(line: str) -> None:
    with pytest.raises(InputError, match="not an Ed25519 key of SSH"):
        parse_public_line(line)
