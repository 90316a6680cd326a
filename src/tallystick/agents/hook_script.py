"""What stands in a git hook's file: a block of shell between two marks, beside whatever else is there."""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PRE_PUSH, COMMIT_MSG = "pre-push", "commit-msg"
HOOKS = (PRE_PUSH, COMMIT_MSG)
KEPT = "notch-kept"
"""The folder, beside the hooks, for a hook that no block can be put into."""

BEGIN = "# >>> notch hook >>>"
END = "# <<< notch hook <<<"
_OURS = "#!/bin/sh\n# notch wrote this file.\n"
_SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"))

_COMMON = """\
{begin}
# `notch hook uninstall git` takes this out again.
notch_hook() {{
{candidates}    echo 'notch: not found, so nothing is judged' >&2
}}
"""

_CANDIDATE = """\
    if {test}; then
        notch_code=0
        {command} hook run {options}"$@" || notch_code=$?
        case $notch_code in 126 | 127) ;; *) return 0 ;; esac
    fi
"""

# Only the word "shut" stops a push: whatever goes wrong on the way to it, the push goes on. What git wrote to
# standard input is read once and handed on to what follows.
_PRE_PUSH = """\
notch_refs=
[ -t 0 ] || notch_refs=$(cat)
if [ "$(printf '%s\\n' "$notch_refs" | notch_hook pre-push "$@")" = shut ]; then
    exit 1
fi
if [ -n "$notch_refs" ]; then
    exec <<NOTCH_REFS
$notch_refs
NOTCH_REFS
else
    exec </dev/null
fi
"""

_COMMIT_MSG = """\
notch_hook commit-msg "$@" >/dev/null || :
"""

_CALL_KEPT = """\
if [ -x "${{0%/*}}/{kept}/{name}" ]; then
    exec "${{0%/*}}/{kept}/{name}" "$@"
fi
"""


def block(name: str, command: Sequence[str], *, ledger: str = "", calls_kept: bool = False) -> str:
    """The block for the hook `name`.

    `command` is how `notch` is called, by an absolute path; empty where that is different for everybody, so that it
    is only looked for in PATH. `ledger`: the ledger to use. `calls_kept`: a hook that was here lies in `KEPT`.
    """
    options = f"--ledger {shlex.quote(ledger)} " if ledger else ""
    candidates = [("command -v notch >/dev/null 2>&1", "notch")]
    if command:
        candidates.insert(0, (f"[ -x {shlex.quote(command[0])} ]", shlex.join(command)))
    parts = [
        _COMMON.format(
            begin=BEGIN,
            candidates="".join(_CANDIDATE.format(test=test, command=run, options=options) for test, run in candidates),
        ),
        _PRE_PUSH if name == PRE_PUSH else _COMMIT_MSG,
        _CALL_KEPT.format(kept=KEPT, name=name) if calls_kept else "",
        f"{END}\n",
    ]
    return "".join(parts)


def whole_file(block: str) -> str:
    """A hook that holds nothing but the block."""
    return _OURS + block


def takes_block(script: bytes) -> bool:
    """Whether the hook is a shell script, so that the block can stand in it."""
    if b"\0" in script:
        return False
    if not script.startswith(b"#!"):
        return True  # git has such a file run by sh
    words = script[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()
    names = [word.rpartition("/")[2] for word in words if not word.startswith("-") and "=" not in word]
    return next((name for name in names if name != "env"), "") in _SHELLS


def with_block(script: str, block: str) -> str:
    """The script with the block in its place, or as its first statement."""
    before, found, after = _around(script)
    if found:
        return before + block + after
    first, newline, rest = script.partition("\n")
    if first.startswith("#!"):
        return f"{first}\n{block}{rest if newline else ''}"
    return block + script


def without_block(script: str) -> str | None:
    """The script without the block; None where nothing else was in it, and we had made it."""
    before, _, after = _around(script)
    if before == _OURS:
        return f"#!/bin/sh\n{after}" if after.strip() else None
    return before + after


def block_in(script: str) -> str:
    """The block that stands in the script; empty where none does."""
    return _around(script)[1]


def _around(script: str) -> tuple[str, str, str]:
    """What stands before the block, the block, and what stands after it."""
    start = script.find(BEGIN)
    end = script.find(END, start)
    if start < 0 or end < 0:
        return script, "", ""
    end += len(END)
    end += script.startswith("\n", end)
    return script[:start], script[start:end], script[end:]
