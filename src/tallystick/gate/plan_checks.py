"""What single values of a plan must be like. Each check answers `(what is wrong, what to write)` or None."""

from __future__ import annotations

import re

from tallystick.errors import InputError
from tallystick.gate.branches import is_ref_name
from tallystick.model.ids import ID_LIMIT, require_id
from tallystick.model.secrets import looks_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    Problem = tuple[str, str] | None


def id_problem(text: str) -> Problem:
    """Ids are as `model.ids` has them."""
    try:
        require_id(text, "the id")
    except InputError as error:
        return error.what, _id_advice(text)
    return None


def _id_advice(text: str) -> str:
    if len(text.encode("utf-8", "replace")) > ID_LIMIT:
        return "shorten it"
    joined = _joined(text)
    return f'write "{joined}"' if joined else "give it a name"


def _joined(text: str) -> str:
    words = "".join(" " if _separates(char) else char for char in text.lstrip("-")).split()
    return "-".join(words)


def _separates(char: str) -> bool:
    """Whether it is white space, a control character or a lone surrogate."""
    return char.isspace() or char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


def pattern_problem(pattern: str) -> Problem:
    """Patterns are git `:(glob)` pathspecs that stay below the root of the work tree."""
    if not pattern.strip():
        return "an empty pattern matches nothing", 'write "**" for the whole tree'
    if "\0" in pattern or "\n" in pattern:
        return "a pattern has no NUL and no line break", "write one pattern for each item"
    if pattern.startswith(("/", "~")) or _has_drive(pattern):
        return "a pattern starts at the root of the work tree", f'write "{_relative(pattern)}"'
    if pattern.startswith(("!", ":")):
        return (
            f"a pattern only adds files, and “{pattern[0]}” at its start would exclude or be git's magic",
            f'list what to include, or write "[{pattern[0]}]" for the character itself',
        )
    parts = pattern.split("/")
    if ".." in parts:
        return "a pattern cannot leave the work tree", "write it without “..”"
    if "." in parts or "" in parts[:-1]:
        tidy = "/".join(part for part in parts if part not in ("", ".")) or "**"
        return "a pattern has no “.” and no empty part", f'write "{tidy}"'
    return None


def _has_drive(pattern: str) -> bool:
    return pattern[1:2] == ":" and pattern[2:3] in ("/", "\\") and pattern[0].isalpha()


def _relative(pattern: str) -> str:
    rest = pattern[2:] if _has_drive(pattern) else pattern
    return rest.replace("\\", "/").lstrip("/~") or "**"


def command_problem(text: str) -> Problem:
    """Commands are text that a process can be started with."""
    if not text.strip():
        return "the command is empty", 'write what to run, such as "pytest -q"'
    if "\0" in text:
        return "a command has no NUL", "leave it out"
    return None


def variable_problem(name: str) -> Problem:
    """Variables have plain names, and none is likely to hold a secret: the ledger keeps its value."""
    if not (name.isascii() and name.isidentifier()):
        return f"“{name}” is no name of an environment variable", "write letters, digits and “_”, such as TZ"
    if looks_secret(name):
        return (
            f"{name} looks like a secret, and its value would be kept in the ledger",
            "leave it out, or name a variable that may be seen by all who read the ledger",
        )
    return None


def branch_problem(text: str) -> Problem:
    """A branch's name as git takes it, or a pattern of such names; a tag is no branch, since anybody may push one."""
    if text.startswith("refs/") and not text.startswith(("refs/heads/", "refs/remotes/")):
        return "not a branch", 'write a branch, such as "main" or "release/*"'
    if not is_ref_name(re.sub(r"[*?]+", "x", text)):
        return "not the name of a branch", 'write one, such as "main" or "release/*"'
    return None


def public_half(vkey: str) -> bytes:
    """The public key in a vkey, whatever it is called and whatever kind of signature it makes."""
    from tallystick.proof.keys import VerifierKey

    return VerifierKey.parse(vkey).public


def vkey_problem(text: str) -> Problem:
    """Public keys are C2SP vkeys: `name+hash+base64`."""
    from tallystick.proof.keys import VerifierKey

    try:
        VerifierKey.parse(text)
    except InputError as error:
        return error.what, error.advice or "copy the whole vkey from where the key was made"
    return None
