"""Paths as bytes and as text, and strange ones on one line.

Content is the same on every machine only if paths are: they are UTF-8 here, whatever the locale says, and what
is not UTF-8 in them becomes lone surrogates and back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match

_SHORT = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 0x22: '"', 0x5C: "\\"}
_LONG = {ord(letter): code for code, letter in _SHORT.items()}


def path_text(path: bytes) -> str:
    """A path as text."""
    return path.decode("utf-8", "surrogateescape")


def path_bytes(path: str) -> bytes:
    """A path as bytes, as it was before `path_text`."""
    return path.encode("utf-8", "surrogateescape")


def recorded_path(path: str) -> str:
    """A path as evidence names it, which has to be Unicode: as it is, or quoted as by `c_quoted`.

    Quoted is what has bytes that are not UTF-8, and what begins with a quote, so that `named_path` is exact.
    """
    if path[:1] != '"':
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            pass
        else:
            return path
    return c_quoted(path_bytes(path)).decode("utf-8")


def named_path(recorded: str) -> str:
    """The path that evidence names, as it was before `recorded_path`; what that never writes is taken as it is."""
    if recorded[:1] != '"':
        return recorded
    import re

    bare = re.sub(rb"\\([0-7]{3}|.)", _unescaped, path_bytes(recorded[1:-1]), flags=re.DOTALL)
    path = path_text(bare)
    return path if recorded_path(path) == recorded else recorded


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


def _unescaped(found: Match[bytes]) -> bytes:
    what = found[1]
    if len(what) == 3:
        return bytes([int(what, 8) & 0xFF])
    return bytes([_LONG.get(what[0], what[0])])


def _escaped(char: str) -> str:
    code = ord(char)
    if code in _SHORT:
        return "\\" + _SHORT[code]
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    elif code >= 0x20 and code != 0x7F:
        return char
    return f"\\{code:03o}"
