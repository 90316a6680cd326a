"""Commands run by somebody at a terminal, through a real pseudo-terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from capture_support import Typist, driver_argv, is_alive, quickest, told, wait_until

from tallystick.capture.terminal import NewlineRestorer

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
Sit = Callable[..., Typist]


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


@pytest.fixture
def sit(result: Path) -> Iterator[Sit]:
    """Sits down at a terminal where the driver runs a command; gets up at the end of the test."""
    typists: list[Typist] = []

    def sit_down(argv: Sequence[str] | str, *, terminal: Any = None, **options: Any) -> Typist:
        typist = Typist(driver_argv(result, argv, **options), **(terminal or {}))
        typists.append(typist)
        return typist

    yield sit_down
    for typist in typists:
        typist.__exit__()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# What it looks like from inside


def test_all_three_streams_are_a_terminal(sit: Sit, result: Path) -> None:
    terminal = sit("test -t 0 && test -t 1 && test -t 2 && echo yes >/dev/tty; exit 3")
    assert terminal.wait() == 3
    assert terminal.seen == b"yes\r\n"
    assert (told(result).exit_code, told(result).output) == (3, "yes\n")


def test_the_command_leads_the_foreground(sit: Sit) -> None:
    code = "import os; assert os.tcgetpgrp(0) == os.getpgrp() == os.getpid(); assert os.getsid(0) != os.getpid()"
    assert sit(python(code)).wait() == 0


def test_modes_and_size_are_the_callers(sit: Sit, result: Path) -> None:
    terminal = sit("stty -a; stty size", terminal={"size": (33, 111)})
    terminal.wait()
    assert "rows 33; columns 111" in told(result).output
    assert told(result).output.endswith("33 111\n")
    for mode in (" icanon ", " echo ", " isig ", " onlcr "):
        assert mode in told(result).output.replace("\n", " ")


def test_a_new_size_reaches_the_command(sit: Sit) -> None:
    terminal = sit("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done")
    terminal.expect(b"ready\r\n")
    terminal.resize(50, 132)
    terminal.expect(b"50 132\r\n")
    assert terminal.wait() == 0


def test_order_is_exact(sit: Sit, result: Path) -> None:
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    terminal = sit(python(code))
    assert terminal.wait() == 0
    assert terminal.seen.decode() == "".join(f"{n}\r\n" for n in range(2000))
    assert told(result).output == "".join(f"{n}\n" for n in range(2000))


def test_what_is_kept_is_what_was_written(sit: Sit, result: Path) -> None:
    written = b"a\r\nb\n\r\r\n\n\rc\r" + bytes(range(256))
    code = f"import os, time\nfor b in {written!r}: os.write(1, bytes((b,)))\nos.write(2, b'\\r')"
    terminal = sit(python(code))
    assert terminal.wait() == 0
    assert told(result).output.encode("latin-1") == written + b"\r"
    assert terminal.seen == written.replace(b"\n", b"\r\n") + b"\r"


def test_what_a_raw_program_writes_is_left_alone(sit: Sit, result: Path) -> None:
    written = b"1\r\n2\n3\r\n"
    terminal = sit(python(f"import os, tty; tty.setraw(0); os.write(1, {written!r}); tty.setcbreak(0)"))
    assert terminal.wait() == 0
    assert terminal.seen == written
    assert told(result).output.encode() == written


def test_newlines_are_restored_across_pieces() -> None:
    restorer = NewlineRestorer()
    kept = [restorer.feed(piece, mapped=True) for piece in (b"a\r", b"\nb\r", b"\r", b"\n", b"\r")]
    assert b"".join([*kept, restorer.finish()]) == b"a\nb\r\n\r"
    assert restorer.feed(b"\r", mapped=True) + restorer.feed(b"\n", mapped=False) == b"\r\n"


def test_megabytes_pass(sit: Sit, result: Path) -> None:
    terminal = sit(["head", "-c", "3000000", "/dev/zero"])
    assert terminal.wait() == 0
    assert (len(terminal.seen), told(result).size) == (3_000_000, 3_000_000)


# What is typed


def test_keys_reach_the_command_and_are_echoed_once(sit: Sit, result: Path) -> None:
    terminal = sit(["sh", "-c", "echo ready; read word; echo got $word"])
    terminal.expect(b"ready\r\n")
    assert not terminal.is_cooked
    terminal.type(b"hellp\x7fo\r")
    terminal.expect(b"got hello\r\n")
    assert terminal.wait() == 0
    assert terminal.seen.count(b"hellp\x08 \x08o\r\n") == 1
    assert told(result).output == "ready\nhellp\x08 \x08o\ngot hello\n"


def test_what_is_not_echoed_is_not_kept(sit: Sit, result: Path) -> None:
    terminal = sit("stty -echo; echo Password:; read word; stty echo; test $word = herring")
    terminal.expect(b"Password:\r\n")
    terminal.type(b"herring\r")
    assert terminal.wait() == 0
    assert b"herring" not in terminal.seen
    assert "herring" not in told(result).output


def test_the_end_of_input_is_a_key(sit: Sit) -> None:
    terminal = sit("echo ready; cat; echo end")
    terminal.expect(b"ready\r\n")
    terminal.type(b"line\r\x04")
    terminal.expect(b"end\r\n")
    assert terminal.wait() == 0


def test_a_long_paste_arrives_whole(sit: Sit) -> None:
    code = (
        "import os, time, tty; tty.setraw(0); os.write(1, b'ready'); time.sleep(0.5); got = 0\n"
        "while got < 200_000: got += len(os.read(0, 4096).replace(b'x', b''))\nprint(got)"
    )
    terminal = sit(python(code))
    terminal.expect(b"ready")
    terminal.type(b"0123456789" * 20_000)
    terminal.expect(b"200000")
    assert terminal.wait() == 0


@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_keys_that_send_signals(sit: Sit, result: Path, key: bytes, number: int) -> None:
    terminal = sit("echo ready; exec sleep 60")
    terminal.expect(b"ready\r\n")
    terminal.type(key)
    assert terminal.wait() == 128 + number
    assert told(result).signal == number
    assert (b"^C" in terminal.seen) == (number == signal.SIGINT)


def test_an_interrupt_can_be_caught_any_number_of_times(sit: Sit) -> None:
    code = (
        "import signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "print('ready', flush=True)\n"
        "for _ in range(3): signal.sigwait([signal.SIGINT]); print('caught', flush=True)\n"
        "for line in sys.stdin: print(line, end='', flush=True)"
    )
    terminal = sit(python(code))
    terminal.expect(b"ready\r\n")
    for _ in range(3):
        terminal.type(b"\x03")
        terminal.expect(b"caught\r\n")
    terminal.type(b"on\r")
    terminal.expect(b"on\r\non\r\n")
    terminal.type(b"\x04")
    assert terminal.wait() == 0


# Redirections


def test_standard_error_can_go_elsewhere(sit: Sit, result: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    terminal = sit(
        "test -t 1 && ! test -t 2 && echo out; echo err >&2",
        terminal={"redirect": {2: (errors, os.O_WRONLY | os.O_CREAT)}},
    )
    assert terminal.wait() == 0
    assert (terminal.seen, errors.read_bytes()) == (b"out\r\n", b"err\n")
    assert sorted(told(result).output.split()) == ["err", "out"]


def test_input_from_a_pipe_with_output_on_the_terminal(sit: Sit, result: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("given\n")
    terminal = sit(
        "test -t 1 && test -t 2 && ! test -t 0 && cat; stty size <&1; echo key? >&2; read key </dev/tty; echo $key",
        terminal={"redirect": {0: (given, os.O_RDONLY)}, "size": (30, 90)},
    )
    terminal.expect(b"given\r\n30 90\r\nkey?\r\n")
    assert terminal.is_cooked, "the terminal is left to who uses it"
    terminal.type(b"yes\r")
    terminal.expect(b"yes\r\nyes\r\n")
    assert terminal.wait() == 0
    assert told(result).output == "given\n30 90\nkey?\nyes\n"


def test_a_command_with_its_output_in_a_file_can_ask_on_the_terminal(sit: Sit, result: Path, tmp_path: Path) -> None:
    terminal = sit(
        "echo out; printf 'name? ' >/dev/tty; read name </dev/tty; echo $name; read more; echo $more",
        terminal={"redirect": {1: (tmp_path / "out", os.O_WRONLY | os.O_CREAT)}},
    )
    terminal.expect(b"name? ")
    terminal.type(b"Ada\r")
    terminal.type(b"Lovelace\r")
    assert terminal.wait() == 0
    assert (tmp_path / "out").read_text() == told(result).output == "out\nAda\nLovelace\n"


def test_interrupting_a_command_with_its_output_in_a_file(sit: Sit, result: Path, tmp_path: Path) -> None:
    terminal = sit(
        "trap 'exit 5' INT; echo ready >/dev/tty; while :; do sleep 0.05; done",
        terminal={"redirect": {1: (tmp_path / "out", os.O_WRONLY | os.O_CREAT)}},
    )
    terminal.expect(b"ready\r\n")
    terminal.type(b"\x03")
    assert terminal.wait() == 5
    assert told(result).forwarded == signal.SIGINT


# The terminal afterwards


@pytest.mark.parametrize(
    ("command", "options", "exit_code"),
    [
        ("exit 1", {}, 1),
        ("stty raw -echo; exit 2", {}, 2),
        ("kill -9 $$", {}, 137),
        ("sleep 60", {"timeout": 0.3}, 124),
        ("trap '' TERM HUP; while :; do sleep 1; done", {"timeout": 0.3}, 124),
        (["./no-such-program"], {}, 127),
        (["/dev/null"], {}, 126),
        ("exec sleep 60 >/dev/null", {"timeout": 0.2, "cwd": "/"}, 124),
    ],
)
def test_the_terminal_is_as_it_was(
    sit: Sit, result: Path, command: Any, options: dict[str, Any], exit_code: int
) -> None:
    terminal = sit(command, **options)
    # The modes are compared when the driver has written its result, and while it still has the terminal.
    before = terminal.modes()
    assert terminal.wait() == exit_code
    assert told(result).exit_code == exit_code
    assert terminal.modes() == before
    assert terminal.is_cooked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_as_it_was_after_a_signal_to_us(sit: Sit, result: Path, number: int) -> None:
    terminal = sit("echo ready; exec sleep 60")
    terminal.expect(b"ready\r\n")
    assert not terminal.is_cooked
    terminal.kill(number)
    assert terminal.wait() == 128 + number
    assert told(result).forwarded == number
    assert terminal.is_cooked


@linux
def test_even_kill_9_leaves_a_usable_terminal_and_no_command(tmp_path: Path, result: Path) -> None:
    argv = driver_argv(result, "echo pid $$; exec sleep 60")
    with Typist(["/bin/sh", "-c", '"$@"; echo code $?; read rest', "sh", *argv]) as shell:
        shell.expect(b"pid ")
        shell.expect(b"\r\n")
        command = int(shell.seen.split()[1])
        driver = int(Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text())
        assert not shell.is_cooked
        os.kill(driver, signal.SIGKILL)
        shell.expect(b"code 137")
        wait_until(lambda: not is_alive(command), "the command lives on")
        wait_until(lambda: shell.is_cooked, "the terminal is still raw")


def test_a_closed_window_hangs_the_command_up(sit: Sit, result: Path) -> None:
    terminal = sit("trap 'exit 6' HUP; echo ready; while :; do sleep 0.05; done")
    terminal.expect(b"ready\r\n")
    terminal.hang_up()
    assert (told(result).exit_code, told(result).forwarded) == (6, signal.SIGHUP)


# Background processes


def test_a_background_process_is_left_alone(sit: Sit, result: Path) -> None:
    begin = time.monotonic()
    terminal = sit("sleep 60 & echo $!; exit 3")
    assert terminal.wait() == 3
    assert 1.9 < time.monotonic() - begin < 20
    assert told(result).duration_ms < 1500
    background = int(terminal.seen)
    assert is_alive(background)
    os.kill(background, signal.SIGKILL)


def test_a_background_process_that_holds_nothing_costs_nothing(sit: Sit) -> None:
    def took() -> float:
        begin = time.monotonic()
        terminal = sit("sleep 60 </dev/null >/dev/null 2>&1 & echo $!")
        assert terminal.wait() == 0
        took = time.monotonic() - begin
        background = int(terminal.seen)
        assert is_alive(background)
        os.kill(background, signal.SIGKILL)
        return took

    assert quickest(took, below=1.5)


def test_a_time_limit_ends_a_shells_jobs_too(sit: Sit, result: Path) -> None:
    terminal = sit(["sh", "-im"], timeout=1.5, terminal={"env": {"PS1": "% ", "ENV": ""}})
    terminal.expect(b"% ")
    terminal.type(b"sh -c 'echo job $$; exec sleep 60'\r")
    terminal.expect(b"job ")
    terminal.expect(b"job ")
    terminal.expect(b"\r\n")
    job = int(terminal.seen.rsplit(b"job ", 1)[1].split()[0])
    assert terminal.wait() == 124
    wait_until(lambda: not is_alive(job), "the job lives on")


# Job control: a real shell, in which the driver is a job


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Typist]:
    with Typist(["/bin/sh", "-im"], cwd=tmp_path, env={"PS1": "% ", "ENV": ""}) as typist:
        typist.expect(b"% ")
        yield typist


def job(result: Path, command: str, then: str = "") -> bytes:
    script = result.with_name("job.sh")
    words = " ".join(f"'{word}'" for word in driver_argv(result, "PLACE"))
    quoted = command.replace("\\", "\\\\").replace('"', '\\"').replace("'", "'\\''")
    script.write_text(f"exec {words.replace('PLACE', quoted)}\n")
    return f"sh job.sh {then}\r".encode()


# Not a shell's loop: one that is stopped while it starts a program by vfork never reports that it was stopped.
COUNTER = """\
import os, sys, time
os.write(1, b"ready\\n"); os.write(2, b"ready\\n")
for _ in range(60):
    time.sleep(0.05)
    if os.path.exists("go"): sys.exit(4)
sys.exit(9)
"""


@pytest.mark.parametrize("then", ["", "| cat", "2>&1 >out | cat"])
def test_suspended_and_continued(shell: Typist, result: Path, tmp_path: Path, then: str) -> None:
    (tmp_path / "counter.py").write_text(COUNTER)
    shell.type(job(result, f"exec {sys.executable} counter.py", then))
    shell.expect(b"ready\r\n")
    shell.type(b"\x1a")
    shell.expect(b"topped")
    shell.expect(b"% ")
    assert shell.is_cooked
    shell.type(b"echo in the $((1 + 1))nd shell\r")
    shell.expect(b"in the 2nd shell\r\n")
    time.sleep(0.3)
    assert not result.exists()
    (tmp_path / "go").touch()
    time.sleep(0.5)
    assert not result.exists(), "it goes on although it was suspended"
    shell.type(b"fg\r")
    assert told(result).exit_code == 4
    shell.expect(b"% ")
    assert shell.is_cooked


def test_suspended_continued_in_the_background_and_brought_back(shell: Typist, result: Path) -> None:
    shell.type(job(result, "echo ready; read word; echo got $word"))
    shell.expect(b"ready\r\n")
    shell.type(b"\x1a")
    shell.expect(b"% ")
    shell.type(b"bg\r")
    shell.expect(b"% ")
    shell.type(b"echo still the $((1 + 1))nd shell\r")
    shell.expect(b"still the 2nd shell\r\n")
    shell.type(b"fg\r")
    shell.expect(b"job.sh")
    wait_until(lambda: not shell.is_cooked, "it does not take the terminal again")
    shell.type(b"word\r")
    shell.expect(b"got word\r\n")
    shell.expect(b"% ")
    assert told(result).exit_code == 0
    assert shell.is_cooked


def test_started_in_the_background_it_leaves_the_terminal_alone(shell: Typist, result: Path) -> None:
    shell.type(job(result, "echo started; read word; echo got $word", "&"))
    shell.expect(b"started\r")
    assert shell.is_cooked or b"% " in shell.seen
    shell.type(b"echo the $((1 + 1))nd shell\r")
    shell.expect(b"the 2nd shell\r\n")
    shell.type(b"fg\r")
    shell.expect(b"job.sh")
    wait_until(lambda: not shell.is_cooked, "it does not take the terminal")
    shell.type(b"word\r")
    shell.expect(b"got word\r\n")
    assert told(result).exit_code == 0


def test_a_closed_window_hangs_up_what_runs_in_the_background(shell: Typist, result: Path) -> None:
    shell.type(job(result, "echo started; read word; echo got $word", "&"))
    shell.expect(b"started\r")
    shell.kill(signal.SIGKILL)
    shell.wait()
    shell.hang_up()
    assert told(result).exit_code == 129


def test_a_program_that_cleans_up_before_it_suspends(shell: Typist, result: Path) -> None:
    """As editors and pagers do: raw keys, a handler or a key of their own, then SIGTSTP to their group."""
    code = (
        "import os, signal, sys, tty\n"
        "tty.setraw(0); os.write(1, b'editing')\n"
        "while (key := os.read(0, 1)) != b'q':\n"
        "    if key == b'\\x1a':\n"
        "        os.write(1, b'leaving'); os.kill(0, signal.SIGTSTP); os.write(1, b'back')\n"
    )
    (result.parent / "editor.py").write_text(code)
    shell.type(job(result, f"{sys.executable} editor.py"))
    shell.expect(b"editing")
    shell.type(b"\x1a")
    shell.expect(b"leaving")
    shell.expect(b"topped")
    shell.expect(b"% ")
    assert shell.is_cooked
    shell.type(b"fg\r")
    shell.expect(b"back")
    shell.type(b"q")
    assert told(result).exit_code == 0
    shell.expect(b"% ")


def test_where_nobody_could_continue_it_it_is_not_suspended(sit: Sit) -> None:
    terminal = sit(python("import time; print('ready', flush=True); time.sleep(0.5); print('done')"))
    terminal.expect(b"ready\r\n")
    terminal.type(b"\x1a")
    terminal.expect(b"done\r\n")
    assert terminal.wait() == 0


def test_without_pseudo_terminals_there_are_pipes(tmp_path: Path, result: Path) -> None:
    code = (
        "import os, sys\n"
        "def none(): raise OSError(28, 'No space left on device')\n"
        "os.openpty = none\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import capture_driver; sys.exit(capture_driver.main(*sys.argv[1:]))"
    )
    argv = driver_argv(result, "test -t 1 || echo pipe")
    with Typist([sys.executable, "-c", code, *argv[2:]]) as terminal:
        assert terminal.wait() == 0
        assert terminal.seen == b"pipe\r\n"


def test_the_session_leader_holds_nothing_of_ours(sit: Sit, result: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("reads /proc")
    code = "import os; print(*os.listdir('/proc/self/fd')); print(*os.listdir(f'/proc/{os.getppid()}/fd'))"
    assert sit(python(code)).wait() == 0
    command, leader = told(result).output.splitlines()
    assert sorted(command.split()) == ["0", "1", "2", "3"]
    assert len(leader.split()) == 4  # the caller's terminal, the command's, and two pipes to us


def test_a_program_without_a_terminal_is_not_given_one(result: Path) -> None:
    done = subprocess.run(
        driver_argv(result, "test -t 1 || test -t 0 || echo none"), capture_output=True, start_new_session=True
    )
    assert done.stdout == b"none\n"
