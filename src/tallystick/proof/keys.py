"""Keys of signed notes: names, key ids, verifier keys (vkey) and signing keys (skey), and their signatures.

Formats: c2sp.org/signed-note ("Verifier keys", "Signature types") and c2sp.org/tlog-cosignature. A signing
key is spelled as Go's note package began it: `PRIVATE+KEY+<name>+<key id>+<base64(type ‖ seed)>`.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import BLANK
from tallystick.proof.checkpoint import MAX_TIMESTAMP, Checkpoint, cosignature_v1_message, cosigned_message
from tallystick.proof.encoding import base64_decode, base64_encode, decode_text, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    class PublicKey(Protocol):
        """What verifying needs of a public key of either algorithm."""

        def verify(self, signature: bytes, data: bytes) -> None: ...


ED25519 = 0x01
ED25519_COSIGNATURE = 0x04
MLDSA44_COSIGNATURE = 0x06

LOG_TYPES = frozenset((ED25519, MLDSA44_COSIGNATURE))
WITNESS_TYPES = frozenset((ED25519_COSIGNATURE, MLDSA44_COSIGNATURE))

SEED_SIZE = 32
_HEX_DIGITS = frozenset("0123456789abcdef")
MAX_KEY_SIZE = 4096
MAX_NAME_SIZE = 1 << 20
_SPACES = frozenset(BLANK)
_PUBLIC_SIZES = {ED25519: 32, ED25519_COSIGNATURE: 32, MLDSA44_COSIGNATURE: 1312}
_RAW_SIGNATURE_SIZES = {ED25519: 64, ED25519_COSIGNATURE: 64, MLDSA44_COSIGNATURE: 2420}
_TIMESTAMP_SIZE = 8

_FIELD_PRIME = 2**255 - 19
_CURVE_D = -121665 * pow(121666, -1, _FIELD_PRIME) % _FIELD_PRIME


def check_key_name(name: str) -> str:
    """`name`, if it can name a key: not empty, no Unicode space, no plus, no control character.

    Raises InputError. How long the name of somebody unknown may be, only the note that it stands in limits.
    """
    decode_text(name, "the key name", MAX_NAME_SIZE)
    if not name or "+" in name or not _SPACES.isdisjoint(name):
        raise InputError(
            f"a key cannot be named {quoted(name)}",
            advice="a name has no spaces and no plus, like example.com/log",
        )
    return name


class VerifierKey(Frozen):
    """A public key with the name it signs under, bound to one type of signature. Raises InputError."""

    FIELDS = ("name", "key_type", "public")
    __slots__ = (*FIELDS, "key_id")

    name: str
    """The name on signature lines; a log's is its origin."""
    key_type: int
    """The type of its signatures: 0x01, 0x04 or 0x06."""
    public: bytes
    """32 bytes (Ed25519) or 1,312 (ML-DSA-44)."""
    key_id: bytes
    """The four bytes that, with the name, tell whose a signature is."""

    def __init__(self, name: str, key_type: int, public: bytes) -> None:
        set_once(self, "name", check_key_name(name))
        set_once(self, "key_type", key_type)
        set_once(self, "public", public)
        size = _PUBLIC_SIZES.get(key_type)
        if size is None:
            raise InputError(
                f"the key of {quoted(name)} has the unknown signature type 0x{key_type:02x}",
                advice="known are 0x01 (Ed25519), 0x04 and 0x06 (cosignatures by Ed25519 and ML-DSA-44)",
            )
        if len(public) != size:
            raise InputError(f"the public key of {quoted(name)} is {len(public)} bytes long instead of {size}")
        if size == 32 and _is_weak_ed25519(public):
            raise InputError(f"the public key of {quoted(name)} is one that anybody can sign for")
        if key_type == MLDSA44_COSIGNATURE and len(name.encode()) > 255:
            raise InputError(f"the name of an ML-DSA-44 key is longer than 255 bytes: {quoted(name)}")
        material = name.encode() + b"\n" + bytes((key_type,)) + public
        set_once(self, "key_id", sha256(material).digest()[:4])

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """The key that `<name>+<hex key id>+<base64(type ‖ public key)>` spells. Raises InputError."""
        name, key_id, material = _split_key(vkey, "verifier key")
        key = cls(name, material[0], material[1:])
        if key.key_id.hex() != key_id:
            raise InputError(f"the key id of {quoted(name)} is {key.key_id.hex()}, but its vkey says {key_id}")
        return key

    def __str__(self) -> str:
        """The vkey."""
        return f"{self.name}+{self.key_id.hex()}+{base64_encode(bytes((self.key_type,)) + self.public)}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check a signature of a note's text; returns the time it states (POSIX seconds), None for type 0x01.

        `signature` is what follows the key id on a signature line. Raises CheckFailedError.
        """
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

        timestamp, raw = self._split_signature(signature)
        try:
            self._public_key().verify(raw, self.message(text, timestamp))
        except InvalidSignature:
            raise CheckFailedError(f"the signature by {quoted(self.name)} does not fit the text") from None
        except UnsupportedAlgorithm as error:
            raise InputError(f"the signature by {quoted(self.name)} cannot be checked here: {error}") from None
        return None if self.key_type == ED25519 else timestamp

    def message(self, text: str, timestamp: int) -> bytes:
        """The bytes that a key of this type signs for a note's text.

        Raises InputError where it signs checkpoints only and this is none.
        """
        if self.key_type == ED25519:
            return text.encode()
        try:
            checkpoint = Checkpoint.parse(text)
        except InputError:
            raise InputError(
                f"a key of type 0x{self.key_type:02x} signs checkpoints and nothing else",
                advice="use an Ed25519 key for this",
            ) from None
        if self.key_type == ED25519_COSIGNATURE:
            return cosignature_v1_message(timestamp, text)
        return cosigned_message(self.name, timestamp, checkpoint.origin, checkpoint.size, checkpoint.root)

    def _split_signature(self, signature: bytes) -> tuple[int, bytes]:
        timestamp = 0
        if self.key_type != ED25519:
            timestamp = int.from_bytes(signature[:_TIMESTAMP_SIZE], "big")
            signature = signature[_TIMESTAMP_SIZE:]
        if len(signature) != _RAW_SIGNATURE_SIZES[self.key_type] or timestamp > MAX_TIMESTAMP:
            raise CheckFailedError(f"the signature by {quoted(self.name)} is malformed")
        return timestamp, signature

    def _public_key(self) -> PublicKey:
        if self.key_type == MLDSA44_COSIGNATURE:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

            return MLDSA44PublicKey.from_public_bytes(self.public)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.public)


class Signer:
    """Signs notes as `key`, by way of `sign_bytes`, which may ask an agent or a device.

    `sign_bytes` takes the message and returns the raw signature: 64 bytes (Ed25519) or 2,420 (ML-DSA-44).
    """

    __slots__ = ("_sign_bytes", "key")

    def __init__(self, key: VerifierKey, sign_bytes: Callable[[bytes], bytes]) -> None:
        self.key = key
        self._sign_bytes = sign_bytes

    def sign(self, text: str, timestamp: int | None = None) -> bytes:
        """The signature of a note's text: what follows the key id on a signature line.

        A cosignature needs `timestamp` in POSIX seconds; one by ML-DSA-44 may state none. Raises InputError,
        and CheckFailedError where the answer of `sign_bytes` does not verify under the key.
        """
        if self.key.key_type == ED25519:
            signature = self._sign_bytes(self.key.message(text, 0))
        elif timestamp is None and self.key.key_type == ED25519_COSIGNATURE:
            raise InputError(f"the cosignature by {quoted(self.key.name)} needs a time")
        else:
            time = timestamp or 0
            raw = self._sign_bytes(self.key.message(text, time))
            signature = time.to_bytes(_TIMESTAMP_SIZE, "big") + raw
        self.key.verify(text, signature)
        return signature


class SigningKey:
    """A private key with the name it signs under; `key` is its public half.

    It is the 32-byte seed of Ed25519 (RFC 8032) or ML-DSA-44 (FIPS 204). Raises InputError.
    """

    __slots__ = ("_seed", "key")

    def __init__(self, name: str, key_type: int, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise InputError(f"the seed of a signing key is {len(seed)} bytes long instead of {SEED_SIZE}")
        if key_type not in _PUBLIC_SIZES:
            raise InputError(f"a signing key cannot have the signature type 0x{key_type:02x}")
        self._seed = seed
        self.key = VerifierKey(name, key_type, _private_key(key_type, seed).public_key().public_bytes_raw())

    @classmethod
    def parse(cls, skey: str) -> SigningKey:
        """The key that a skey spells. Raises InputError, which never repeats any of it."""
        prefix = "PRIVATE+KEY+"
        if not skey.startswith(prefix):
            raise InputError("this is not a signing key", advice="it begins with PRIVATE+KEY+")
        name, key_id, material = _split_key(skey[len(prefix) :], "signing key")
        key = cls(name, material[0], material[1:])
        if key.key.key_id.hex() != key_id:
            raise InputError("the key id of the signing key does not fit its seed")
        return key

    def encode(self) -> str:
        """The skey. It is secret."""
        key = self.key
        return f"PRIVATE+KEY+{key.name}+{key.key_id.hex()}+{base64_encode(bytes((key.key_type,)) + self._seed)}"

    def named(self, name: str) -> SigningKey:
        """The same key under another name. Raises InputError."""
        return SigningKey(name, self.key.key_type, self._seed)

    def __repr__(self) -> str:
        return f"SigningKey({self.key.name!r}, key_id={self.key.key_id.hex()})"

    def signer(self) -> Signer:
        """A signer of notes with this key."""
        return Signer(self.key, _private_key(self.key.key_type, self._seed).sign)


def _private_key(key_type: int, seed: bytes) -> Ed25519PrivateKey | MLDSA44PrivateKey:
    if key_type == MLDSA44_COSIGNATURE:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        try:
            return MLDSA44PrivateKey.from_seed_bytes(seed)
        except UnsupportedAlgorithm as error:
            raise InputError(f"keys of ML-DSA-44 cannot be used here: {error}") from None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _split_key(text: str, what: str) -> tuple[str, str, bytes]:
    """(name, key id in hex, type ‖ key): the base64 may hold further plusses, the name cannot."""
    decode_text(text, f"the {what}", MAX_KEY_SIZE)
    name, _, rest = text.partition("+")
    key_id, plus, encoded = rest.partition("+")
    if not plus or len(key_id) != 8 or set(key_id) - _HEX_DIGITS:
        raise InputError(f"this is not a {what}", advice="it is spelled <name>+<8 hex digits>+<base64>")
    try:
        return check_key_name(name), key_id, base64_decode(encoded, f"the {what}")
    except InputError:
        raise InputError(f"this is not a {what}", advice="it is spelled <name>+<8 hex digits>+<base64>") from None


def _is_weak_ed25519(public: bytes) -> bool:
    """Whether a key is not canonical or of small order, so that signatures under it prove nothing.

    The eight points of small order have y = 0, 1, -1, or doubling gives y = 0, where d·y⁴ + 2·y² - 1 = 0.
    """
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if y >= _FIELD_PRIME or y in (0, 1, _FIELD_PRIME - 1):
        return True
    return (_CURVE_D * pow(y, 4, _FIELD_PRIME) + 2 * y * y - 1) % _FIELD_PRIME == 0
