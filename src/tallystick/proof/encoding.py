"""The text encodings that C2SP formats share, read strictly: whatever is accepted has one spelling only."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from tallystick.errors import InputError

HASH_SIZE = 32
MAX_UINT64 = (1 << 64) - 1

_CONTROLS = bytes(code for code in range(0x20) if code != 0x0A)


def quoted(text: str, limit: int = 60) -> str:
    """`text` for an error message: in quotes, escaped, cut after `limit` characters."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def base64_encode(data: bytes) -> str:
    """Standard base64 with padding. RFC 4648 section 4."""
    return b2a_base64(data, newline=False).decode("ascii")


def base64_decode(text: str, what: str) -> bytes:
    """The bytes that `text` spells. Raises InputError unless it is exactly what `base64_encode` writes."""
    try:
        data = a2b_base64(text)
    except ValueError:
        data = b""
    if not data or base64_encode(data) != text:
        raise InputError(f"{what} is not canonical base64: {quoted(text)}")
    return data


def decode_hash(text: str, what: str) -> bytes:
    """A SHA-256 hash in base64: 32 bytes. Raises InputError."""
    data = base64_decode(text, what)
    if len(data) != HASH_SIZE:
        raise InputError(f"{what} is {len(data)} bytes long instead of {HASH_SIZE}")
    return data


def decode_decimal(text: str, what: str) -> int:
    """An ASCII decimal below 2^64 without leading zeroes. Raises InputError."""
    if text.isascii() and text.isdigit() and len(text) <= 20 and (text[0] != "0" or text == "0"):
        number = int(text)
        if number <= MAX_UINT64:
            return number
    raise InputError(f"{what} is not a decimal number without leading zeroes below 2^64: {quoted(text)}")


def require_hash(data: bytes, what: str) -> bytes:
    """`data`, where it is 32 bytes long. Raises InputError."""
    if len(data) != HASH_SIZE:
        raise InputError(f"{what} is {len(data)} bytes long instead of {HASH_SIZE}")
    return data


def require_uint64(number: int, what: str) -> int:
    """`number`, where it fits 64 bits. Raises InputError."""
    if not 0 <= number <= MAX_UINT64:
        raise InputError(f"{what} {number} is not between 0 and 2^64 - 1")
    return number


def decode_text(data: bytes | str, what: str, limit: int) -> str:
    """UTF-8 of at most `limit` bytes with no control below U+0020 but newlines. Raises InputError."""
    if isinstance(data, str):
        try:
            data = data.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(f"{what} is not valid UTF-8") from None
    if len(data) > limit:
        raise InputError(f"{what} is {len(data)} bytes long; at most {limit} are read")
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise InputError(f"{what} contains a control character")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{what} is not valid UTF-8") from None
