"""Running the git command line: no library, no `subprocess`, nothing inherited from an enclosing hook."""

from __future__ import annotations

import os

from tallystick.errors import TallystickError
from tallystick.inherited import without_our_secrets
from tallystick.workspace.paths import c_quoted
from tallystick.workspace.scratch import anonymous_file, read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SIGKILL, _SIGPIPE = 9, 13  # on every system that has posix_spawn; the signal module costs more

OLDEST = (2, 25)
"""The oldest git that is supported."""

# What git sets for hooks, or what makes it read paths and objects otherwise than the work tree has them.
# Configuration given by the environment (GIT_CONFIG_COUNT, …) is the user's, and stays.
_NOT_INHERITED = frozenset(
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_CONFIG",
        "GIT_DIFF_OPTS", "GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_GLOB_PATHSPECS", "GIT_GRAFT_FILE", "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE", "GIT_NOGLOB_PATHSPECS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
    )
)  # fmt: skip

# A monitor may be wrong, and it and a split index write below .git; hooks may be the tree's own; the rest is work for
# nothing here.
_OPTIONS = (
    "core.fsmonitor=", "core.splitIndex=false", "core.untrackedCache=false", "index.skipHash=true",
    "core.trustctime=true", "core.checkStat=default", "core.hooksPath=/dev/null",
)  # fmt: skip


class GitError(TallystickError):
    """Git could not do what was asked; `what` is its own first complaint."""


class Git:
    """The git command line for one work tree: where it runs, and on which index.

    `index` names a scratch file; without it the repository's own is used, which no command here ever writes.
    `explicit` is the git directory where discovery would not find it.
    """

    __slots__ = ("explicit", "index", "objects", "root")

    def __init__(self, root: str, objects: str, *, index: str = "", explicit: str = "") -> None:
        self.root = root
        self.objects = objects
        self.index = index
        self.explicit = explicit

    def on(self, index: str) -> Git:
        """The same, on a scratch index."""
        return Git(self.root, self.objects, index=index, explicit=self.explicit)

    def start(self, *args: str, stdin: bytes | None = None, options: Iterable[str] = _OPTIONS) -> Child:
        """`git ARGS`, started in the background. `options`: settings that go before the user's."""
        options = [word for option in options for word in ("-c", option)]
        return Child(["git", "-C", self.root, *options, *args], self._environment(), stdin, where=self.root)

    def run(self, *args: str, stdin: bytes | None = None, ok: Iterable[int] = (0,)) -> bytes:
        """What `git ARGS` printed. Raises GitError where its exit code is not one of `ok`."""
        return self.start(*args, stdin=stdin).result(ok)

    def _environment(self) -> dict[str, str]:
        inherited = os.environ
        env = {name: value for name, value in without_our_secrets(inherited).items() if name not in _NOT_INHERITED}
        env["GIT_OPTIONAL_LOCKS"] = "0"
        env["GIT_NO_REPLACE_OBJECTS"] = "1"
        if self.index:
            env["GIT_INDEX_FILE"] = self.index
            env["GIT_WORK_TREE"] = self.root  # core.worktree may lead elsewhere than where commands are run
        if self.explicit:
            env["GIT_DIR"], env["GIT_WORK_TREE"] = self.explicit, self.root
        # A hook may have objects elsewhere that are not in the repository yet (a push in quarantine).
        given, more = (inherited.get(f"GIT_{name}") for name in ("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES"))
        others = [_listable(os.path.abspath(given))] if given else []
        others += [more] if more else []
        if others:
            env["GIT_OBJECT_DIRECTORY"] = self.objects
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = ":".join(others)
        return env


class Child:
    """A git process at work. Its output goes to unnamed files, so that it never waits for a reader."""

    __slots__ = ("_argv", "_err", "_out", "_pid", "_where")

    def __init__(self, argv: list[str], env: Mapping[str, str], stdin: bytes | None = None, *, where: str = "") -> None:
        self._argv = argv
        self._where = where
        self._pid = 0
        given = None if stdin is None else anonymous_file(stdin)
        self._out, self._err = anonymous_file(), anonymous_file()
        try:
            self._pid = _spawn(argv, env, given, self._out, self._err)
        except FileNotFoundError:
            self._close()
            raise GitError(
                "git was not found", where=where, advice=f"install git {OLDEST[0]}.{OLDEST[1]} or later"
            ) from None
        except OSError as error:
            self._close()
            raise GitError(f"git cannot be run: {error.strerror}", where=where) from None
        finally:
            if given is not None:
                os.close(given)

    def result(self, ok: Iterable[int] = (0,)) -> bytes:
        """Waits for the process; what it printed. Raises GitError where its exit code is not one of `ok`."""
        code = self._wait()
        try:
            printed = read_whole(self._out)
            if code in ok:
                return printed
            complaint = read_whole(self._err)
        finally:
            self._close()
        raise _explained(complaint, code, self._argv, self._where)

    def discard(self) -> None:
        """Ends the process where it still runs; its output is not wanted any more."""
        if self._pid:
            os.kill(self._pid, _SIGKILL)  # not reaped yet, so the id is still its own
            self._wait()
        self._close()

    def _wait(self) -> int:
        pid, self._pid = self._pid, 0
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            return 0  # SIGCHLD is ignored: the system reaped it, and its output has to speak for it

    def _close(self) -> None:
        for descriptor in (self._out, self._err):
            if descriptor >= 0:
                os.close(descriptor)
        self._out = self._err = -1


def _spawn(argv: list[str], env: Mapping[str, str], stdin: int | None, out: int, err: int) -> int:
    if not hasattr(os, "posix_spawnp"):
        return _spawn_elsewhere(argv, env, stdin, out, err)
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, out, 1),
        (os.POSIX_SPAWN_DUP2, err, 2),
    ]
    if stdin is None:
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
    # Python ignores SIGPIPE, and what git runs (filters) would inherit that.
    return os.posix_spawnp(argv[0], argv, env, file_actions=actions, setsigdef=(_SIGPIPE,))


def _spawn_elsewhere(argv: list[str], env: Mapping[str, str], stdin: int | None, out: int, err: int) -> int:
    import subprocess

    given = subprocess.DEVNULL if stdin is None else stdin
    return subprocess.Popen(argv, env=env, stdin=given, stdout=out, stderr=err).pid


def _listable(path: str) -> str:
    """A path as GIT_ALTERNATE_OBJECT_DIRECTORIES takes it."""
    quoted = c_quoted(os.fsencode(path), special=b":")
    return os.fsdecode(quoted)


def _explained(complaint: bytes, code: int, argv: list[str], where: str) -> GitError:
    version = _version()
    if version and version < OLDEST:
        needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST, version))
        return GitError(f"git {found} is too old", where=where, advice=f"install git {needed} or later")
    lines = [line for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("error: ", "fatal: "))] or lines
    what = told[0].split(": ", 1)[-1] if told else f"`{' '.join(_short(argv))}` ended with {code}"
    advice = ""
    if "dubious ownership" in what:
        advice = f"allow it: git config --global --add safe.directory {where}"
    return GitError(f"git: {what}", where=where, advice=advice)


def _short(argv: list[str]) -> list[str]:
    """The command without the options that every one of ours has."""
    rest = argv[3:]
    while rest[:1] == ["-c"]:
        rest = rest[2:]
    return ["git", *rest[:2]]


def _version() -> tuple[int, ...]:
    """Git's version, such as (2, 39); empty where it does not say."""
    try:
        printed = Child(["git", "version"], os.environ).result(ok=range(-64, 256))
    except GitError:
        return ()
    words = printed.split()
    numbers = words[2].split(b".")[:2] if len(words) > 2 else []
    return tuple(int(number) for number in numbers if number.isdigit())
