"""The loop that watches one command from its start to its end."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time

from tallystick.capture.inbox import ENDING_SIGNALS, TERMINATE
from tallystick.capture.terminal import copy_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tallystick.capture.inbox import Inbox
    from tallystick.capture.relay import Keyboard, Source, Target
    from tallystick.capture.spawn import Child
    from tallystick.capture.terminal import CallerTerminal, ForegroundLoan

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL, and between the command's end and the end of reading."""

_GROUP_CHECK = 0.05  # how often we look whether a group that was told to end has ended
_FOREGROUND_CHECK = 0.5  # how often, in the background, we look whether we were brought to the front
_HAND_OVER = 0.02  # how long what was written to a terminal may be on its way to us
_LAST_SWEEP = 1 << 20  # the most that a pipe holds by default limits

# poll, since neither epoll nor kqueue takes every kind of file; macOS's poll does not take terminals.
_Selector = selectors.SelectSelector if sys.platform == "darwin" else selectors.PollSelector


class Desk:
    """What lies between the command and the caller: streams, and the caller's terminal if there is one.

    `caller` and `keyboard` belong to a command that has a terminal of its own, whose master is `master`;
    `loan` to one that shares our session. `screen` is where the window's size is known.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources = list(sources)
        self.caller: CallerTerminal | None = None
        self.keyboard: Keyboard | None = None
        self.loan: ForegroundLoan | None = None
        self.master = -1
        self.screen = -1

    @property
    def targets(self) -> list[Target]:
        """Each stream of the caller's once."""
        return list({id(s.target): s.target for s in self.sources if s.target is not None}.values())


class Supervisor:
    """Relays, records, passes signals on, keeps the time limit, and knows when it is over.

    After `run`: `status` is the wait status; `ended_at` the monotonic time of it; `timed_out`; `forwarded`
    the last ending signal that was passed on.
    """

    def __init__(
        self,
        child: Child,
        inbox: Inbox,
        desk: Desk,
        record: Callable[[bytes], None],
        time_out_at: float | None,
    ) -> None:
        self.status: int | None = None
        self.ended_at = 0.0
        self.timed_out = False
        self.forwarded: int | None = None
        self._child = child
        self._inbox = inbox
        self._desk = desk
        self._record = record
        self._time_out_at = time_out_at
        self._kill_at: float | None = None
        self._killed = False
        self._read_until: float | None = None
        self._flush_until: float | None = None
        self._watched: dict[int, int] = {}
        self._selector = _Selector()

    def run(self) -> None:
        """Returns when the command has ended and its output is read and passed on."""
        try:
            self._resume(was_stopped=False)
            while not self._is_over(time.monotonic()):
                self._watch(self._interests())
                ready = self._selector.select(self._patience(time.monotonic()))
                for key, events in ready:
                    self._handle(key.fd, events)
                self._look_at_the_clock(time.monotonic())
        finally:
            self._selector.close()

    def kill(self) -> None:
        """Ends the command's group at once, and waits for the command's end."""
        while self.status is None:
            self._signal_group(signal.SIGKILL)
            for status in self._child.take_changes():
                self._ended(status) if not os.WIFSTOPPED(status) else None

    # What is waited for

    def _interests(self) -> dict[int, int]:
        wanted = {self._inbox.fd: selectors.EVENT_READ}
        if self.status is None:
            wanted[self._child.changes] = selectors.EVENT_READ
        for source in self._desk.sources:
            if source.is_open and not source.must_wait:
                wanted[source.fd] = selectors.EVENT_READ
            if source.target is not None and source.target.pending:
                wanted[source.target.fd] = selectors.EVENT_WRITE
        keyboard = self._desk.keyboard
        if keyboard is not None and keyboard.is_open and self.status is None:
            if keyboard.pending:
                wanted[keyboard.master] = selectors.EVENT_WRITE
            elif self._desk.caller is None or self._desk.caller.is_raw:
                wanted[keyboard.fd] = selectors.EVENT_READ
        return wanted

    def _watch(self, wanted: dict[int, int]) -> None:
        if wanted == self._watched:
            return
        for fd in self._watched.keys() - wanted.keys():
            self._selector.unregister(fd)
        for fd, events in wanted.items():
            if fd not in self._watched:
                self._selector.register(fd, events)
            elif self._watched[fd] != events:
                self._selector.modify(fd, events)
        self._watched = wanted

    def _patience(self, now: float) -> float | None:
        moments = [self._read_until if self._any_source_open() else None, self._flush_until]
        if self.status is None:
            moments.append(self._time_out_at if not self.timed_out else None)
        if self._kill_at is not None and not self._killed:
            moments.append(self._kill_at if self.status is None else now + _GROUP_CHECK)
        if self._is_in_background():
            moments.append(now + _FOREGROUND_CHECK)
        known = [moment for moment in moments if moment is not None]
        return max(0.0, min(known) - now) if known else None

    # What happens

    def _handle(self, fd: int, events: int) -> None:
        if fd == self._inbox.fd:
            for number in self._inbox.take():
                self._take_request(number)
            return
        if fd == self._child.changes:
            for status in self._child.take_changes():
                self._stopped(os.WSTOPSIG(status)) if os.WIFSTOPPED(status) else self._ended(status)
            return
        for source in self._desk.sources:
            if source.fd == fd and source.is_open and events & selectors.EVENT_READ:
                self._record_if_any(source.read())
                return
            if source.target is not None and source.target.fd == fd:
                source.target.flush()
                return
        keyboard = self._desk.keyboard
        if keyboard is not None:
            keyboard.read() if fd == keyboard.fd else keyboard.flush()
            if not keyboard.is_open:
                self._take_request(signal.SIGHUP)

    def _record_if_any(self, data: bytes) -> None:
        if data:
            self._record(data)

    def _take_request(self, number: int) -> None:
        if number == signal.SIGCONT:
            self._resume(was_stopped=True)
        elif number == signal.SIGWINCH:
            if self._desk.master >= 0:
                copy_size(self._desk.screen, self._desk.master)
            if self._desk.caller is None:
                self._signal_group(signal.SIGWINCH)
        elif number != TERMINATE and number not in ENDING_SIGNALS:
            self._signal_group(number)
        elif self.status is not None:
            self._stop_waiting()
        elif number == TERMINATE:
            self._end_group()
        else:
            self._forward_ending(number)

    def _forward_ending(self, number: int) -> None:
        """The first one is the command's to answer; whoever sends a second one wants it to end."""
        self._signal_group(number)
        if number in (signal.SIGHUP, signal.SIGTERM):
            self._signal_group(signal.SIGCONT)
        if self.forwarded is not None and number in (signal.SIGINT, signal.SIGTERM):
            self._end_group()
        self.forwarded = number

    def _end_group(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE
            self._signal_group(signal.SIGTERM)
            self._signal_group(signal.SIGCONT)
        else:
            self._kill_group()

    def _kill_group(self) -> None:
        self._killed = True
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        groups = {self._child.pid}
        if self._desk.caller is not None and self.status is None and number != signal.SIGCONT:
            groups.add(_foreground_of(self._desk.master))
        for group in groups:
            try:
                if group > 1:
                    os.killpg(group, number)
            except OSError:
                continue  # nobody there, or not ours to signal

    def _ended(self, status: int) -> None:
        self.status = status
        self.ended_at = time.monotonic()
        self._read_until = self.ended_at + GRACE
        if self._desk.loan is not None:
            self._desk.loan.take_back(self._child.pid)

    def _stop_waiting(self) -> None:
        self._read_until = self._flush_until = time.monotonic()

    # Stopping and going on

    def _stopped(self, number: int) -> None:
        desk = self._desk
        if desk.loan is not None and number in (signal.SIGTTIN, signal.SIGTTOU) and desk.loan.lend(self._child.pid):
            self._signal_group(signal.SIGCONT)
            return
        if not self._inbox.hears_signals or (desk.caller is None and not (desk.loan and desk.loan.has_terminal)):
            return  # nobody sits here who could make us go on
        self._catch_up()
        if desk.caller is not None:
            desk.caller.restore()
        if desk.loan is not None:
            desk.loan.take_back(self._child.pid)
        self._inbox.stop_this_job()
        self._resume(was_stopped=True)

    def _catch_up(self) -> None:
        """Passes on what the command wrote before it stopped; a terminal hands it over with some delay."""
        swept = 0
        for source in self._desk.sources:
            with _Selector() as alone:
                alone.register(source.fd, selectors.EVENT_READ) if source.is_open else None
                while source.is_open and swept < _LAST_SWEEP and alone.select(_HAND_OVER):
                    data = source.read()
                    self._record_if_any(data)
                    swept += len(data)

    def _resume(self, *, was_stopped: bool) -> None:
        if self._desk.caller is not None:
            self._desk.caller.resync()
            copy_size(self._desk.screen, self._desk.master)
        if was_stopped and self.status is None:
            self._signal_group(signal.SIGCONT)

    # Time

    def _look_at_the_clock(self, now: float) -> None:
        if self.status is None and self._time_out_at is not None and now >= self._time_out_at and not self.timed_out:
            self.timed_out = True
            if self._kill_at is None:
                self._end_group()
        if self._kill_at is not None and not self._killed and now >= self._kill_at:
            self._kill_group()
        if self._read_until is not None and now >= self._read_until:
            self._stop_reading()
        if self.status is not None and self.timed_out and self._flush_until is None:
            self._flush_until = now + GRACE
        if self._is_in_background():
            self._take_the_terminal_if_ours()

    def _stop_reading(self) -> None:
        """Takes what is in the pipes already, which may be much where the caller's reader is slow."""
        for source in self._desk.sources:
            swept = 0
            while source.is_open and swept < _LAST_SWEEP:
                data = source.read()
                self._record_if_any(data)
                swept += len(data)
                if not data:
                    break
            self._record_if_any(source.close())

    def _is_in_background(self) -> bool:
        caller = self._desk.caller
        return self.status is None and caller is not None and not caller.is_raw and not caller.is_gone

    def _take_the_terminal_if_ours(self) -> None:
        assert self._desk.caller is not None
        self._desk.caller.sync()
        if self._desk.caller.is_gone:  # and the system told the foreground alone
            self._take_request(signal.SIGHUP)

    def _any_source_open(self) -> bool:
        return any(source.is_open for source in self._desk.sources)

    def _is_over(self, now: float) -> bool:
        if self.status is None or self._any_source_open():
            return False
        if self._kill_at is not None and not self._killed and self._group_is_alive():
            return False
        if not any(target.pending for target in self._desk.targets):
            return True
        if self._flush_until is None or now < self._flush_until:
            return False
        for target in self._desk.targets:
            target.abandon()
        return True

    def _group_is_alive(self) -> bool:
        try:
            os.killpg(self._child.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return True


def _foreground_of(terminal: int) -> int:
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return 0
