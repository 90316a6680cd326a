"""Paths as bytes and as text, and strange ones on one line.

Content is the same on every machine only if paths are: they are UTF-8 here, whatever the locale says, and what
is not UTF-8 in them becomes lone surrogates and back.
"""

from __future__ import annotations

_SHORT = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 0x22: '"', 0x5C: "\\"}


def path_text(path: bytes) -> str:
    """A path as text."""
    return path.decode("utf-8", "surrogateescape")


def path_bytes(path: str) -> bytes:
    """A path as bytes, as it was before `path_text`."""
    return path.encode("utf-8", "surrogateescape")


def c_quoted(path: bytes, *, special: bytes = b"") -> bytes:
    r"""`path` as it is, or in double quotes with `\"`, `\\`, `\n` and octal escapes where it needs them.

    It does where it has a control character, a quote, a backslash, a byte that is not UTF-8, or one of
    `special`. This is what git prints with core.quotePath off, except that git leaves invalid UTF-8 raw.
    """
    text = path_text(path)
    plain = not any(
        char < " " or char in '"\\\x7f' or "\udc80" <= char <= "\udcff" or (char.isascii() and ord(char) in special)
        for char in text
    )
    if plain:
        return path
    return f'"{"".join(map(_escaped, text))}"'.encode()


def _escaped(char: str) -> str:
    code = ord(char)
    if code in _SHORT:
        return "\\" + _SHORT[code]
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    elif code >= 0x20 and code != 0x7F:
        return char
    return f"\\{code:03o}"
