"""Which program a command runs: found as a shell finds it, named by its real path and SHA-256."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO
    from typing import NotRequired, TypedDict

    class Program(TypedDict):
        """A file that was run: `path` without symbolic links, `sha256` in hex ("" where unreadable)."""

        path: str
        sha256: str

    class Executable(Program):
        """What a command ran; `command` is the program that a shell string begins with."""

        command: NotRequired[Program]


SHELL = "/bin/sh"

# What POSIX sh, dash and bash answer themselves, so that a file of the same name is not what runs.
SHELL_WORDS = frozenset(
    (
        "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "chdir", "command",
        "compgen", "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "do",
        "done", "echo", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "false",
        "fc", "fg", "fi", "for", "function", "getopts", "hash", "help", "history", "if", "in", "jobs",
        "kill", "let", "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read",
        "readarray", "readonly", "return", "select", "set", "shift", "shopt", "source", "suspend",
        "test", "then", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask",
        "unalias", "unset", "until", "wait", "while",
    )
)  # fmt: skip
_FIRST_WORD = r"[ \t\n]*([A-Za-z0-9_./+:@%,-]+)(?=[ \t\n;&|<>]|\Z)"
_CHUNK = 1 << 20
_digests: dict[tuple[int, int, int, int, int], str] = {}


class CommandNotRunError(Exception):
    """A command that no shell could start: `exit_code` is 126 or 127, the text says why, after its name."""

    def __init__(self, name: str, why: str, exit_code: int) -> None:
        super().__init__(f"{name}: {why}")
        self.exit_code = exit_code


def find_executable(name: str, *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> str:
    """The path of the file that `name` runs, by the rules of POSIX sh (section 2.9.1.4).

    A name with a slash is a path, relative to `cwd` (None: the current directory); any other is looked for
    in the PATH of `env` (None: ours). Raises CommandNotRunError: 127 where there is none, 126 where what is
    there cannot be executed.
    """
    if "/" in name:
        path = name if cwd is None else os.path.join(cwd, name)
        trouble = _trouble(path)
        if trouble:
            raise CommandNotRunError(name, trouble, 127 if trouble == _MISSING else 126)
        return path
    found_other = ""
    search = (os.environ if env is None else env).get("PATH", os.defpath)
    for folder in search.split(os.pathsep) if name else ():
        path = os.path.join(folder, name)
        if cwd is not None:
            path = os.path.join(cwd, path)
        trouble = _trouble(path)
        if not trouble:
            return path if "/" in path else f"./{path}"
        if trouble == _DENIED and not found_other:
            found_other = trouble
    if found_other:
        raise CommandNotRunError(name, found_other, 126)
    raise CommandNotRunError(name, "command not found", 127)


_MISSING = "No such file or directory"
_DENIED = "Permission denied"


def _trouble(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return _DENIED
    except (OSError, ValueError):
        return _MISSING
    if stat.S_ISDIR(mode):
        return "Is a directory"
    return "" if os.access(path, os.X_OK) else _DENIED


def resolve_executable(
    argv: Sequence[str] | str, *, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> Executable | None:
    """The program that `argv` runs, by real path and digest; None where there is none to run.

    For a shell string it is the shell, and under `command` the first word's program, where that word is plain
    text that the shell does not answer itself. Digests are computed once per process for a file that has not
    changed (device, inode, size, times); use `DigestTask` to have them computed while the command runs.
    """
    if not isinstance(argv, str):
        return _program(argv[0], env, cwd) if argv else None
    shell = _program(SHELL, env, cwd)
    word = re.match(_FIRST_WORD, argv)
    if shell and word and word[1] not in SHELL_WORDS:
        command = _program(word[1], env, cwd)
        if command:
            return {**shell, "command": command}
    return shell


def _program(name: str, env: Mapping[str, str] | None, cwd: str | None) -> Executable | None:
    try:
        path = os.path.realpath(find_executable(name, env=env, cwd=cwd))
    except CommandNotRunError:
        return None
    return {"path": path, "sha256": file_digest(path)}


def file_digest(path: str) -> str:
    """Hex SHA-256 of a file's bytes, "" where it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
        with open(path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            key = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
            if key not in _digests:
                _digests[key] = _digest(file)
            return _digests[key]
    except OSError:
        return ""


def _digest(file: FileIO) -> str:
    import hashlib

    state = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    while count := file.readinto(buffer):
        state.update(memoryview(buffer)[:count])
    return state.hexdigest()


class DigestTask:
    """`resolve_executable` in the background: made before the command starts, asked when it has ended.

    A program of 100 MB takes a noticeable part of a second to digest; while the command runs, nobody waits
    for it.
    """

    def __init__(
        self, argv: Sequence[str] | str, *, env: Mapping[str, str] | None = None, cwd: str | None = None
    ) -> None:
        import _thread

        self._found: Executable | None = None
        self._failure: BaseException | None = None
        self._busy = _thread.allocate_lock()
        self._busy.acquire()
        _thread.start_new_thread(self._resolve, (argv, env, cwd))

    def _resolve(self, argv: Sequence[str] | str, env: Mapping[str, str] | None, cwd: str | None) -> None:
        try:
            self._found = resolve_executable(argv, env=env, cwd=cwd)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._busy.release()

    def result(self) -> Executable | None:
        """What `resolve_executable` returns or raises; waits until it is there."""
        with self._busy:
            if self._failure is not None:
                raise self._failure
            return self._found
