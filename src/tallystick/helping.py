"""Verifying a long session on two processors: a helper reads every other block, or so, ahead of us.

Blocks are handed out in order, through a pipe that both read. What the helper found well is only joined on;
everything else, and what it leaves undone when it ends early, is read here as if there were no helper.
"""

from __future__ import annotations

import os
import sys

import msgspec

from tallystick.blocks import BLOCK, CHUNK, Block
from tallystick.errors import TamperedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from tallystick.stores.base import SessionKey, Store

LEAST = 40_000
"""Entries from which on a helper pays: it takes about as long to start as fifteen thousand to verify."""
MOST = 8_000
"""Blocks that are handed out: as many as a pipe holds everywhere."""
_NUMBER = 8
_SQLITE = "sqlite:///"
_CODE = "import sys; sys.path[:] = sys.argv[1:]; from tallystick.helping import serve; serve()"


class Task(msgspec.Struct):
    """What a helper has to know."""

    path: str
    number: int
    rules: int
    wanted: set[int]
    """The first positions of chunks whose nodes are asked for."""
    handed: int
    """The descriptor that blocks are handed out through."""


def helper_for(store: Store, session: SessionKey, rules: int, known: Iterable[int]) -> Helper | None:
    """A helper that has begun; None where it would not pay, or cannot be had.

    `known`: positions of heads that the nodes about them are needed for.
    """
    if os.name != "posix" or not sys.executable or not store.url.startswith(_SQLITE) or _processors() < 2:
        return None
    try:
        last = store.tip(session).position
    except TamperedError:
        return None
    if last < LEAST:
        return None
    wanted = {position - position % CHUNK for position in known}
    try:
        return Helper(store.url.removeprefix(_SQLITE), session.number, rules, wanted, last)
    except OSError:
        return None


def _processors() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return count or 1


class Helper:
    """The other process, as we see it. To be closed."""

    def __init__(self, path: str, number: int, rules: int, wanted: set[int], last: int) -> None:
        import subprocess

        starts = range(BLOCK, last - BLOCK + 2, BLOCK)[:MOST]
        self._stop = starts.stop
        self._found: dict[int, Block | None] = {}
        self._ours = -1
        self._handed, hand_out = os.pipe()
        try:
            os.write(hand_out, b"".join(start.to_bytes(_NUMBER) for start in starts))
        finally:
            os.close(hand_out)
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._handed,),
            )
        except OSError:
            os.close(self._handed)
            raise
        task = Task(path=path, number=number, rules=rules, wanted=wanted, handed=self._handed)
        self._send(msgspec.msgpack.encode(task))

    def _send(self, task: bytes) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                pipe.write(task)
        except OSError:
            return

    def take(self, start: int) -> Block | None:
        """The block that begins there, where the helper took it and all is well in it. None: it is ours to read."""
        if start % BLOCK or not BLOCK <= start < self._stop:
            return None
        if self._ours < start:
            handed = os.read(self._handed, _NUMBER)
            self._ours = int.from_bytes(handed) if handed else self._stop
        return None if self._ours == start else self._result(start)

    def _result(self, start: int) -> Block | None:
        """What the helper says of a block that it took. Nothing more once it has ended."""
        assert self._process.stdout is not None
        while start not in self._found:
            size = self._process.stdout.read(_NUMBER)
            data = self._process.stdout.read(int.from_bytes(size))
            if len(size) < _NUMBER or len(data) < int.from_bytes(size):
                return None
            number, block = msgspec.msgpack.decode(data, type=tuple[int, Block | None])
            self._found[number] = block
        return self._found.pop(start)

    def close(self) -> None:
        """End the helper, whatever it is at."""
        os.close(self._handed)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def serve() -> None:
    """The helper itself: reads its task from standard input, and writes what it finds to standard output."""
    from tallystick.clock import now
    from tallystick.stores.base import SessionKey
    from tallystick.stores.sqlite import SqliteStore

    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    store = SqliteStore(task.path, create=False, clock=now, random=os.urandom, read_only=True)
    session = SessionKey(task.number, store.ledger_id, "", b"")
    while handed := os.read(task.handed, _NUMBER):
        start = int.from_bytes(handed)
        data = msgspec.msgpack.encode((start, _read(store, session, task, start)))
        sys.stdout.buffer.write(len(data).to_bytes(_NUMBER) + data)
        sys.stdout.buffer.flush()


def _read(store: Store, session: SessionKey, task: Task, start: int) -> Block | None:
    block = Block(start)
    while block.next < start + BLOCK:
        if not block.take(store.raw_rows(session, block.next, CHUNK), task.rules, task.wanted):
            return None
    return block
