"""Signing with an Ed25519 key that an ssh-agent holds (draft-ietf-sshm-ssh-agent, RFC 8709 for the key's form)."""

from __future__ import annotations

from binascii import a2b_base64

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError
from tallystick.proof.encoding import base64_encode, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_VARIABLE = "SSH_AUTH_SOCK"
KEY_KIND = "ssh-ed25519"
SECONDS = 120.0
"""How long an agent may take: it may ask a person."""

_REQUEST_IDENTITIES, _IDENTITIES = 11, 12
_SIGN_REQUEST, _SIGNED = 13, 14
_LONGEST_ANSWER = 1 << 20
_PUBLIC_SIZE, _SIGNATURE_SIZE = 32, 64


class SshAgent:
    """The agent that `SSH_AUTH_SOCK` leads to; each question opens a connection of its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = environ.get(SOCKET_VARIABLE, "")
        if not self._path:
            raise NotFoundError("there is no ssh-agent here", advice="start one, or set SSH_AUTH_SOCK to its socket")

    def held(self) -> list[tuple[bytes, str]]:
        """(public key, comment) of each Ed25519 key that the agent holds. Raises StoreUnavailableError."""
        answer = _Reader(self._ask(bytes((_REQUEST_IDENTITIES,)), _IDENTITIES))
        found = []
        for _ in range(answer.number()):
            blob, comment = answer.string(), answer.string()
            public = _public_of(blob)
            if public is not None:
                found.append((public, comment.decode("utf-8", "replace")))
        return found

    def sign(self, public: bytes, message: bytes) -> bytes:
        """The agent's signature of the message: 64 bytes. Raises InputError where it does not sign."""
        request = bytes((_SIGN_REQUEST,)) + _string(_blob(public)) + _string(message) + bytes(4)
        signature = _Reader(_Reader(self._ask(request, _SIGNED)).string())
        kind, raw = signature.string(), signature.string()
        if kind != KEY_KIND.encode() or len(raw) != _SIGNATURE_SIZE:
            raise StoreUnavailableError("the ssh-agent answered with another kind of signature", where=self._path)
        return raw

    def _ask(self, request: bytes, expected: int) -> bytes:
        """What follows the answer's type. Raises StoreUnavailableError, and InputError where the agent refuses."""
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(SECONDS)
                connection.connect(self._path)
                connection.sendall(_string(request))
                size = int.from_bytes(_receive(connection, 4), "big")
                if not 1 <= size <= _LONGEST_ANSWER:
                    raise OSError(f"an answer of {size} bytes")
                answer = _receive(connection, size)
        except OSError as error:
            what = error.strerror or str(error) or "no answer"
            raise StoreUnavailableError(f"the ssh-agent cannot be asked: {what}", where=self._path) from None
        if answer[0] == expected:
            return answer[1:]
        raise InputError(
            "the ssh-agent refuses to sign",
            where=self._path,
            advice="it may be locked, the key gone (ssh-add -l) or bound to a destination",
        )


def public_line(public: bytes, comment: str) -> str:
    """The key as `ssh-keygen` writes a public one, without a newline."""
    return f"{KEY_KIND} {base64_encode(_blob(public))} {comment}".rstrip()


def parse_public_line(line: str) -> tuple[bytes, str]:
    """(public key, comment) of a line that `public_line` or `ssh-keygen` wrote. Raises InputError."""
    kind, _, rest = line.partition(" ")
    encoded, _, comment = rest.partition(" ")
    try:
        public = _public_of(a2b_base64(encoded)) if kind == KEY_KIND else None
    except ValueError:
        public = None
    if public is None:
        raise InputError(f"this is not an Ed25519 key of SSH: {quoted(line)}")
    return public, comment.strip()


def fingerprint(public: bytes) -> str:
    """The key's fingerprint as `ssh-add -l` prints it."""
    from hashlib import sha256

    return f"SHA256:{base64_encode(sha256(_blob(public)).digest()).rstrip('=')}"


def _blob(public: bytes) -> bytes:
    return _string(KEY_KIND.encode()) + _string(public)


def _public_of(blob: bytes) -> bytes | None:
    """The Ed25519 key in a key blob; None where it is of another kind."""
    prefix = _string(KEY_KIND.encode()) + _PUBLIC_SIZE.to_bytes(4, "big")
    fits = blob.startswith(prefix) and len(blob) == len(prefix) + _PUBLIC_SIZE
    return blob[len(prefix) :] if fits else None


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _receive(connection: object, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(count - len(received))  # type: ignore[attr-defined]
        if not piece:
            raise OSError("it closed the connection")
        received += piece
    return received


class _Reader:
    """The fields of an answer, one after another. Raises StoreUnavailableError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        return self._take(self.number())

    def _take(self, count: int) -> bytes:
        taken = self._data[self._place : self._place + count]
        self._place += count
        if len(taken) != count:
            raise StoreUnavailableError("the ssh-agent's answer ends too early")
        return taken
