"""Where a ledger is, when nobody says: found walking up from a folder, as git finds a repository."""

from __future__ import annotations

import os

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.files import PUBLIC, make_folder, write_whole
from tallystick.pipeline import may_be_ci, pipeline_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ".tallystick"
FILE = "ledger.db"
VARIABLE = "TALLYSTICK_LEDGER"


def find_ledger(start: str, environ: Mapping[str, str]) -> str | None:
    """The URL or path of the ledger that holds for the folder `start`; None if there is none yet.

    `TALLYSTICK_LEDGER` decides. In CI it is else the ledger of this pipeline run, in git's own directory: nothing that
    a commit brings. Elsewhere it is `.tallystick/ledger.db` in `start` or a folder above it, up to the top of the work
    tree; then the one of the main work tree, or the one in git's common directory. A folder that another user owns is
    never taken.
    """
    if named := environ.get(VARIABLE):
        return named
    folder = os.path.abspath(start)
    top = work_tree_root(folder)
    if top is not None and (place := _ci_place(top, environ)):
        return place if os.path.isfile(place) else None
    while True:
        candidate = os.path.join(folder, FOLDER, FILE)
        if os.path.isfile(candidate) and _is_trusted(candidate, top):
            return candidate
        above = os.path.dirname(folder)
        if folder == top or above == folder:
            break
        folder = above
    if top is None:
        return None
    home, _ = _home(top)
    if os.path.isfile(home) and _is_trusted(home, top) and (home.startswith(top + os.sep) or _can_write(home)):
        return home
    return None


def place_for_new(start: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """(path, word): where a ledger is made for the folder `start`, and what to tell the user about it.

    In CI in git's common directory, in a folder of the pipeline run. Elsewhere at the top of the main work tree; in the
    common directory if there is no main work tree, or in a submodule; at the top of the linked one if the main one
    cannot be written; in `start` itself outside git. Raises InputError if another user owns the folder.
    """
    top = work_tree_root(start)
    if top is None:
        place = os.path.join(os.path.abspath(start), FOLDER, FILE)
        _require_own(place, None)
        return place, ""
    if place := _ci_place(top, environ):
        ignored = os.path.join(top, FOLDER)
        word = f"{ignored} is not used in CI, since a change could bring it" if os.path.lexists(ignored) else ""
        return place, word
    place, writable = _home(top)
    word = ""
    if not writable:
        word = f"the main work tree {_root_of(place)} cannot be written; this work tree gets a ledger of its own"
        place = os.path.join(top, FOLDER, FILE)
    _require_own(place, top)
    return place, word


def is_ci_place(path: str, start: str, environ: Mapping[str, str]) -> bool:
    """Whether that is where a ledger of this pipeline run is made that nobody named."""
    top = work_tree_root(start)
    return top is not None and bool(path) and os.path.abspath(path) == _ci_place(top, environ)


def _ci_place(top: str, environ: Mapping[str, str]) -> str:
    """Where the ledger of this pipeline run lies; empty outside CI."""
    if not may_be_ci(environ) or (pipeline := pipeline_of(environ)) is None:
        return ""
    return os.path.join(git_directories(top)[1], "tallystick", "ci", pipeline.folder, FILE)


def _home(top: str) -> tuple[str, bool]:
    """Where the work tree's ledger belongs outside CI, and whether it can be made there.

    A linked work tree of a bare repository, a submodule and a work tree with a separate git directory come and go
    while the repository stays, so theirs lies with the repository.
    """
    git_dir, common_dir = git_directories(top)
    if git_dir == os.path.join(top, ".git"):
        return os.path.join(top, FOLDER, FILE), True
    if git_dir != common_dir and os.path.basename(common_dir) == ".git":
        main = os.path.dirname(common_dir)
        return os.path.join(main, FOLDER, FILE), os.access(main, os.W_OK)
    return os.path.join(common_dir, "tallystick", FILE), os.access(common_dir, os.W_OK)


def _root_of(place: str) -> str:
    return os.path.dirname(os.path.dirname(place))


def _is_trusted(path: str, top: str | None) -> bool:
    """Whether the ledger and the folder that it lies in belong to us, to root, or to the owner of the work tree.

    Git itself refuses a work tree that another user owns, unless `safe.directory` names it.
    """
    folder = os.path.dirname(path)
    places = [folder, path] if top is not None else [os.path.dirname(folder), folder, path]
    return all(owns(place, top) for place in places if os.path.lexists(place))


def owns(place: str, top: str | None = None) -> bool:
    """Whether it belongs to us, root, the user who called us by sudo, or the owner of the folder `top`."""
    ours = {0, os.geteuid()}
    if os.geteuid() == 0 and (caller := os.environ.get("SUDO_UID", "")).isdecimal():
        ours.add(int(caller))
    try:
        if top is not None:
            ours.add(os.stat(top).st_uid)
        return os.lstat(place).st_uid in ours
    except OSError:
        return False


def _require_own(place: str, top: str | None) -> None:
    folder = os.path.dirname(place)
    if os.path.lexists(folder) and not _is_trusted(place, top):
        raise InputError(
            "another user owns this folder, so what lies there is not trusted",
            where=folder,
            advice="remove it, or name another place (TALLYSTICK_LEDGER, --ledger)",
        )


def prepare_folder(path: str) -> None:
    """Make the `.tallystick` folder that `path` lies in, private and ignored by git. Other folders are left alone.

    Raises StoreUnavailableError if it cannot be made.
    """
    folder = os.path.dirname(path)
    if os.path.basename(folder) == FOLDER:
        _make(folder, ignored=True)


def make_place(path: str) -> None:
    """Make the folder of a ledger that `place_for_new` named. Raises StoreUnavailableError."""
    folder = os.path.dirname(path)
    _make(folder, ignored=os.path.basename(folder) == FOLDER)


def _make(folder: str, *, ignored: bool) -> None:
    ignore = os.path.join(folder, ".gitignore")
    try:
        make_folder(folder)
        if ignored and not os.path.exists(ignore):
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


def git_directories(top: str) -> tuple[str, str]:
    """The git directory of the work tree whose top that is, and the one that its linked work trees share.

    Both are `TOP/.git` if that cannot be read.
    """
    git_dir = plain = os.path.join(top, ".git")
    try:
        if os.path.isfile(git_dir):
            git_dir = os.path.normpath(os.path.join(top, _read_line(git_dir).removeprefix("gitdir: ")))
            if not os.path.lexists(os.path.join(git_dir, "HEAD")):
                return plain, plain
        common = os.path.join(git_dir, "commondir")
        if os.path.isfile(common):
            return git_dir, os.path.normpath(os.path.join(git_dir, _read_line(common)))
    except (OSError, ValueError):
        return plain, plain
    return git_dir, git_dir


def current_branch(start: str) -> str:
    """The git branch that is checked out where `start` lies; empty for a detached head or outside git."""
    root = work_tree_root(start)
    if root is None:
        return ""
    try:
        head = _read_line(os.path.join(git_directories(root)[0], "HEAD"))
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
