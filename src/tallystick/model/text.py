"""Text as the session format has it: always encodable, blank as Unicode means it."""

from __future__ import annotations

import codecs

BLANK = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White space of Unicode. Narrower than `str.isspace`, which takes U+001C to U+001F for space."""


def _one_for_each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("tallystick.replace", _one_for_each_byte)


def decode_text(data: bytes) -> str:
    """UTF-8 as text; every byte that is not part of it becomes one U+FFFD."""
    return data.decode("utf-8", "tallystick.replace")


def clean_text(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD, so that it can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def is_blank(text: str) -> bool:
    """Whether there is nothing in the text but white space."""
    return not text.strip(BLANK)


def printable(text: str, *, keep_newlines: bool = False) -> str:
    """The text with control and format characters escaped, safe to show on a terminal.

    Bidirectional overrides and all else that `str.isprintable` refuses become \\xNN or \\uNNNN.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if keep_newlines else ""
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode("ascii")
        for char in clean_text(text)
    )
