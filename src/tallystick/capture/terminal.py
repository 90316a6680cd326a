"""The caller's terminal, and the pseudo-terminal that stands in for it."""

from __future__ import annotations

import os
import signal
import termios

from tallystick.capture.descriptors import above_standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


def open_pty(like: int, screen: int, *, plain_output: bool) -> tuple[int, int]:
    """`(master, slave)` with the modes of the terminal `like` and the size of `screen`. Raises OSError.

    With `plain_output` the new terminal passes on what is written to it unchanged, since the caller's own
    terminal will do to it what terminals do.
    """
    master, slave = map(above_standard, os.openpty())
    try:
        modes = termios.tcgetattr(like)
        if plain_output:
            modes[_OFLAG] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        copy_size(screen, master)
    except termios.error:
        pass
    os.set_blocking(master, False)
    return master, slave


def copy_size(screen: int, master: int) -> None:
    """Gives the pseudo-terminal the size of the caller's; the kernel tells the command of a change."""
    try:
        size = termios.tcgetwinsize(screen)
        if size != termios.tcgetwinsize(master):
            termios.tcsetwinsize(master, size)
    except (termios.error, OSError):
        pass


def adds_carriage_returns(master: int) -> bool:
    """Whether the pseudo-terminal, as its programs have set it now, writes each newline as CR LF."""
    try:
        output = termios.tcgetattr(master)[_OFLAG]
    except termios.error:
        return False
    return bool(output & termios.OPOST and output & termios.ONLCR)


class NewlineRestorer:
    """Takes back what a terminal in its usual mode did to newlines, so that what is kept is what was written.

    Every newline comes out of such a terminal as CR LF, a written CR LF as CR CR LF: the reverse is exact.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes, *, mapped: bool) -> bytes:
        """The bytes as they were written; a last CR waits for what follows it."""
        data = self._held + data
        self._held = b""
        if not mapped:
            return data
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        return data.replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """What still waited."""
        data, self._held = self._held, b""
        return data


class CallerTerminal:
    """The terminal that the caller types on. It is raw while the command has it, and only then.

    Whoever is in the background leaves the terminal alone: it belongs to somebody else. `is_gone` once it was
    found to be closed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._saved: list[Any] = termios.tcgetattr(fd)
        self.is_raw = False
        self.is_gone = False

    def in_foreground(self) -> bool:
        """Whether we may read from it and set its modes; also where it is not our controlling terminal."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True

    def sync(self) -> None:
        """Makes it raw if we are in the foreground, so that every key reaches the command's own terminal."""
        if self.is_raw or self.is_gone or not self.in_foreground():
            return
        try:
            modes = termios.tcgetattr(self.fd)
            if modes[:4] != _raw(self._saved)[:4]:
                self._saved = modes
            termios.tcsetattr(self.fd, termios.TCSADRAIN, _raw(self._saved))
            self.is_raw = True
        except termios.error:
            self.is_gone = True

    def resync(self) -> None:
        """The same after a time in which others may have set its modes."""
        self.is_raw = False
        self.sync()

    def restore(self) -> None:
        """Gives it back the modes that it had."""
        if self.is_raw:
            self.is_raw = False
            self.restore_if_left_raw()

    def restore_if_left_raw(self) -> None:
        """Gives it back its modes unless somebody else has set other ones since."""
        try:
            if termios.tcgetattr(self.fd)[:4] == _raw(self._saved)[:4]:
                with_background_rights(lambda: termios.tcsetattr(self.fd, termios.TCSADRAIN, self._saved))
        except (termios.error, OSError):
            pass


def _raw(modes: list[Any]) -> list[Any]:
    """Modes in which every byte passes both ways unchanged (termios(3), cfmakeraw)."""
    raw = list(modes)
    raw[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    raw[_OFLAG] &= ~termios.OPOST
    raw[_CFLAG] = raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[_CC] = list(raw[_CC])
    raw[_CC][termios.VMIN] = 1
    raw[_CC][termios.VTIME] = 0
    return raw


class ForegroundLoan:
    """Lends our place in the foreground of our own terminal to the command's group, when it asks for it.

    A command whose output is a pipe runs beside us in the session. As long as it does not touch the terminal
    we stay in front, so that a pager behind us can read keys; when it prompts for something, it is stopped,
    and then is given the terminal as a shell would give it.
    """

    def __init__(self) -> None:
        try:
            self._tty = above_standard(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY))
        except OSError:
            self._tty = -1

    @property
    def has_terminal(self) -> bool:
        """Whether this session has a terminal at all."""
        return self._tty >= 0

    def lend(self, group: int) -> bool:
        """Puts `group` into the foreground, where we are there now; whether that was done."""
        try:
            if os.tcgetpgrp(self._tty) != os.getpgrp():
                return False
            os.tcsetpgrp(self._tty, group)
        except OSError:
            return False
        return True

    def take_back(self, group: int) -> None:
        """Puts us back where `group` is in the foreground."""
        try:
            if os.tcgetpgrp(self._tty) == group:
                with_background_rights(lambda: os.tcsetpgrp(self._tty, os.getpgrp()))
        except OSError:
            pass

    def close(self) -> None:
        if self._tty >= 0:
            os.close(self._tty)


def with_background_rights(change: Any) -> None:
    """Calls `change` so that the terminal does not stop us for not being in the foreground."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    try:
        change()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
