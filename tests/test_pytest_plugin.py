"""`pytest --notch` records what a session showed: by the controller, once, and without harm where it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick import Ledger

MIXED = """
import pytest

def test_passes(): pass

@pytest.mark.criterion("ac1")
def test_of_ac1(): pass

@pytest.mark.criterion("ac1", "ac2")
@pytest.mark.parametrize("n", [1, 2])
def test_of_both(n): assert n < 2

@pytest.mark.skip(reason="not here")
@pytest.mark.criterion("ac3")
def test_skipped(): pass

@pytest.mark.xfail
def test_expected_to_fail(): assert False

@pytest.mark.xfail
def test_expected_and_passes(): pass

@pytest.fixture
def broken(): raise OSError("no such thing")

def test_broken(broken): pass

@pytest.fixture
def leaves(): yield; raise OSError("left")

def test_breaks_after(leaves): pass
"""


PLUGINS = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin,tallystick.pytest_plugin",
}


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write(".gitignore", "__pycache__/\n.pytest_cache/\n")
    git_repo.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n")
    git_repo.commit()
    git_repo.git("checkout", "-q", "-b", "work")
    return git_repo


def run_pytest(repo: GitRepo, *args: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """What a pytest in the repository prints that has no other plugins than ours and xdist."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *args],
        cwd=repo.root,
        env={**os.environ, **PLUGINS, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def entries(repo: GitRepo, task: str = "work") -> list[Any]:
    with Ledger.open(str(repo.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        return [recorded.entry for recorded in ledger.entries(task)]


def counts(entry: Any) -> tuple[int, ...]:
    told = entry.details["report"]["counts"]
    return tuple(told[kind] for kind in ("passed", "failed", "errors", "skipped"))


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_whole_session_and_every_marked_criterion(repo: GitRepo, workers: tuple[str, ...]) -> None:
    repo.write("test_mixed.py", MIXED)
    printed = run_pytest(repo, "--notch", *workers, code=1)
    whole, *criteria = entries(repo)
    assert "notch: recorded work: fail; ac1 fail, ac2 fail, ac3 fail; head 4:" in printed
    assert (whole.type, whole.status, whole.provider) == ("run", "fail", "pytest")
    assert counts(whole) == (4, 1, 2, 1)
    assert dict(whole.details["report"]["expected_failures"]) == {"xfailed": 1, "xpassed": 1}
    assert list(whole.details["report"]["names"]["failed"]) == [
        "test_mixed.py::test_breaks_after",
        "test_mixed.py::test_broken",
        "test_mixed.py::test_of_both[2]",
    ]
    assert whole.command == " ".join(["pytest", "--notch", *workers])
    assert "assert 2 < 2" in whole.output
    assert [(one.type, one.criterion_id, one.status) for one in criteria] == [
        ("criterion", "ac1", "fail"),
        ("criterion", "ac2", "fail"),
        ("criterion", "ac3", "fail"),
    ]
    assert [counts(one) for one in criteria] == [(2, 1, 0, 0), (1, 1, 0, 0), (0, 0, 0, 1)]
    assert criteria[2].reason == "no test was executed (1 skipped)"
    assert all("run" not in one.details and one.details["content"]["inputs"] for one in (whole, *criteria))


def test_without_the_option_nothing_is_recorded(repo: GitRepo) -> None:
    repo.write("test_mixed.py", MIXED)
    assert "notch" not in run_pytest(repo, code=1)
    run_pytest(repo, "--notch", "--collect-only", "-q")
    assert not (repo.root / ".tallystick").exists()


def test_the_marker_is_known(repo: GitRepo) -> None:
    repo.write("test_mixed.py", MIXED)
    run_pytest(repo, "--strict-markers", "-k", "test_of_ac1")


def test_a_criterion_is_only_passed_by_all_of_its_tests(repo: GitRepo) -> None:
    repo.write(
        "test_a.py",
        'import pytest\npytestmark = pytest.mark.criterion("ac1")\ndef test_one(): pass\ndef test_two(): pass\n',
    )
    printed = run_pytest(repo, "--notch", "-k", "one")
    assert "notch: ac1: not all of its tests were run, so nothing is recorded for it" in printed
    assert [entry.type for entry in entries(repo)] == ["run"]
    repo.write("test_a.py", repo.read("test_a.py").replace("def test_one(): pass", "def test_one(): assert 0"))
    run_pytest(repo, "--notch", "-x", code=1)
    assert [(entry.type, entry.status) for entry in entries(repo)][1:] == [("run", "fail"), ("criterion", "fail")]


def test_a_mark_shows_a_criterion_that_is_shown_by_claims(repo: GitRepo) -> None:
    repo.write("tallystick.toml", '[criteria.ac1]\nmanual = true\ninputs = ["*.py"]\n')
    repo.write("test_a.py", 'import pytest\n@pytest.mark.criterion("ac1")\ndef test_one(): pass\n')
    repo.commit()
    notch = Notch(repo.root)
    assert notch("gate", "--json", check=False).returncode == 1
    run_pytest(repo, "--notch")
    verdict = json.loads(notch("gate", "--json").stdout)
    assert [(one["state"], one["grade"]) for one in verdict["criteria"]] == [("pass", "claimed")]
    repo.write("test_a.py", repo.read("test_a.py") + "# changed\n")
    assert json.loads(notch("gate", "--json", code=1).stdout)["criteria"][0]["state"] == "stale"


def test_what_changed_while_it_ran_is_bound_to_no_content(repo: GitRepo) -> None:
    repo.write("data", "1")
    repo.write("test_a.py", "def test_one():\n    open('data', 'w').write('2')\n    open('new', 'w').write('2')\n")
    repo.commit()
    run_pytest(repo, "--notch")
    entry = entries(repo)[0]
    assert "inputs" not in entry.details["content"]
    assert entry.reason == "1 test passed; data changed while it ran"


@pytest.mark.parametrize(
    ("text", "code", "status", "reason"),
    [
        ("def test_one(: pass", 2, "fail", "1 of 1 test failed: test_a.py"),
        ("", 5, "fail", "no test was executed"),
        ("import pytest\npytest.skip('no', allow_module_level=True)", 5, "fail", "no test was executed (1 skipped)"),
        ("import pytest\ndef test_one(): pass\ndef test_two(): pytest.exit('enough')", 2, "interrupted", "before its"),
        ("def test_one(): pass\ndef test_two(): raise KeyboardInterrupt", 2, "interrupted", "1 executed until then"),
    ],
    ids=["broken", "empty", "skipped", "exit", "ctrl-c"],
)
def test_sessions_that_end_otherwise(repo: GitRepo, text: str, code: int, status: str, reason: str) -> None:
    repo.write("test_a.py", text)
    run_pytest(repo, "--notch", code=code)
    entry = entries(repo)[0]
    assert entry.status == status
    assert reason in entry.reason


def test_a_bad_end_with_no_test_to_blame_is_a_failure(repo: GitRepo) -> None:
    repo.write("test_a.py", "def test_one(): pass\n")
    repo.write("conftest.py", "def pytest_sessionfinish(session): session.exitstatus = 7\n")
    run_pytest(repo, "--notch", code=7)
    assert (entries(repo)[0].status, entries(repo)[0].reason) == ("fail", "pytest ended with exit code 7")


@pytest.mark.parametrize("more", [(), ("-W", "error"), ("-p", "no:terminal")])
def test_recording_that_fails_never_fails_the_session(repo: GitRepo, more: tuple[str, ...]) -> None:
    repo.write("test_a.py", "def test_one(): pass\n")
    (repo.root / ".tallystick").mkdir()
    (repo.root / ".tallystick/ledger.db").write_text("this is no database, whatever its name says\n" * 99)
    printed = run_pytest(repo, "--notch", *more)
    assert "notch: warning: not recorded: " in printed or "no:terminal" in more


def test_a_bad_task_or_mark_is_told_and_no_more(repo: GitRepo) -> None:
    repo.write("test_a.py", 'import pytest\n@pytest.mark.criterion("not an id")\ndef test_one(): pass\n')
    assert "warning: not recorded: " in run_pytest(repo, "--notch")
    assert "warning: not recorded: " in run_pytest(repo, "--notch", "--notch-task=-x")
    assert "warning: not recorded: no test was come to" in run_pytest(repo, "--notch", "nowhere", code=4)


def test_a_session_that_is_killed_claims_nothing(repo: GitRepo) -> None:
    repo.write("test_a.py", "import os, signal\ndef test_one(): os.kill(os.getpid(), signal.SIGKILL)\n")
    run_pytest(repo, "--notch", code=-signal.SIGKILL)
    assert not (repo.root / ".tallystick").exists()


def test_tests_that_change_the_folder_do_not_move_the_ledger(repo: GitRepo, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repo.write("test_a.py", f"import os\ndef test_one(): os.chdir({str(elsewhere)!r})\n")
    run_pytest(repo, "--notch", "--notch-task", "other")
    assert entries(repo, "other")[0].status == "pass"
    assert list(elsewhere.iterdir()) == []


def test_secrets_do_not_reach_the_ledger(repo: GitRepo) -> None:
    repo.write("test_a.py", "import os\ndef test_one(): assert os.environ['API_TOKEN'] == ''\n")
    run_pytest(repo, "--notch", code=1, env={"API_TOKEN": "hunter2hunter2"})
    assert "hunter2hunter2" not in json.dumps(entries(repo)[0].to_dict(), default=str)


def test_the_inputs_of_a_criterion_from_what_its_tests_ran(repo: GitRepo) -> None:
    pytest.importorskip("coverage")
    repo.write("shop/__init__.py")
    repo.write("shop/cart.py", "from shop import money\n\ndef total():\n    return money.add(1, 2)\n")
    repo.write("shop/money.py", "def add(a, b):\n    return a + b\n")
    repo.write("shop/mail.py", "def send():\n    return 1\n")
    repo.write("shop/rates.py", "RATE = 2\n")
    repo.write(
        "tests/test_cart.py",
        "import pytest\nfrom shop import cart, mail, rates\n\n"
        '@pytest.mark.criterion("ac1")\ndef test_total():\n    assert cart.total() == 3\n\n'
        "def test_mail():\n    assert mail.send()\n",
    )
    repo.write("tests/conftest.py", "")
    printed = run_pytest(repo, "--notch-inputs", env={"PYTHONPATH": "."})
    start = printed.index("[criteria.ac1]")
    assert printed[start : printed.index("]\n", start + 15) + 2].splitlines() == [
        "[criteria.ac1]",
        "inputs = [",
        '  "pytest.ini",',
        '  "shop/cart.py",',
        '  "shop/money.py",',
        '  "tests/conftest.py",',
        '  "tests/test_cart.py",',
        "]",
    ]
    assert "# imported only, so add what it depends on: shop/__init__.py, shop/mail.py, shop/rates.py" in printed
    assert "leave -n out" in run_pytest(repo, "--notch-inputs", "-n", "1", env={"PYTHONPATH": "."})


def test_pytest_finds_it() -> None:
    (found,) = entry_points(group="pytest11", name="tallystick")
    assert found.value == "tallystick.pytest_plugin"


def test_loading_it_imports_nothing_else_of_ours() -> None:
    code = "import pytest, sys; import tallystick.pytest_plugin; print(*[m for m in sys.modules if 'tallystick' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tallystick", "tallystick.pytest_plugin"]


@pytest.mark.storm
@pytest.mark.serial
def test_it_costs_little_on_5000_tests(repo: GitRepo) -> None:
    repo.write("test_many.py", "import pytest\n@pytest.mark.parametrize('n', range(5000))\ndef test_n(n): pass\n")

    def seconds(*options: str) -> float:
        began = time.monotonic()
        run_pytest(repo, "-q", *options)
        return time.monotonic() - began

    pairs = [(seconds(), seconds("--notch")) for _ in range(5)]
    without, with_it = (min(times) for times in zip(*pairs, strict=True))
    assert with_it <= without * 1.03 + 0.1, (without, with_it)
