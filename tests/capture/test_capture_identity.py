"""Who watches a run, and whether it can still come to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tallystick.capture.identity import is_interrupted, started_ticks, this_process

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NOW = 1_800_000_000.0
LATER = "2027-01-15T09:00:00Z"  # an hour after NOW
EARLIER = "2027-01-15T07:00:00.000001Z"


def me(**other: object) -> dict[str, object]:
    return {**this_process(), "host": "builder-7", **other}


def recorded(**other: object) -> dict[str, object]:
    return me(**{"deadline": LATER, **other})


@linux
def test_this_process_names_itself() -> None:
    process = this_process()
    assert process["pid"] == os.getpid()
    assert process["host"] == os.uname().nodename
    assert process["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert os.readlink("/proc/self/ns/pid") == f"pid:[{process['pid_namespace']}]"
    since_boot = process["pid_started"] / os.sysconf("SC_CLK_TCK")
    assert 0 < since_boot < time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_living_process_is_running_whatever_its_deadline() -> None:
    assert not is_interrupted(recorded(), NOW, me())
    assert not is_interrupted(recorded(deadline=EARLIER), NOW, me())


@linux
def test_a_process_that_is_gone_is_interrupted_at_once() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        started = started_ticks(Path(f"/proc/{sleeper.pid}/stat").read_bytes())
        run = recorded(pid=sleeper.pid, pid_started=started)
        assert not is_interrupted(run, NOW, me())
        sleeper.kill()
        deadline = time.monotonic() + 10
        while not is_interrupted(run, NOW, me()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_interrupted(run, NOW, me()), "a zombie that its parent has not looked at is gone"
    assert is_interrupted(run, NOW, me())


@linux
def test_another_process_under_the_same_pid_is_not_the_one_that_ran() -> None:
    run = recorded(pid_started=this_process()["pid_started"] - 1)
    assert is_interrupted(run, NOW, me())


@pytest.mark.parametrize(
    ("run", "asking", "interrupted"),
    [
        pytest.param({"boot": "other"}, {}, True, id="same host, restarted"),
        pytest.param({"boot": "other", "host": "builder-8"}, {}, False, id="another host"),
        pytest.param({"boot": "other", "host": "localhost"}, {"host": "localhost"}, False, id="host says nothing"),
        pytest.param({"pid_namespace": 1, "pid": 1}, {}, False, id="another container here"),
        pytest.param({"host": "builder-8", "pid": 4_194_305}, {}, True, id="same kernel, host renamed"),
        pytest.param({"boot": ""}, {}, False, id="boot not recorded"),
        pytest.param({}, {"boot": ""}, False, id="our own boot unknown"),
    ],
)
def test_elsewhere(run: Mapping[str, object], asking: Mapping[str, object], interrupted: bool) -> None:
    assert is_interrupted(recorded(**run), NOW, me(**asking)) is interrupted
    assert is_interrupted(recorded(**{**run, "deadline": EARLIER}), NOW, me(**asking)), "past its deadline"


def test_the_deadline_is_read_in_every_form() -> None:
    elsewhere = {"boot": "other", "host": "builder-8"}
    for deadline in (LATER, NOW + 1, int(NOW) + 1, "2027-01-15T10:00:00+01:00"):
        assert not is_interrupted(recorded(**elsewhere) | {"deadline": deadline}, NOW, me())
    for deadline in (EARLIER, NOW - 1, None, "soon", "", ["2027"]):
        assert is_interrupted(recorded(**elsewhere) | {"deadline": deadline}, NOW, me())
    moment = datetime.fromtimestamp(NOW, UTC)
    assert not is_interrupted(recorded(**elsewhere), moment, me())
    assert is_interrupted(recorded(**elsewhere) | {"deadline": EARLIER}, moment, me())


def test_damaged_records_are_no_error() -> None:
    assert is_interrupted({}, NOW, me())
    for pid in (None, "12", 0, -1, 2.5):
        assert is_interrupted(recorded(pid=pid), NOW, me())


@pytest.mark.parametrize(
    ("stat", "ticks"),
    [
        (b"12 (sh) S 1" + b" 0" * 17 + b" 4711 0 0\n", 4711),
        (b"12 (a) R (b c) S 1" + b" 0" * 17 + b" 4711 0 0\n", 4711),
        (b"12 (\n) Z 1) S 1" + b" 0" * 17 + b" 4711 0 0\n", 4711),
        (b"12 (sh) Z 1" + b" 0" * 17 + b" 4711 0 0\n", -1),
        (b"", 0),
        (b"12 (sh) S 1 2 3", 0),
    ],
)
def test_start_time_is_found_behind_any_name(stat: bytes, ticks: int) -> None:
    assert started_ticks(stat) == ticks


@linux
def test_a_process_with_a_strange_name_is_seen_alive(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 (x"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as sleeper:
        try:
            started = started_ticks(Path(f"/proc/{sleeper.pid}/stat").read_bytes())
            assert started >= this_process()["pid_started"]
            assert not is_interrupted(recorded(pid=sleeper.pid, pid_started=started), NOW, me())
        finally:
            sleeper.kill()
