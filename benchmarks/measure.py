"""Measuring ratios on machines that are shared and noisy: interleaved, medians, named peers in the same run."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tallystick import Entry, Ledger


@dataclass
class Figure:
    """One row of the table."""

    what: str
    ratio: float
    target: str
    """What is asked of the ratio: `>= 0.70`, `<= 6`; empty for a peer that is only shown."""
    detail: str = ""
    rounds: list[float] = field(default_factory=list)

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if not self.target:
            return None
        sign, number = self.target.split()
        return self.ratio >= float(number) if sign == ">=" else self.ratio <= float(number)


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(one: Callable[[], object], other: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Seconds of both, in turn, so that a machine that slows down slows both."""
    return [(timed(one), timed(other)) for _ in range(rounds)]


def ratios(pairs: list[tuple[float, float]]) -> list[float]:
    """The first over the second, pair by pair."""
    return [one / other for one, other in pairs]


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def entry(number: int) -> Entry:
    """An entry such as CI records: a result with a reason, a command and a little output."""
    return Entry(
        type="criterion",
        criterion_id=f"ac{number % 50}",
        phase_id=f"phase{number % 5}",
        status="fail" if number % 7 == 0 else "pass",
        reason="exit code was 0",
        command="python3 -m pytest -q tests/test_x.py",
        exit_code=number % 2,
        output="....................\n20 passed in 0.31s\n",
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder on the disk that the measurements are about (`BENCH_DIR`, else the temporary folder)."""
    with TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        before = Path.cwd()
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


_kept: dict[str, TemporaryDirectory[str]] = {}


def _made_once(name: str, make: Callable[[Ledger], None]) -> str:
    """The path of a ledger that takes long to make; several sections of one run use it, one after the other."""
    if name not in _kept:
        _kept[name] = TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))
        with Ledger.open(str(Path(_kept[name].name) / "ledger.db")) as ledger:
            make(ledger)
    return str(Path(_kept[name].name) / "ledger.db")


def long_session(total: int) -> str:
    """A ledger whose task `big` has at least so many entries."""

    def make(ledger: Ledger) -> None:
        for start in range(0, total, 10_000):
            ledger.append("big", [entry(n) for n in range(start, min(start + 10_000, total))])

    return _made_once(f"one of {total}", make)


def many_tasks(total: int, entries: int = 1) -> str:
    """A ledger with tasks `task0` and so on, each with at least so many entries."""
    return _made_once(f"{total} of {entries}", lambda ledger: _make_tasks(ledger, total, entries))


def _make_tasks(ledger: Ledger, tasks: int, entries: int) -> None:
    """Tasks by threads, so that they share commits."""

    def work(share: range) -> None:
        for number in share:
            ledger.append(f"task{number}", [entry(number + n) for n in range(entries)])

    threads = [threading.Thread(target=work, args=(range(k, tasks, 64),)) for k in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class BareAppends:
    """The peer of a durable append: write as many bytes to a file and fdatasync it."""

    LINE = b"x" * 380 + b"\n"

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, count: int) -> None:
        for _ in range(count):
            os.write(self._file, self.LINE)
            os.fdatasync(self._file)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def git(*arguments: str, cwd: Path) -> str:
    """What git prints."""
    names = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    done = subprocess.run(["git", *names, *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


def command_seconds(argv: list[str], cwd: Path, env: dict[str, str] | None = None) -> float:
    """Wall seconds of a whole process, output thrown away."""
    merged = {**os.environ, **(env or {})}
    return timed(lambda: subprocess.run(argv, cwd=cwd, env=merged, capture_output=True, check=False))


def process_seconds(argv: list[str], cwd: Path, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Wall and processor seconds of a whole process and of all that it waited for, output thrown away.

    Raises CalledProcessError where it failed: a command that does not work is quick.
    """
    merged = {**os.environ, **(env or {})}
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=cwd, env=merged, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return wall, usage.ru_utime + usage.ru_stime


def notch() -> str:
    """The command of the environment that runs this."""
    return str(Path(sys.executable).with_name("notch"))


def is_installed(command: str) -> bool:
    """Whether the environment that runs this has that command; says so where it has not."""
    there = Path(sys.executable).with_name(command).exists()
    if not there:
        print(f"  {command} is not installed: nothing is compared with it", file=sys.stderr)
    return there


def machine() -> str:
    """What the figures were measured on, in a line."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    python = platform.python_version()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {python}"
