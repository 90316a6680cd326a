"""Signed notes (c2sp.org/signed-note): a text, an empty line, and one line for each signature."""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.encoding import base64_decode, base64_encode, decode_text, quoted
from tallystick.proof.keys import check_key_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.proof.keys import Signer, VerifierKey

MAX_NOTE_SIZE = 1 << 20
MAX_SIGNATURES = 100

_LINE_START = "\N{EM DASH} "
_KEY_ID_SIZE = 4


class UnsignedError(CheckFailedError):
    """None of the keys that were asked for signed a note."""


class Signature(Frozen):
    """One signature line. Raises InputError where a field cannot be one."""

    __slots__ = FIELDS = ("name", "key_id", "signature")

    name: str
    """The name of the key that signed."""
    key_id: bytes
    """Its id: 4 bytes."""
    signature: bytes
    """What its type of signature has: for cosignatures a time comes first."""

    def __init__(self, name: str, key_id: bytes, signature: bytes) -> None:
        if len(key_id) != _KEY_ID_SIZE or not signature:
            raise InputError(f"the signature by {quoted(name)} is too short")
        set_once(self, "name", check_key_name(name))
        set_once(self, "key_id", key_id)
        set_once(self, "signature", signature)

    @classmethod
    def parse(cls, line: str) -> Signature:
        """The signature on a line without its newline. Raises InputError."""
        name, space, encoded = line.removeprefix(_LINE_START).partition(" ")
        if not line.startswith(_LINE_START) or not space:
            raise InputError(f"this is not a signature line: {quoted(line)}")
        blob = base64_decode(encoded, f"the signature by {quoted(name)}")
        return cls(name, blob[:_KEY_ID_SIZE], blob[_KEY_ID_SIZE:])

    def __str__(self) -> str:
        """The line, without a newline."""
        return f"{_LINE_START}{self.name} {base64_encode(self.key_id + self.signature)}"


class Verified(Frozen):
    """A signature that held."""

    __slots__ = FIELDS = ("key", "timestamp")

    key: VerifierKey
    """Whose it is."""
    timestamp: int | None
    """The time it states in POSIX seconds; None for plain Ed25519, 0 where a cosignature states none."""

    def __init__(self, key: VerifierKey, timestamp: int | None) -> None:
        set_once(self, "key", key)
        set_once(self, "timestamp", timestamp)


class SignedNote(Frozen):
    """A text with signatures. Nothing in it counts before `verify`. Raises InputError where it cannot be one."""

    __slots__ = FIELDS = ("text", "signatures")

    text: str
    """What is signed, with its final newline."""
    signatures: tuple[Signature, ...]
    """At least one; whose they are and whether they hold is not known."""

    def __init__(self, text: str, signatures: Iterable[Signature]) -> None:
        set_once(self, "text", text)
        set_once(self, "signatures", tuple(signatures))
        if not decode_text(text, "the note", MAX_NOTE_SIZE).endswith("\n"):
            raise InputError("the text of a note must end in a newline")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise InputError(f"the note has {len(self.signatures)} signatures; 1 to {MAX_SIGNATURES} are read")

    @classmethod
    def parse(cls, data: bytes | str) -> SignedNote:
        """The note that these bytes are. Raises InputError for anything but the one spelling of it."""
        text, separator, lines = decode_text(data, "the note", MAX_NOTE_SIZE).rpartition("\n\n")
        if not separator:
            raise InputError("the note has no signatures: no empty line stands in it")
        return cls(text + "\n", parse_signatures(lines))

    def __str__(self) -> str:
        """The note as it is stored and sent."""
        return "".join((self.text, "\n", *(f"{signature}\n" for signature in self.signatures)))

    def with_signatures(self, added: Iterable[Signature]) -> SignedNote:
        """The same note with further signatures at its end, each in place of an older one by the same key."""
        added = list(added)
        replaced = {(signature.name, signature.key_id) for signature in added}
        kept = (one for one in self.signatures if (one.name, one.key_id) not in replaced)
        return SignedNote(self.text, (*kept, *added))

    def verify(self, keys: Iterable[VerifierKey]) -> list[Verified]:
        """Check every signature by one of `keys`, ignoring all others.

        Returns each key that signed once, with what its first signature states. Raises CheckFailedError
        where a signature by one of them does not hold, UnsignedError where there is none.
        """
        known = _by_identity(keys)
        verified: dict[VerifierKey, Verified] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                timestamp = key.verify(self.text, signature.signature)
                verified.setdefault(key, Verified(key, timestamp))
        if not verified:
            names = ", ".join(quoted(signature.name) for signature in self.signatures[:5])
            raise UnsignedError(f"no known key signed the note; it has signatures by {names}")
        return list(verified.values())


def parse_signatures(lines: str) -> list[Signature]:
    """The signatures on lines that each end in a newline, as a witness answers them. Raises InputError."""
    body = lines.removesuffix("\n")
    if body == lines or lines.count("\n") > MAX_SIGNATURES:
        raise InputError(f"what follows the note's last empty line is not 1 to {MAX_SIGNATURES} whole lines")
    return [Signature.parse(line) for line in body.split("\n")]


def sign(text: str, signers: Iterable[Signer], timestamp: int | None = None) -> SignedNote:
    """The note with this text signed by each of `signers`; `timestamp` is what cosignatures state.

    Raises InputError where the text cannot be a note's or a signer cannot sign it.
    """
    signatures = [Signature(signer.key.name, signer.key.key_id, signer.sign(text, timestamp)) for signer in signers]
    return SignedNote(text, signatures)


def _by_identity(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise InputError(f"two different keys named {quoted(key.name)} have the key id {key.key_id.hex()}")
    return known
