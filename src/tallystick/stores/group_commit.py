"""Threads of one process share commits: one of them leads, the others' requests ride along.

Whoever finds nobody leading leads: it takes what is waiting, performs all of it in one transaction, answers,
and hands the lead to the next in the queue. A call returns when its own request is durable, or has failed.
"""

from __future__ import annotations

from collections import deque
from threading import Lock

from tallystick.errors import StoreUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BATCH_LIMIT = 512


def _interrupted() -> StoreUnavailableError:
    return StoreUnavailableError(
        "the thread that was committing for all was interrupted; nothing of this was recorded",
        advice="append it again",
    )


class Request:
    """One piece of work for a transaction, and its outcome."""

    __slots__ = ("done", "error", "result", "turn", "work")

    def __init__(self, work: Any) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.turn: Lock | None = None


class GroupCommit:
    """`perform` takes requests and sets `result` or `error` on each; it returns once results are durable."""

    def __init__(self, perform: Callable[[list[Request]], None]) -> None:
        self._perform = perform
        self._mutex = Lock()
        self._waiting: deque[Request] = deque()
        self._led = False

    def submit(self, work: Any) -> Any:
        """The result of the work, once durable. Raises what the work raised."""
        request = Request(work)
        with self._mutex:
            leads = not self._led
            if leads:
                self._led = True
            else:
                request.turn = Lock()
                request.turn.acquire()
                self._waiting.append(request)
        if request.turn is not None:
            self._wait(request, request.turn)
        if not request.done:
            self._lead(request)
        if request.error is not None:
            raise request.error
        return request.result

    def _wait(self, request: Request, turn: Lock) -> None:
        try:
            turn.acquire()
        except BaseException:
            with self._mutex:
                queued = request in self._waiting
                if queued:
                    self._waiting.remove(request)
            if not queued and turn.acquire(blocking=True) and not request.done:
                self._pass_on()
            raise

    def _lead(self, request: Request) -> None:
        batch = [request]
        with self._mutex:
            while self._waiting and len(batch) < BATCH_LIMIT:
                batch.append(self._waiting.popleft())
        try:
            self._perform(batch)
        except BaseException as error:
            for one in batch:
                if one.result is None and one.error is None:
                    one.error = error if one is request or isinstance(error, Exception) else _interrupted()
        finally:
            for one in batch:
                one.done = True
                if one.turn is not None and one is not request:
                    one.turn.release()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            following = self._waiting.popleft() if self._waiting else None
            self._led = following is not None
        if following is not None and following.turn is not None:
            following.turn.release()
