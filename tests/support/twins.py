"""Sequencers in processes of their own: `notch checkpoint --every`, with a key and a memory that they may share."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from support.checkpoints import SignerUnderTest, Witness, all_faults, map_now
from support.command import notch_argv
from tallystick import Ledger
from tallystick.stores.checkpoints import checkpoints, stored


class Twin:
    """`notch checkpoint --every`, and every checkpoint that it said it signed."""

    def __init__(self, url: str, signer: SignerUnderTest, every: str = "0.1s", *options: str) -> None:
        self.process = subprocess.Popen(
            notch_argv("--ledger", url, "checkpoint", "--every", every, "--json", *options),
            env={**os.environ, **signer.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._began = time.monotonic()
        self.notes: list[str] = []
        self.complaints: list[str] = []
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read, self._listen)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.notes.append(json.loads(line)["note"])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.complaints.append(line)

    def catches_signals(self) -> bool:
        """Whether it has come as far as to end on SIGTERM by itself, and has not ended yet."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.parent.parent.joinpath("self").exists():
            return time.monotonic() - self._began > 5  # no system that tells
        (caught,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status.read_text("ascii"), re.MULTILINE)
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def end(self, how: signal.Signals) -> int:
        """Send the signal; the exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once it has ended and all that it said is here."""
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(10)
        return code


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Until it holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def require_one_log(ledger: Ledger, said: Iterable[str]) -> int:
    """The log's size, once every note in it and every note that was said are known to be of one history."""
    log, witness = ledger.store.log, Witness()
    for one in checkpoints(log):
        witness.see(one.note)
    kept = set(witness.seen)
    for note in said:
        witness.see(note)
    assert set(witness.seen) == kept
    assert [size for _, size in sorted(kept)] == list(range(1, log.size() + 1))
    assert all_faults(ledger) == []
    return log.size()


def storm(
    ledger: Ledger,
    start: Callable[[], Twin],
    append: Callable[[random.Random], object],
    between: Callable[[], object],
    *,
    seconds: float,
) -> list[Twin]:
    """Three twins at once while heads move; one after another is killed at random, and another takes its place.

    All of them, those that live on ended by SIGTERM, once two have signed and the log was signed after the last of it.
    """
    seed = random.randrange(1 << 20)
    chance = random.Random(seed)
    print(f"seed {seed}")
    running = [start() for _ in range(3)]
    ended: list[Twin] = []
    wait_until(lambda: any(one.notes for one in running))
    end = time.monotonic() + seconds

    def two_signed() -> bool:
        return sum(bool(one.notes) for one in ended + running) > 1

    while time.monotonic() < end or (not two_signed() and time.monotonic() < end + 60):
        append(chance)
        between()
        if chance.random() < 0.08:
            victim = running.pop(chance.randrange(3))
            victim.end(signal.SIGKILL)
            ended.append(victim)
            running.append(start())
        time.sleep(0.02)

    def signed() -> bool:
        between()
        log = ledger.store.log
        return log.size() > 0 and stored_heads(ledger) == map_now(ledger)

    wait_until(signed)
    for one in running:
        wait_until(one.catches_signals)
    assert [one.end(signal.SIGTERM) for one in running] == [0, 0, 0]
    return ended + running


def stored_heads(ledger: Ledger) -> tuple[int, bytes]:
    """(tasks, root) of the head map that the newest checkpoint is about."""
    log = ledger.store.log
    statement = stored(log, log.size()).statement()
    return statement.tasks, statement.heads
