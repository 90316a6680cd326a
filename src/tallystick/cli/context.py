"""What a command works on: which ledger, which task."""

from __future__ import annotations

import os

from tallystick.errors import InputError, NotFoundError, TallystickError
from tallystick.ledger import Ledger
from tallystick.location import VARIABLE, current_branch, find_ledger, place_for_new, sqlite_path
from tallystick.model.ids import require_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.stores.base import Head

BRANCH_VARIABLES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")


FINISHED_AT_ONCE = 64 << 20
"""Up to this many bytes of a ledger any command that writes finishes an interrupted erasure, in under a second."""


def open_ledger(
    options: argparse.Namespace, *, write: bool = False, judge: bool = False, settle: bool = True
) -> Ledger:
    """The ledger that the options name. Commands that write make it if there is none; others never do.

    `judge`: a verdict depends on it. `settle`: see `settle_erasures`. Raises InputError for a ledger to write to or to
    judge by that a commit could have brought; commands that only read open any.
    """
    if write or judge:
        require_own_place(options)
    ledger = Ledger.open(options.ledger, create=write, read_only=not write)
    if settle:
        settle_erasures(ledger)
    return ledger


def settle_erasures(ledger: Ledger) -> None:
    """Finish what an interrupted erasure left over; where that takes long, or nothing may be written, tell the user."""
    try:
        unfinished = ledger.unfinished_erasures()
    except TallystickError:  # damaged: whatever the command reads of it says so
        return
    if not unfinished:
        return
    if not ledger.store.read_only and os.path.getsize(ledger_file(ledger)) <= FINISHED_AT_ONCE:
        try:
            ledger.finish_erasures(patience=0)
        except TallystickError:
            pass
        else:
            return
    import sys

    print(f"notch: {told_unfinished(unfinished)}", file=sys.stderr)


def told_unfinished(unfinished: list[tuple[str, int]]) -> str:
    """What to tell of erasures that are not finished, and what to do."""
    from tallystick.model.text import printable

    (task_id, position), more = unfinished[0], len(unfinished) - 1
    which = f"{printable(task_id)} #{position}" + (f" (and {more} more)" if more else "")
    return (
        f"an erasure is not finished: what {which} erased may still be in the ledger's file or its log;"
        " notch erase --finish completes it"
    )


def ledger_file(ledger: Ledger) -> str:
    """The file that the ledger is kept in; empty for a store that is no file."""
    files: list[str] = getattr(ledger.store, "files", list)()
    return files[0] if files else ""


def require_own_place(options: argparse.Namespace) -> None:
    """Raises InputError if a commit could have brought the ledger: git tracks it, or a link leads elsewhere."""
    from tallystick.workspace.tracked import require_untracked

    named = options.ledger or os.environ.get(VARIABLE)
    folder = os.getcwd()
    place = named or find_ledger(folder, os.environ) or place_for_new(folder, os.environ)[0]
    require_untracked(place, named=bool(named))


def task_of(named: str | None) -> str:
    """The task: what is named, else `TALLYSTICK_TASK`, the git branch, the CI's branch.

    Raises InputError where none of them says.
    """
    if named is not None:
        return named
    environment = os.environ.get("TALLYSTICK_TASK")
    if environment:
        return environment
    found = current_branch(os.getcwd())
    for variable in BRANCH_VARIABLES:
        found = found or os.environ.get(variable, "")
    if not found:
        raise InputError(
            "no task is named, and there is no git branch", advice="name one with -t TASK or $TALLYSTICK_TASK"
        )
    return found


def new_task_of(named: str | None) -> str:
    """The task to write to; its id must be one of ours."""
    return require_id(task_of(named), "the task id")


def ledger_files(options: argparse.Namespace) -> list[str]:
    """The files of the ledger that will be used, known before it is opened: they are not content."""
    from tallystick.stores.sqlite_connection import SIDE_FILES

    url = options.ledger or find_ledger(os.getcwd(), os.environ)
    path = url and (sqlite_path(url) or ("" if "://" in url else url))
    return [os.path.abspath(path + suffix) for suffix in ("", *SIDE_FILES)] if path else []


def ledger_place(options: argparse.Namespace) -> str:
    """Where the ledger is or would be: the same for the same ledger, whoever asks from where."""
    url: str = options.ledger or find_ledger(os.getcwd(), os.environ) or place_for_new(os.getcwd(), os.environ)[0]
    path = sqlite_path(url) or ("" if "://" in url else url)
    return os.path.realpath(path) if path else url.rpartition("@")[2]


def has_ledger(options: argparse.Namespace) -> bool:
    """Whether the ledger that will be used is there, as far as that can be told without opening it."""
    place = ledger_place(options)
    return not os.path.isabs(place) or os.path.exists(place)


def remember(options: argparse.Namespace, ledger: Ledger, task_id: str, head: Head) -> None:
    """Keep the head that was just written as seen, so that a later history without it is named."""
    from tallystick.clock import now
    from tallystick.gate.memory import SeenHeads

    seen = SeenHeads(ledger_place(options), os.environ)
    seen.settle(ledger, now())
    seen.remember(ledger, task_id, head)


def position_of(ledger: Ledger, task_id: str, name: str) -> int:
    """The position that a name on the command line stands for: digits are a position, else an entry's id.

    An id that repeats means its newest entry. Raises NotFoundError.
    """
    if name.isascii() and name.isdigit():
        return int(name)
    found = 0
    for recorded in ledger.entries(task_id, outputs=False):
        if recorded.entry.id == name:
            found = recorded.position
    if not found:
        raise NotFoundError(f"no entry has the id {name!r}", where=task_id, advice="notch log lists them")
    return found


def read_argument(value: str, what: str) -> bytes:
    """The argument as bytes; `-` means standard input."""
    if value != "-":
        return os.fsencode(value)
    import sys

    if sys.stdin is None:
        raise InputError(f"{what} is to come from standard input, which is closed")
    return sys.stdin.buffer.read()
