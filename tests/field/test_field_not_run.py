"""Commands that cannot be run: no result, no flakiness, and no evidence that a check can fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from field.world import NOTCH, World

MISSING = {
    "command": "no-such-tool-here --check",
    "in a script": "sh check.sh",
    "through env": "/usr/bin/env no-such-tool-here",
    "not executable": "./plain.txt",
    "no interpreter": "./broken",
    "in a subshell": "(cd . && no-such-tool-here)",
    "path": "/no/such/path/tool",
}


BEHIND = {
    "make": "make check",
    "a pipe": "no-such-tool-here | cat",
    "a semicolon": "no-such-tool-here; true",
    "a last true": "no-such-tool-here || true",
    "a module": "python3 -m no_such_module_here",
    "a script that is gone": "sh gone.sh",
    "a make below a make": "make all",
}
"""What started the command ends with a code of its own, or the command line hides the code."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def begun(world: World, command: str, plan: str = "") -> None:
    files = {"a.txt": "1\n", "check.sh": "exec no-such-tool-here\n", "plain.txt": "x\n", "broken": "#!/no/such/sh\n"}
    files["Makefile"] = "all:\n\t$(MAKE) check\ncheck:\n\tno-such-tool-here\n"
    world.begin(f"[criteria.it]\nrun = {json.dumps(command)}\n{plan}", files)
    (world.root / "broken").chmod(0o755)


@pytest.mark.parametrize("how", sorted(MISSING))
def test_it_shows_nothing(world: World, how: str) -> None:
    begun(world, MISSING[how])
    done = world.command(NOTCH, "run", "-c", "it", code=126 if how in ("not executable",) else 127)
    del done
    it = world.judged()["it"]
    assert it.state == "not run"
    assert "it could not be run: " in it.reason
    assert "not run" in world.command(NOTCH, "gate", code=1)


@pytest.mark.parametrize("how", sorted(BEHIND))
def test_it_shows_nothing_behind_another_program(world: World, how: str) -> None:
    if how.endswith("make") and shutil.which("make") is None:
        pytest.skip("make is not installed")
    begun(world, BEHIND[how])
    world.command(NOTCH, "run", "-c", "it")
    assert world.judged()["it"].state == "not run"


@pytest.mark.parametrize(
    "command",
    [
        "echo 'sh: 1: tool: not found'; exit 1",
        "cat a.txt no-such-file",
        "exit 1",
        "echo tool: not found",
        "false | true",
    ],
)
def test_what_only_looks_so_is_a_result(world: World, command: str) -> None:
    begun(world, command)
    world.command(NOTCH, "run", "-c", "it")
    assert world.judged()["it"].state in ("pass", "fail")


def test_a_tool_that_is_installed_later_makes_no_flakiness(world: World) -> None:
    begun(world, "PATH=$PWD/bin:$PATH tool")
    world.command(NOTCH, "check", code=1)
    world.command(NOTCH, "check", code=1)
    tool = world.root.parent / "home" / "tool"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    world.environment["PATH"] = f"{tool.parent}:{world.environment['PATH']}"
    printed = world.command(NOTCH, "check", code=0)
    assert "1 run" in printed
    assert world.judged()["it"].state == "pass"


def test_an_older_pass_does_not_stand(world: World) -> None:
    begun(world, "tool")
    tool = world.root.parent / "home" / "tool"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    path = world.environment["PATH"]
    world.environment["PATH"] = f"{tool.parent}:{path}"
    world.command(NOTCH, "check", code=0)
    world.environment["PATH"] = path
    world.command(NOTCH, "run", "-c", "it", code=127)
    assert world.judged()["it"].state == "not run"


def test_it_is_no_evidence_that_the_check_can_fail(world: World) -> None:
    begun(world, "tools/t", 'inputs = ["*.txt"]\n')
    (world.root / ".gitignore").write_text("tools/\n")
    (world.root / "tools").mkdir()
    tool = world.root / "tools" / "t"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    (world.root / "a.txt").write_text("2\n")
    world.command(NOTCH, "check", code=0)
    said = world.command(NOTCH, "falsify", "it", code=1)
    assert "could not be tried" in said
    assert "--setup" in said
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=0))["criteria"]
    assert it["unfalsified"] is True
    tool.rename(tool.with_name("u"))
    world.command(NOTCH, "run", "-c", "it", code=127)
    tool.with_name("u").rename(tool)
    world.command(NOTCH, "check", code=0)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=0))["criteria"]
    assert (it["state"], it["unfalsified"]) == ("pass", True)


def test_what_the_plan_expects_is_a_result(world: World) -> None:
    begun(world, "no-such-tool-here", "[criteria.it.expect]\nexit = 127\n")
    world.command(NOTCH, "check", code=0)
    assert world.judged()["it"].state == "pass"


def test_a_test_that_was_executed_makes_it_a_failure(world: World) -> None:
    begun(world, "echo '===== 1 failed, 2 passed in 0.10s ====='; exit 127")
    world.command(NOTCH, "run", "-c", "it", code=127)
    assert world.judged()["it"].state == "fail"
