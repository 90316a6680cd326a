"""Threads of one process share commits: one of them leads, the others' requests ride along.

Whoever finds nobody leading leads: it takes what is waiting, performs all of it in one transaction, answers,
and hands the lead to the next in the queue. A call returns when its own request is durable, or has failed.

A leader may be interrupted between any two steps (Ctrl-C). What is shared changes under the mutex alone, and
each step can be taken twice, so that `_leave` finishes whatever was begun: requests of others that have no
outcome yet go back to the front of the queue.
"""

from __future__ import annotations

from _thread import LockType, allocate_lock  # what threading wraps: importing that costs a tenth of a start
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BATCH_LIMIT = 512


class Request:
    """One piece of work for a transaction, and its outcome."""

    __slots__ = ("batch", "done", "error", "result", "turn", "work")

    def __init__(self, work: Any) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.turn: LockType | None = None
        self.batch: list[Request] = [self]

    def wake(self) -> None:
        """End the wait for a turn; more than once is no harm."""
        if self.turn is not None and self.turn.locked():
            try:
                self.turn.release()
            except RuntimeError:
                return


class GroupCommit:
    """`perform` takes requests and sets `result` or `error` on each; it returns once results are durable.

    Where it raises, nothing of the requests without a result was recorded.
    """

    def __init__(self, perform: Callable[[list[Request]], None]) -> None:
        self._perform = perform
        self._mutex = allocate_lock()
        self._waiting: deque[Request] = deque()
        self._leader: Request | None = None

    def submit(self, work: Any) -> Any:
        """The result of the work, once durable. Raises what the work raised."""
        request = Request(work)
        try:
            turn = self._enter(request)
            if turn is not None:
                turn.acquire()
            if not request.done:
                self._lead(request)
        except BaseException:
            self._leave(request)
            raise
        if request.error is not None:
            raise request.error
        return request.result

    def _enter(self, request: Request) -> LockType | None:
        """The lock to wait for where somebody else leads."""
        with self._mutex:
            if self._leader is None:
                self._leader = request
                return None
            request.turn = allocate_lock()
            request.turn.acquire()
            self._waiting.append(request)
            return request.turn

    def _lead(self, request: Request) -> None:
        batch = request.batch
        with self._mutex:
            while self._waiting and len(batch) < BATCH_LIMIT:
                if self._waiting[0] is not request:
                    batch.append(self._waiting[0])
                self._waiting.popleft()
        try:
            self._perform(batch)
        except Exception as error:
            for one in batch:
                if one.result is None and one.error is None:
                    one.error = error
        with self._mutex:
            self._settle(request)

    def _leave(self, request: Request) -> None:
        """Undo or finish an interrupted request's part in what is shared."""
        with self._mutex:
            if request in self._waiting:
                self._waiting.remove(request)
            if self._leader is request:
                self._settle(request)
            elif self._leader is not None and self._leader in self._waiting:
                self._hand_over()

    def _settle(self, leader: Request) -> None:
        for one in reversed(leader.batch):
            if one is leader or one.result is not None or one.error is not None:
                one.done = True
                if one is not leader:
                    one.wake()
            elif one not in self._waiting:
                self._waiting.appendleft(one)
        self._hand_over()

    def _hand_over(self) -> None:
        if not self._waiting:
            self._leader = None
            return
        self._leader = self._waiting[0]
        self._leader.wake()
        self._waiting.popleft()
