"""What a command leaves running: found in its session, named, and ended.

Linux tells of every process which session it is in and who its parent is. Elsewhere only the command's own process
group is ended, without names.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE = 2.0
"""Seconds between asking a process to end and ending it."""
_STEP = 0.02
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h


class _Process:
    """A process as /proc/PID/stat has it."""

    __slots__ = ("name", "parent", "pid", "session")

    def __init__(self, pid: int, name: str, parent: int, session: int) -> None:
        self.pid = pid
        self.name = name
        self.parent = parent
        self.session = session


def adopt_orphans() -> None:
    """Become the parent of every process below us whose own parent ends, so that none gets out of sight."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_session(session: int) -> list[str]:
    """End every process that is still in the session of a command that ended; their names, each with its id."""
    if sys.platform != "linux":
        with suppress(OSError):
            os.killpg(session, signal.SIGKILL)
        return []
    return _end(lambda: [one for one in _processes() if one.session == session])


def end_orphans() -> list[str]:
    """End every process below us; their names, each with its id. For a process that has nothing of its own running."""
    if sys.platform != "linux":
        return []
    return _end(_below_us)


def _end(find: Callable[[], list[_Process]]) -> list[str]:
    named: dict[int, str] = {}
    deadline = time.monotonic() + GRACE
    while (left := find()) and time.monotonic() < deadline:
        for one in left:
            if one.pid not in named:
                named[one.pid] = f"{one.name} ({one.pid})"
                _send(one.pid, signal.SIGTERM)
        time.sleep(_STEP)
        _reap(named)
    # Stopped first, so that none that goes on starting others gets away.
    while left and time.monotonic() < deadline + GRACE:
        stopped: set[int] = set()
        while fresh := [one for one in left if one.pid not in stopped]:
            for one in fresh:
                named.setdefault(one.pid, f"{one.name} ({one.pid})")
                _send(one.pid, signal.SIGSTOP)
                stopped.add(one.pid)
            left = find()
        for one in left:
            _send(one.pid, signal.SIGKILL)
        time.sleep(_STEP)
        _reap(named)
        left = find()
    return list(named.values())


def _send(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)


def _reap(pids: dict[int, str]) -> None:
    """Take the ends of those that became our children."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except OSError:
            continue


def _below_us() -> list[_Process]:
    children: dict[int, list[_Process]] = {}
    for one in _processes():
        children.setdefault(one.parent, []).append(one)
    found, todo = [], list(children.get(os.getpid(), ()))
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one.pid, ())
    return found


def _processes() -> Iterator[_Process]:
    """All processes that are not zombies (proc_pid_stat(5))."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        start, end = stat.find(b"("), stat.rfind(b")")
        fields = stat[end + 1 :].split()
        if len(fields) < 4 or fields[0] in (b"Z", b"X", b"x"):
            continue
        shown = stat[start + 1 : end].decode("utf-8", "replace")
        yield _Process(int(name), shown, int(fields[1]), int(fields[3]))
