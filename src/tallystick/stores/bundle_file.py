"""A bundle's file, read by lines or by blocks of whole lines, and checked block by block by several processes."""

from __future__ import annotations

import marshal
import os
import struct

from tallystick.files import open_plain
from tallystick.stores.bundle_blocks import Block, check_block
from tallystick.stores.bundle_lines import LINE_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType
    from typing import NoReturn, Self

BLOCK_BYTES = 1 << 18
"""About how long a block is."""
SHARED_BYTES = 32 << 20
"""From how many bytes on it pays to share the work with other processes."""
MOST_WORKERS = 8
AHEAD = 3
"""How many blocks each of them is given before an answer is waited for."""
_TASK = struct.Struct("=qqq")
_LENGTH = struct.Struct("=q")


class BundleFile:
    """Iterate over it for lines, each at most a little over the limit, so that no line fills the memory."""

    def __init__(self, path: str) -> None:
        """Raises FileNotFoundError, OSError, InputError for a fifo, a socket or a device."""
        self.descriptor = open_plain(path)
        """The open file."""
        self._data = b""
        self._start = self._base = 0

    @property
    def offset(self) -> int:
        """Where the next line begins: bytes from the beginning of the file."""
        return self._base + self._start

    def left(self) -> int:
        """How many bytes come after that."""
        return os.fstat(self.descriptor).st_size - self.offset

    def seek(self, offset: int) -> None:
        """Read on from there."""
        os.lseek(self.descriptor, offset, os.SEEK_SET)
        self._data, self._base, self._start = b"", offset, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while (cut := self._data.find(b"\n", self._start)) < 0 and len(self._data) - self._start <= LINE_LIMIT + 1:
            if not self._more():
                break
        line = self._data[self._start : cut + 1 if cut >= 0 else None]
        if not line:
            raise StopIteration
        self._start += len(line)
        return line

    def block(self, limit: int) -> tuple[int, bytes, int]:
        """The next whole lines: where they begin, they themselves, and how many; at most `limit`, and about 256 KiB.

        None where the file ends, or where a line is longer than that.
        """
        if len(self._data) - self._start < BLOCK_BYTES:
            self._more()
        offset, end = self.offset, self._data.rfind(b"\n") + 1
        count = self._data.count(b"\n", self._start, end)
        if count > limit:
            count, end = limit, self._start
            for _ in range(limit):
                end = self._data.index(b"\n", end) + 1
        data = self._data[self._start : max(end, self._start)]
        self._start += len(data)
        return offset, data, count

    def _more(self) -> bool:
        read = os.read(self.descriptor, BLOCK_BYTES)
        self._data = self._data[self._start :] + read
        self._base += self._start
        self._start = 0
        return bool(read)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)


def checked_blocks(
    file: BundleFile, position: int, stops: list[int], *, share: bool = True
) -> Generator[tuple[int, int, Block | None], None, None]:
    """Where each of the next blocks begins, how many lines it has, and what `check_block` says of it.

    The first line is the entry at `position`. No block reaches beyond a position in `stops`, of which the last is that
    of the last entry. `share`: by several processes, where it pays. The file is read ahead: whoever does not take the
    blocks to their end sets it to where he goes on.
    """
    workers = _workers(file) if share else 1
    if workers < 2:
        for offset, data, count, first in _blocks(file, position, stops):
            yield offset, count, check_block(data, first) if count else None
        return
    with _Workers(file.descriptor, workers) as pool:
        asked: list[tuple[int, int]] = []
        answered = 0
        for offset, data, count, first in _blocks(file, position, stops):
            pool.ask(len(asked) % workers, offset, len(data), first)
            asked.append((offset, count))
            if len(asked) - answered >= workers * AHEAD:
                yield *asked[answered], pool.answer(answered % workers)
                answered += 1
        for number in range(answered, len(asked)):
            yield *asked[number], pool.answer(number % workers)


def _blocks(file: BundleFile, position: int, stops: list[int]) -> Iterator[tuple[int, bytes, int, int]]:
    for stop in stops:
        while position <= stop:
            offset, data, count = file.block(stop - position + 1)
            yield offset, data, count, position
            if not count:
                return
            position += count


def _workers(file: BundleFile) -> int:
    """How many processes to share the work with. A process with threads is not one to fork."""
    from _thread import _count

    if file.left() < SHARED_BYTES or not hasattr(os, "fork") or _count():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


class _Workers:
    """Processes that check blocks of one file. Each answers in the order in which it is asked."""

    def __init__(self, descriptor: int, count: int) -> None:
        self._tasks: list[int] = []
        self._answers: list[int] = []
        self._processes: list[int] = []
        for _ in range(count):
            task_end, task = os.pipe()
            answer, answer_end = os.pipe()
            process = os.fork()
            if not process:
                for other in (task, answer, *self._tasks, *self._answers):
                    os.close(other)
                _work(descriptor, task_end, answer_end)
            os.close(task_end)
            os.close(answer_end)
            self._tasks.append(task)
            self._answers.append(answer)
            self._processes.append(process)

    def ask(self, worker: int, offset: int, length: int, position: int) -> None:
        """Let that one check the block."""
        try:
            os.write(self._tasks[worker], _TASK.pack(offset, length, position))
        except BrokenPipeError:
            return

    def answer(self, worker: int) -> Block | None:
        """What it says of the block that it was asked about next; nothing where it has come to an end."""
        length = _read(self._answers[worker], _LENGTH.size)
        data = _read(self._answers[worker], *_LENGTH.unpack(length)) if length else b""
        values = marshal.loads(data) if data else None
        return Block(*values) if values else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (*self._tasks, *self._answers):
            os.close(end)
        for process in self._processes:
            os.waitpid(process, 0)


def _work(descriptor: int, tasks: int, answers: int) -> NoReturn:
    """The life of a worker: nothing of what it inherited but the file is touched, nor told that it ends."""
    try:
        while task := _read(tasks, _TASK.size):
            offset, length, position = _TASK.unpack(task)
            block = check_block(os.pread(descriptor, length, offset), position)
            data = marshal.dumps(tuple(getattr(block, name) for name in Block.FIELDS) if block else None)
            left = memoryview(_LENGTH.pack(len(data)) + data)
            while left:
                left = left[os.write(answers, left) :]
    finally:
        os._exit(0)


def _read(descriptor: int, length: int) -> bytes:
    """So many bytes; none where the other end was closed."""
    data = b""
    while len(data) < length:
        read = os.read(descriptor, length - len(data))
        if not read:
            return b""
        data += read
    return data
