"""Commands run through pipes: what comes out, how they end, what is kept."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from capture_support import PATIENCE, driver_argv, is_alive, quickest, told, wait_until

from tallystick.capture.process import run_process
from tallystick.errors import InputError

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def quiet(argv: Sequence[str] | str, **options: Any) -> Any:
    """The command run in this process, with nothing passed on."""
    return run_process(argv, **{"stdin": None, "stdout_fd": None, "stderr_fd": None, **options})


def drive(tmp_path: Path, argv: Sequence[str] | str, *, popen: Any = None, **options: Any) -> Any:
    """The command run by the driver in a process of its own: `(CompletedProcess, what the driver told)`."""
    result = tmp_path / "result.json"
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **(popen or {})}
    done = subprocess.run(driver_argv(result, argv, **options), timeout=60, **streams)
    return done, told(result)


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts the driver and returns its Popen; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(argv: Sequence[str] | str, *, popen: Any = None, **options: Any) -> subprocess.Popen[bytes]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            driver_argv(tmp_path / "result.json", argv, **options), **{**streams, **(popen or {})}
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        process.wait()


# How it ends


@pytest.mark.parametrize(
    ("command", "exit_code", "number"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("exit 255", 255, None),
        ("kill -9 $$", 137, 9),
        ("kill -TERM $$", 143, 15),
        ("kill -INT $$", 130, 2),
    ],
)
def test_exit_codes_are_a_shells(command: str, exit_code: int, number: int | None) -> None:
    finished = quiet(command)
    assert (finished.exit_code, finished.signal) == (exit_code, number)
    assert finished.spawned
    assert not finished.timed_out


@pytest.mark.parametrize(
    ("name", "exit_code", "line"),
    [
        ("no-such-program", 127, "notch: no-such-program: command not found\n"),
        ("./missing", 127, "notch: ./missing: No such file or directory\n"),
        ("./plain", 126, "notch: ./plain: Permission denied\n"),
        (".", 127, "notch: .: command not found\n"),
        ("./lost", 126, "notch: ./lost: bad interpreter: No such file or directory\n"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(tmp_path: Path, name: str, exit_code: int, line: str) -> None:
    (tmp_path / "plain").write_text("exit 0\n")
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    (tmp_path / "lost").chmod(0o755)
    for cwd in (None, str(tmp_path)):
        popen = {"cwd": tmp_path if cwd is None else "/"}
        done, finished = drive(tmp_path, [name], popen=popen, cwd=cwd)
        assert (done.returncode, done.stdout, done.stderr.decode()) == (exit_code, b"", line)
        assert (finished.exit_code, finished.output) == (exit_code, line)
        (tmp_path / "result.json").unlink()


def test_a_script_without_an_interpreter_line_is_the_shells(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 5\n')
    script.chmod(0o755)
    for cwd in (None, str(tmp_path)):
        finished = quiet([str(script), "one two"], cwd=cwd)
        assert (finished.exit_code, finished.output.kept()) == (5, b"one two\n")


@pytest.mark.parametrize("argv", [[], "", ["a\0b"], "echo \0"])
def test_a_command_that_is_none_is_refused(argv: Any) -> None:
    with pytest.raises(InputError):
        quiet(argv)


def test_a_string_goes_through_the_shell_and_a_list_does_not() -> None:
    assert quiet("echo $((1 + 1)) | tr 2 x").output.kept() == b"x\n"
    assert quiet(["echo", "$((1 + 1))", "|", "tr"]).output.kept() == b"$((1 + 1)) | tr\n"


def test_environment_and_directory(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$WORD in $(pwd)"\n')
    tool.chmod(0o755)
    env = {"PATH": f"bin:{os.environ['PATH']}", "WORD": "here"}
    expected = f"here in {tmp_path.resolve()}\n".encode()
    assert quiet(["tool"], cwd=str(tmp_path), env=env).output.kept() == expected
    assert quiet(["bin/tool"], cwd=str(tmp_path), env=env).output.kept() == expected
    assert quiet(["pwd"], cwd=os.curdir).output.kept().decode().strip() == os.path.realpath(os.curdir)


def test_how_long_it_took() -> None:
    before = time.monotonic()
    finished = quiet("sleep 0.3")
    assert 300 <= finished.duration_ms < 300 + (time.monotonic() - before) * 1000
    assert before <= finished.started_at_monotonic <= time.monotonic()


# What comes out


def test_each_stream_goes_to_its_own_and_both_are_kept(tmp_path: Path) -> None:
    done, finished = drive(tmp_path, "echo out; sleep 0.2; echo err >&2; sleep 0.2; echo more")
    assert (done.stdout, done.stderr) == (b"out\nmore\n", b"err\n")
    assert finished.output == "out\nerr\nmore\n"


def test_standard_error_can_be_thrown_away(tmp_path: Path) -> None:
    done, finished = drive(tmp_path, "echo out; echo err >&2", popen={"stderr": subprocess.DEVNULL})
    assert done.stdout == b"out\n"
    assert sorted(finished.output.split()) == ["err", "out"]


def test_order_is_exact_where_both_streams_are_one(tmp_path: Path) -> None:
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    done, finished = drive(tmp_path, [sys.executable, "-c", code], popen={"stderr": subprocess.STDOUT})
    expected = "".join(f"{n}\n" for n in range(2000))
    assert done.stdout.decode() == finished.output == expected


def test_output_is_seen_at_once(start: Any) -> None:
    process = start("echo first; sleep 30")
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    assert readable
    assert os.read(process.stdout.fileno(), 100) == b"first\n"
    assert process.poll() is None


def test_every_byte_comes_through(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 300)
    done, finished = drive(tmp_path, ["cat", str(tmp_path / "bytes")])
    assert done.stdout == finished.output.encode("latin-1") == bytes(range(256)) * 300


def test_100_mb_on_both_streams_at_once(tmp_path: Path) -> None:
    size = 100_000_000
    command = f"head -c {size} /dev/zero & head -c {size} /dev/zero >&2; wait"
    with (tmp_path / "err").open("wb") as err:
        result = tmp_path / "result.json"
        process = subprocess.Popen(
            driver_argv(result, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err
        )
        assert process.stdout
        counted = 0
        while chunk := process.stdout.read(1 << 20):
            counted += len(chunk)
        assert process.wait(timeout=60) == 0
        process.stdout.close()
    assert counted == (tmp_path / "err").stat().st_size == size
    assert told(result).size == 2 * size
    assert told(result).kept == 64 << 20


def test_a_reader_that_goes_away_does_not_end_the_run(start: Any, tmp_path: Path) -> None:
    process = start("head -c 1000000 /dev/zero; echo done >&2; exit 4")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=PATIENCE) == 4
    finished = told(tmp_path / "result.json")
    assert (finished.size, finished.undelivered) == (1_000_005, None)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_could_not_be_delivered_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done, finished = drive(tmp_path, "echo out; exit 3", popen={"stdout": full})
    assert (done.returncode, finished.output, finished.undelivered) == (3, "out\n", 28)


def test_a_slow_reader_loses_nothing(start: Any, tmp_path: Path) -> None:
    process = start("head -c 350000 /dev/zero; exit 6")
    time.sleep(3)  # longer than reading goes on after the command's end
    delivered = len(process.stdout.read())
    assert process.wait(timeout=PATIENCE) == 6
    assert delivered == told(tmp_path / "result.json").size == 350_000


def test_a_reader_that_never_reads_does_not_stop_the_clock(start: Any, tmp_path: Path) -> None:
    begin = time.monotonic()
    process = start("yes", timeout=0.5)
    assert process.wait(timeout=PATIENCE) == 124
    assert time.monotonic() - begin < PATIENCE
    assert told(tmp_path / "result.json").size < 4 << 20


def test_a_callers_stream_that_does_not_block(start: Any, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    process = start("head -c 1000000 /dev/zero", popen={"stdout": write_end})
    os.close(write_end)
    time.sleep(0.5)
    with open(read_end, "rb") as reader:
        assert len(reader.read()) == 1_000_000
    assert process.wait(timeout=PATIENCE) == 0
    assert told(tmp_path / "result.json").size == 1_000_000


def test_what_is_kept_passes_a_filter_and_a_listener() -> None:
    class Upper:
        def __init__(self) -> None:
            self.held = b""

        def feed(self, data: bytes) -> bytes:
            data, self.held = self.held + data[:-1], data[-1:]
            return data.upper()

        def finish(self) -> bytes:
            return self.held + b"|end"

    heard: list[bytes] = []
    finished = quiet("echo one; sleep 0.1; echo two", kept_through=Upper(), on_output=heard.append)
    assert finished.output.kept() == b"".join(heard) == b"ONE\nTWO\n|end"
    assert len(heard) > 1


@linux
def test_a_listener_that_fails_ends_the_command() -> None:
    pids: list[int] = []

    def fail(data: bytes) -> None:
        pids.append(int(data))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        quiet("echo $$; exec sleep 60", on_output=fail)
    assert not is_alive(pids[0])
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)


# What goes in


def test_standard_input_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("given\n")
    with (tmp_path / "in").open() as given:
        done, _ = drive(tmp_path, ["cat"], popen={"stdin": given})
    assert done.stdout == b"given\n"


def test_input_that_nobody_reads_is_left_to_the_caller(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("first\nsecond\n")
    with (tmp_path / "in").open() as given:
        drive(tmp_path, ["true"], popen={"stdin": given})
        assert os.read(given.fileno(), 100) == b"first\nsecond\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    result = tmp_path / "result.json"
    argv = driver_argv(result, "cat; echo out; echo err >&2; exit 3")
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
    )
    finished = told(result)
    assert (done.returncode, sorted(finished.output.split())) == (3, ["err", "out"])
    assert done.stdout == (b"" if ">&-" in closed.split() else b"out\n")
    assert done.stderr == (b"" if "2>&-" in closed.split() else b"err\n")


@linux
def test_the_command_inherits_what_the_caller_gave_and_nothing_of_ours(tmp_path: Path) -> None:
    for cwd in (None, str(tmp_path)):
        done, _ = drive(tmp_path, ["ls", "/proc/self/fd"], cwd=cwd)
        assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # 3 is ls's own
        (tmp_path / "result.json").unlink()
    read_end, write_end = os.pipe()
    code = f"import os; os.write({write_end}, b'jobserver')"
    drive(tmp_path, [sys.executable, "-c", code], popen={"pass_fds": [write_end]})
    os.close(write_end)
    assert os.read(read_end, 100) == b"jobserver"
    os.close(read_end)


@linux
def test_the_command_has_the_signals_that_a_shell_gives(tmp_path: Path) -> None:
    for cwd in (None, str(tmp_path)):
        done, _ = drive(tmp_path, ["grep", "SigIgn", "/proc/self/status"], cwd=cwd)
        internal = 0b11 << 31  # 32 and 33 are the C library's own, and not for programs to see
        assert int(done.stdout.split()[1], 16) & ~internal == 0
        (tmp_path / "result.json").unlink()


def test_nohup_is_kept(tmp_path: Path) -> None:
    argv = driver_argv(tmp_path / "result.json", "kill -HUP $$; echo alive")
    done = subprocess.run(["nohup", *argv], capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.stdout == b"alive\n"


def test_a_caller_that_ignores_its_children_still_learns_how_they_end(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    argv = driver_argv(result, "trap; exit 7")
    done = subprocess.run(["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh", *argv], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 7


# Time and signals


def test_a_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; echo $$ >>{pids}; while :; do sleep 0.1; done"
    command = f'sh -c "{stubborn}" & echo $! ; sleep 60'.replace("$$", "\\$\\$")
    begin = time.monotonic()
    finished = quiet(command, timeout=0.5)
    took = time.monotonic() - begin
    assert (finished.exit_code, finished.timed_out, finished.signal) == (124, True, signal.SIGTERM)
    assert 2.4 < took < 20
    assert finished.duration_ms < 2000, "the command itself ended on the first signal"
    wait_until(lambda: not is_alive(int(finished.output.kept())), "a member of the group lives on")


def test_a_time_limit_is_not_made_longer_by_a_command_that_ends_politely() -> None:
    def took() -> float:
        begin = time.monotonic()
        finished = quiet("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", timeout=0.5)
        assert (finished.exit_code, finished.timed_out, finished.signal) == (124, True, None)
        assert finished.output.kept().endswith(b"bye\n")
        return time.monotonic() - begin

    assert quickest(took, below=1.5)


def test_a_command_that_ignores_everything_is_killed() -> None:
    finished = quiet("trap '' TERM INT HUP; while :; do sleep 0.1; done", timeout=0.2)
    assert (finished.exit_code, finished.signal) == (124, signal.SIGKILL)


def test_a_stopped_command_is_ended_too() -> None:
    finished = quiet("kill -STOP $$", timeout=0.3)
    assert (finished.exit_code, finished.signal) == (124, signal.SIGTERM)
    assert finished.duration_ms < 1500


def test_a_background_process_is_left_alone(tmp_path: Path) -> None:
    begin = time.monotonic()
    done, finished = drive(tmp_path, "sleep 60 & echo $!; exit 3")
    took = time.monotonic() - begin
    assert (done.returncode, 1.9 < took < 20) == (3, True), took
    assert finished.duration_ms < 1500
    background = int(done.stdout)
    assert is_alive(background)
    os.kill(background, signal.SIGKILL)


def test_a_background_process_that_holds_nothing_costs_nothing(tmp_path: Path) -> None:
    def took() -> float:
        begin = time.monotonic()
        done, _ = drive(tmp_path, "sleep 60 >/dev/null 2>&1 & echo $!")
        os.kill(int(done.stdout), signal.SIGKILL)
        return time.monotonic() - begin

    assert quickest(took, below=1.5)


def test_waiting_costs_no_time(tmp_path: Path) -> None:
    _, idle = drive(tmp_path, ["true"])
    (tmp_path / "result.json").unlink()
    _, finished = drive(tmp_path, "sleep 1; sleep 60 & sleep 0.5; kill $!; sleep 0.5")
    assert finished.cpu < idle.cpu + 0.1


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1"])
def test_signals_to_us_are_passed_on_to_the_group(start: Any, tmp_path: Path, name: str) -> None:
    inner = f"trap 'echo inner; exit' {name}; echo ready; while :; do sleep 0.05; done"
    process = start(f"trap 'exit 7' {name}; (trap - {name}; sh -c \"{inner}\"); sleep 1; exit 8")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(timeout=PATIENCE) == 7
    assert process.stdout.read() == b"inner\n"
    forwarded = None if name == "USR1" else getattr(signal, f"SIG{name}")
    assert told(tmp_path / "result.json").forwarded == forwarded


@linux
def test_a_stopped_command_answers_a_request_to_end(start: Any, tmp_path: Path) -> None:
    process = start("echo $$; kill -STOP $$")
    pid = int(process.stdout.readline())
    wait_until(lambda: b") T" in Path(f"/proc/{pid}/stat").read_bytes())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 143


def test_a_second_interrupt_means_it(start: Any, tmp_path: Path) -> None:
    process = start("trap 'echo no' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"no\n"
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 137
    finished = told(tmp_path / "result.json")
    assert (finished.signal, finished.timed_out, finished.forwarded) == (signal.SIGKILL, False, signal.SIGINT)


def test_an_interrupt_ends_the_wait_for_a_slow_reader(start: Any, tmp_path: Path) -> None:
    process = start("head -c 300000 /dev/zero; echo end >&2")
    assert process.stderr.readline() == b"end\n"
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 0
    assert told(tmp_path / "result.json").size == 300_004


def test_our_own_handlers_are_put_back() -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _frame: heard.append(number))
    try:
        quiet("exit 1")
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_signals_that_others_listen_to_are_left_to_them() -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, _frame: heard.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        assert quiet("sleep 0.5").exit_code == 0
        assert heard == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, previous)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; import tallystick; before = set(sys.modules)\n"
        "from tallystick.capture.process import run_process\n"
        "from tallystick.capture.identity import this_process\n"
        "assert run_process(['true']).exit_code == 0; this_process()\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    heavy = {
        "asyncio", "concurrent.futures", "dataclasses", "inspect", "logging", "msgspec", "pathlib", "pty",
        "shutil", "subprocess", "tempfile", "threading", "typing", "uuid",
    }  # fmt: skip
    assert not loaded & heavy
