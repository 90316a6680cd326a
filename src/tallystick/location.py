"""Where a ledger is, when nobody says: found walking up from a folder, as git finds a repository."""

from __future__ import annotations

import os

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.files import PUBLIC, make_folder, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ".tallystick"
FILE = "ledger.db"
VARIABLE = "TALLYSTICK_LEDGER"


def find_ledger(start: str, environ: Mapping[str, str]) -> str | None:
    """The URL or path of the ledger that holds for the folder `start`; None where there is none yet.

    `TALLYSTICK_LEDGER` decides; else `.tallystick/ledger.db` in `start` or the nearest folder above it that
    has one; in a linked work tree the main one's.
    """
    if named := environ.get(VARIABLE):
        return named
    folder = os.path.abspath(start)
    while True:
        candidate = os.path.join(folder, FOLDER, FILE)
        if os.path.isfile(candidate):
            return candidate
        if os.path.exists(os.path.join(folder, ".git")):
            main = main_work_tree(folder)
            candidate = os.path.join(main, FOLDER, FILE)
            if main != folder and os.path.isfile(candidate) and _can_write(candidate):
                return candidate
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def place_for_new(start: str) -> tuple[str, str]:
    """(path, word): where a ledger is made for the folder `start`, and what to tell the user about it.

    At the root of the main git work tree; of the linked one, where the main one cannot be written; in `start`
    itself outside git.
    """
    root = work_tree_root(start) or os.path.abspath(start)
    main = main_work_tree(root)
    word = ""
    if main != root and not os.access(main, os.W_OK):
        word = f"the main work tree {main} cannot be written; this work tree gets a ledger of its own"
        main = root
    return os.path.join(main, FOLDER, FILE), word


def prepare_folder(path: str) -> None:
    """Make the `.tallystick` folder that `path` lies in, private and ignored by git. Other folders are left alone.

    Raises StoreUnavailableError where it cannot be made.
    """
    folder = os.path.dirname(path)
    if os.path.basename(folder) != FOLDER:
        return
    ignore = os.path.join(folder, ".gitignore")
    try:
        make_folder(folder)
        if not os.path.exists(ignore):
            write_whole(ignore, [b"*\n"], mode=PUBLIC)
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot make the ledger's folder: {error.strerror}",
            where=folder,
            advice="make the work tree writable, or name another place (TALLYSTICK_LEDGER, --ledger)",
        ) from None


def work_tree_root(start: str) -> str | None:
    """The root of the git work tree that the folder `start` lies in."""
    folder = os.path.abspath(start)
    while not os.path.exists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def main_work_tree(root: str) -> str:
    """The main work tree of the repository that `root` is a work tree of; `root` itself for a main one."""
    marker = os.path.join(root, ".git")
    if not os.path.isfile(marker):
        return root
    try:
        git_dir = _read_line(marker).removeprefix("gitdir: ")
        git_dir = os.path.normpath(os.path.join(root, git_dir))
        common = os.path.join(git_dir, "commondir")
        if not os.path.isfile(common):
            return root
        common_dir = os.path.normpath(os.path.join(git_dir, _read_line(common)))
    except (OSError, ValueError):
        return root
    return os.path.dirname(common_dir) if os.path.basename(common_dir) == ".git" else root


def current_branch(start: str) -> str:
    """The git branch that is checked out where `start` lies; empty for a detached head or outside git."""
    root = work_tree_root(start)
    if root is None:
        return ""
    git_dir = os.path.join(root, ".git")
    try:
        if os.path.isfile(git_dir):
            git_dir = os.path.normpath(os.path.join(root, _read_line(git_dir).removeprefix("gitdir: ")))
        head = _read_line(os.path.join(git_dir, "HEAD"))
    except (OSError, ValueError):
        return ""
    prefix = "ref: refs/heads/"
    return head.removeprefix(prefix) if head.startswith(prefix) else ""


def _read_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readline().rstrip("\r\n")


def _can_write(path: str) -> bool:
    return os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK)


def sqlite_path(url: str) -> str | None:
    """The path of a `sqlite:///relative.db` or `sqlite:////absolute.db` URL; None for another scheme.

    Raises InputError for a SQLite URL without a path, or one that names a host.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "sqlite":
        return None
    if not rest.startswith("/") or len(rest) < 2:
        raise InputError(
            f"{url!r} names no file",
            advice="sqlite:///ledger.db is relative, sqlite:////srv/ledger.db absolute",
        )
    return rest[1:]
