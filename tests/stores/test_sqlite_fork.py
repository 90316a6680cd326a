"""A process that forks while it has a ledger open: neither side harms the other, nothing acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tallystick import Entry, Ledger

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

START = """
import gc, os, signal, sys, threading, time
from tallystick import Entry, Ledger, TallystickError
path = sys.argv[1]

def note(name):
    return Entry(type="note", id=name)

def end(child, code=0):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code

def elsewhere(code):
    import subprocess
    start = "import sys; from tallystick import Entry, Ledger; ledger = Ledger.open(sys.argv[1]);"
    subprocess.run([sys.executable, "-c", start + code, path], check=True, timeout=60)
"""


def run(path: Path, script: str, *, code: int = 0) -> str:
    """Run a script in a process of its own; what it printed."""
    program = START + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def ids(path: Path, task: str = "t") -> list[str]:
    """The ids of the entries, after the whole ledger was verified."""
    with Ledger.open(str(path), create=False) as ledger:
        ledger.verify()
        return [recorded.entry.id for recorded in ledger.entries(task)]


def test_parent_and_child_append_by_turns(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    run(
        path,
        """
        ledger = Ledger.open(path)
        ledger.append("t", note("p1"))
        for turn in range(2, 6):
            child = os.fork()
            if child == 0:
                assert ledger.append("t", note(f"c{turn}")).position == 2 * turn - 2
                assert len(ledger.session("t").entries) == 2 * turn - 2
                os._exit(0)
            end(child)
            assert ledger.append("t", note(f"p{turn}")).position == 2 * turn - 1
        """,
    )
    assert ids(path) == ["p1", "c2", "p2", "c3", "p3", "c4", "p4", "c5", "p5"]


def test_a_child_outlives_its_parents_ledger(tmp_path: Path) -> None:
    """The parent closes, which removes the log, and a third process writes: the child's entries stay."""
    path = tmp_path / "ledger.db"
    run(
        path,
        """
        ledger = Ledger.open(path)
        ledger.append("t", note("before"))
        ledger.state("t")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            ledger.append("t", note("child 1"))
            os.read(reading, 1)
            ledger.append("t", note("child 2"))
            os.read(reading, 1)
            ledger.append("t", note("child 3"))
            os._exit(0)
        os.close(reading)
        while ledger.head("t").position < 2:
            time.sleep(0.01)
        ledger.close()
        os.write(writing, b"x")
        elsewhere("ledger.append('t', Entry(type='note', id='third 1')); ledger.close()")
        os.write(writing, b"x")
        elsewhere("[ledger.append('t', Entry(type='note', id=f'third {n}')) for n in (2, 3)]")
        end(child)
        """,
    )
    found = ids(path)
    assert sorted(found) == ["before", "child 1", "child 2", "child 3", "third 1", "third 2", "third 3"]


@pytest.mark.parametrize(
    "way", ["sys.exit(7)", "os._exit(7)", "ledger.close(); sys.exit(7)", "del ledger; sys.exit(7)"]
)
def test_however_a_child_ends_the_parents_entries_stay(tmp_path: Path, way: str) -> None:
    path = tmp_path / "ledger.db"
    run(
        path,
        f"""
        ledger = Ledger.open(path)
        ledger.append("t", note("1"))
        reader = ledger.entries("t")
        next(reader)
        child = os.fork()
        if child == 0:
            {way}
        end(child, 7)
        ledger.append("t", note("2"))
        elsewhere("ledger.append('t', Entry(type='note', id='3')); ledger.close()")
        ledger.append("t", note("4"))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-9,
    )
    assert ids(path) == ["1", "2", "3", "4"]


def test_a_child_inherits_no_descriptor_of_the_ledger(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("open descriptors cannot be listed here")
    run(
        tmp_path / "ledger.db",
        """
        ledger = Ledger.open(path)
        ledger.append("t", note("1"))
        ledger.state("t")
        def held():
            names = []
            for one in os.listdir("/proc/self/fd"):
                try:
                    names.append(os.readlink(f"/proc/self/fd/{one}"))
                except FileNotFoundError:
                    pass
            return [name for name in names if "ledger.db" in name]
        assert len(held()) >= 3
        child = os.fork()
        if child == 0:
            os._exit(len(held()))
        end(child)
        ledger.append("t", note("2"))
        """,
    )


def test_threads_append_while_the_process_forks(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    run(
        path,
        """
        ledger, other = Ledger.open(path), Ledger.open(path)
        stop = False
        written = []
        def work(name):
            turn = 0
            while not stop:
                (ledger, other)[turn % 2].append("t", note(f"{name}.{turn}"))
                written.append(f"{name}.{turn}")
                ledger.state("t")
                turn += 1
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for turn in range(20):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                for one in (ledger, other):
                    one.append("t", note(f"child {turn}"))
                    one.verify("t")
                os._exit(0)
            children.append(child)
        for child in children:
            end(child)
        stop = True
        for thread in threads:
            thread.join()
        found = [recorded.entry.id for recorded in ledger.entries("t")]
        assert sorted(found) == sorted(written + [f"child {n}" for n in range(20) for _ in "ab"])
        """,
    )
    assert len(ids(path)) > 40


def test_a_backup_under_way_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        for n in range(12):
            ledger.append("t", Entry(type="note", id=str(n), output=os.urandom(1 << 20)))
    run(
        path,
        """
        ledger = Ledger.open(path)
        def copy():
            ledger.store.backup(path + ".copy", lambda done, total: time.sleep(0.03))
        thread = threading.Thread(target=copy)
        thread.start()
        while not any(name.endswith(".partial") for name in os.listdir(os.path.dirname(path))):
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            ledger.append("t", note("child"))
            os._exit(0)
        end(child)
        thread.join()
        ledger.append("t", note("parent"))
        """,
    )
    assert ids(path)[-2:] == ["child", "parent"]
    assert len(ids(path.with_name("ledger.db.copy"))) >= 12


def test_multiprocessing_by_fork(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    run(
        path,
        """
        import multiprocessing
        ledger = Ledger.open(path)
        ledger.append("t", note("first"))
        def work(name):
            for turn in range(10):
                ledger.append("t", note(f"{name}.{turn}"))
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=work, args=(n,)) for n in range(4)]
        for worker in workers:
            worker.start()
        for turn in range(10):
            ledger.append("t", note(f"parent.{turn}"))
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        with context.Pool(3) as pool:
            pool.map(work, range(4, 10))
        ledger.verify()
        """,
    )
    expected = {"first", *(f"{name}.{turn}" for name in [*range(10), "parent"] for turn in range(10))}
    assert set(ids(path)) == expected
    assert len(ids(path)) == len(expected)


def test_a_closed_ledger_stays_closed_in_the_child(tmp_path: Path) -> None:
    said = run(
        tmp_path / "ledger.db",
        """
        ledger = Ledger.open(path)
        ledger.append("t", note("1"))
        ledger.close()
        child = os.fork()
        if child == 0:
            try:
                ledger.append("t", note("2"))
            except TallystickError as error:
                print(error, flush=True)
            os._exit(0)
        end(child)
        """,
    )
    assert "the ledger was closed" in said


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="this Python ends where its hooks before a fork did not run")
def test_what_forks_behind_pythons_back_gets_one_clear_line(tmp_path: Path) -> None:
    """As a C program with Python inside forks: the hooks before a fork do not run, those in the child do."""
    path = tmp_path / "ledger.db"
    said = run(
        path,
        """
        import ctypes
        libc = ctypes.PyDLL(None)
        ledger = Ledger.open(path)
        ledger.append("t", note("1"))
        child = libc.fork()
        if child == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            for call in (lambda: ledger.append("t", note("2")), lambda: ledger.head("t")):
                try:
                    call()
                except TallystickError as error:
                    print(error, flush=True)
            sys.exit(0)
        end(child)
        ledger.append("t", note("3"))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-9,
    )
    assert said.count("the ledger was open while the process was forked; open it again") == 2
    assert ids(path) == ["1", "3"]


def test_a_ledger_can_be_forgotten(tmp_path: Path) -> None:
    run(
        tmp_path / "ledger.db",
        """
        import weakref
        ledger = Ledger.open(path)
        ledger.append("t", note("1"))
        store = weakref.ref(ledger.store)
        del ledger
        gc.collect()
        assert store() is None
        end(os.fork() or os._exit(0))
        """,
    )
