"""Commands run from other threads than the main one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from capture_support import quickest, wait_until

from tallystick.capture.inbox import RunControl
from tallystick.capture.process import run_process


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Starts `function` in a thread; calling what is returned waits and gives what it returned."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(timeout=30)
        assert results, "the thread has not ended, or raised"
        return results[0]

    return result


def quiet(argv: list[str] | str, **options: Any) -> Any:
    return run_process(argv, **{"stdin": None, "stdout_fd": None, "stderr_fd": None, **options})


def test_many_at_once_do_not_mix() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]

    def run(n: int) -> Any:
        return in_thread(lambda: quiet(f"head -c {n * 100_000} /dev/zero | tr '\\0' {n}; exit {n}"))

    waiting = [run(n) for n in range(1, 9)]
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]
    assert after == before
    for n, result in enumerate(waiting, 1):
        finished = result()
        assert finished.exit_code == n
        assert finished.output.kept() == str(n).encode() * (n * 100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="counts /proc/self/fd")
def test_nothing_is_left_open() -> None:
    quiet("true")
    time.sleep(0.1)
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        quiet("true", timeout=5)
        in_thread(lambda: quiet(["no-such-program"]))()
    wait_until(lambda: sorted(os.listdir("/proc/self/fd")) == before)


def test_the_command_cannot_prompt_on_the_terminal() -> None:
    finished = in_thread(lambda: quiet("test $$ = $(ps -o sid= -p $$) && ! true </dev/tty"))()
    assert finished.exit_code == 0


def test_terminate_ends_the_group() -> None:
    control = RunControl()
    started = threading.Event()
    result = in_thread(
        lambda: quiet("trap '' TERM; echo; sleep 60 & wait", control=control, on_output=lambda _: started.set())
    )
    assert started.wait(20)
    begin = time.monotonic()
    control.terminate()
    finished = result()
    assert (finished.signal, finished.exit_code) == (signal.SIGKILL, 137)
    assert 1.5 < time.monotonic() - begin < 20


def test_terminating_twice_is_at_once() -> None:
    def took() -> float:
        control = RunControl()
        started = threading.Event()
        result = in_thread(
            lambda: quiet(
                "trap '' TERM; echo; while :; do sleep 1; done", control=control, on_output=lambda _: started.set()
            )
        )
        assert started.wait(20)
        begin = time.monotonic()
        control.terminate()
        control.terminate()
        assert result().signal == signal.SIGKILL
        return time.monotonic() - begin

    assert quickest(took, below=1.5)


def test_a_request_before_the_beginning_is_kept_and_one_after_the_end_does_nothing() -> None:
    control = RunControl()
    control.terminate()
    finished = in_thread(lambda: quiet("sleep 60", control=control))()
    assert finished.signal == signal.SIGTERM
    control.terminate()
    control.send_signal(signal.SIGINT)


def test_a_signal_can_be_passed_on() -> None:
    control = RunControl()
    started = threading.Event()
    command = "trap 'exit 9' INT; echo; while :; do sleep 0.05; done"
    result = in_thread(lambda: quiet(command, control=control, on_output=lambda _: started.set()))
    assert started.wait(20)
    control.send_signal(signal.SIGINT)
    finished = result()
    assert (finished.exit_code, finished.forwarded) == (9, signal.SIGINT)
