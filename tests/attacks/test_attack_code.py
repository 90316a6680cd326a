"""Code of the change: what it can read, where it runs though nobody asked it to, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attack_world import BAD, BIN, GOOD, PLAN, ROOT, WEAK_PLAN, World

Row = Callable[..., None]
AUTHOR = "author of a pull request"
KEY = "PRIVATE+KEY+ci+6e8a2bcd+AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
SCRUBBED = (
    "TALLYSTICK_SIGNING_KEY", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY",
    "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
    "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_CONFIG_COUNT",
)  # fmt: skip


def probing(world: World, command: str = "env > seen.txt") -> None:
    """A branch whose test keeps what it sees."""
    world.write(".gitignore", "seen*\n")
    world.branch()
    world.write("test.sh", f"{command}\nexit 0\n")
    world.commit()
    world.push("evil")


# --- keys and what else a command inherits


@pytest.mark.parametrize("command", ["check", "run -c tests", "falsify tests", "reproduce"])
def test_a_key_beside_code_of_the_change(world: World, row: Row, command: str) -> None:
    probing(world)
    done = world.github().notch(*command.split(" "), "-t", "evil", TALLYSTICK_SIGNING_KEY=KEY)
    if command == "check":
        row("GitHub, pull_request", AUTHOR, "has a test read the signing key of the process above it",
            "CI runs nothing where the key is in the environment", done, 2)  # fmt: skip
    assert (done.code, KEY in done.said, "sign in a second job" in done.said) == (2, False, True), done.said
    assert not list(world.folder.rglob("seen.txt"))


def test_what_a_test_inherits(world: World) -> None:
    probing(world)
    job = world.github()
    planted = {name: f"planted-{name}" for name in SCRUBBED} | {"TALLYSTICK_SIGNING_KEY": KEY, "KEPT": "kept"}
    planted["GITHUB_OUTPUT"] = str(job.outputs)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # these would lead git itself astray
        del planted[name]
    planted["GIT_CONFIG_COUNT"] = "0"
    done = job.notch("check", "evil", "--key-in-this-job", "--keep-env", "GITHUB_ENV", **planted)
    assert done.code == 1, done.said
    seen = (job.tree / "seen.txt").read_text()
    assert "KEPT=kept" in seen
    assert "GITHUB_ENV=planted-GITHUB_ENV" in seen
    for name in SCRUBBED:
        assert name == "GITHUB_ENV" or f"\n{name}=" not in f"\n{seen}", name
    assert KEY not in seen


def test_the_key_is_never_kept(world: World) -> None:
    probing(world)
    done = world.notch("check", "evil", "--keep-env", "TALLYSTICK_SIGNING_KEY", env={"TALLYSTICK_SIGNING_KEY": KEY})
    assert (done.code, "never handed on" in done.said) == (2, True)


def test_the_key_at_home(world: World, row: Row) -> None:
    """`printenv` of the key in a test, in a `versions` command, in a filter of git's and in a hook."""
    world.write(".gitignore", "seen*\n")
    world.branch()
    world.write("test.sh", "printenv TALLYSTICK_SIGNING_KEY > seen-run; exit 1\n")
    version = "printenv TALLYSTICK_SIGNING_KEY > seen-version"
    plan = f'{PLAN}[criteria.more]\nrun = "true"\nenvironment = {{ versions = ["{version}"] }}\n'
    world.write("tallystick.toml", plan)
    world.write(".gitattributes", "*.txt filter=probe\n")
    world.git("config", "filter.probe.clean", "sh -c 'printenv TALLYSTICK_SIGNING_KEY > seen-filter; cat'")
    world.commit()
    (world.work / "seen-filter").unlink(missing_ok=True)
    world.write("code.txt", "touched\n")
    done = world.notch("check", "evil", env={"TALLYSTICK_SIGNING_KEY": KEY})
    seen = {path.name: path.read_text() for path in world.work.glob("seen-*")}
    assert seen == {"seen-run": "", "seen-version": "", "seen-filter": ""}
    row("at home", AUTHOR, "reads the signing key in a test, a version command, a filter of git's",
        "no command inherits the key", done, 1)  # fmt: skip


def test_a_password_in_the_ledger_s_url(world: World) -> None:
    probing(world)
    secret = "postgresql://ci:geheim@127.0.0.1:1/x"
    plain = "postgresql://ci@127.0.0.1:1/x"
    for url, kept in ((secret, False), (plain, True)):
        done = world.notch("--ledger", world.folder / "ledger.db", "run", "--", "sh", "-c", "env > seen.txt",
                           env={"TALLYSTICK_LEDGER": url})  # fmt: skip
        assert done.code == 0, done.said
        assert ("TALLYSTICK_LEDGER=" in (world.work / "seen.txt").read_text()) is kept


def test_a_hook_s_variables_do_not_reach_the_command(world: World) -> None:
    """In a linked work tree git tells hooks its directories; a test that makes repositories would damage the user's."""
    world.write("test.sh", 'd=$(mktemp -d); cd "$d"; git init -q . && echo x > inner && git add inner\n')
    world.write(".git/hooks/pre-commit", "#!/bin/sh\nnotch check -q\n", executable=True)
    world.git("add", "-A")
    world.git("commit", "-q", "--no-verify", "-m", "base")
    world.push("main")
    world.git("worktree", "add", "-q", "-b", "work", world.folder / "linked", "main")
    linked = world.folder / "linked"
    (linked / "mine").write_text("mine\n")
    world.git("add", "mine", cwd=linked)
    world.run("git", "commit", "-q", "-m", "mine", cwd=linked, env={"PATH": f"{BIN}:{world.env['PATH']}"})
    assert world.git("config", "core.bare") == "false"
    assert world.git("status", "--short", cwd=linked) == ""
    assert world.git("show", "--stat", "--format=", "--name-only", "HEAD", cwd=linked) == "mine"


# --- tools


def test_modules_of_the_checkout_in_the_place_of_tools(world: World) -> None:
    """The action's installer does not look for them in the checkout, not even where PYTHONPATH says so."""
    world.branch()
    for module in ("venv", "pip", "ensurepip", "sitecustomize", "tallystick", "msgspec"):
        world.write(f"{module}.py", f"open({str(world.folder / 'pwned')!r}, 'a').write(__name__)\n")
    world.commit()
    world.push("evil")
    job = world.github()
    job.env.pop("NOTCH")
    # Nothing is fetched: what matters is which modules Python takes on the way.
    done = job.run("bash", ROOT / "ci/github/install.sh", PYTHONPATH=".", PIP_NO_INDEX="1", PIP_NO_DEPS="1")
    job.run("bash", ROOT / "ci/github/gate.sh", PYTHONPATH=".", NOTCH_CHECK="false", NOTCH_TASK="evil")
    assert not (world.folder / "pwned").exists(), done.said
    assert job.told.get("verdict") != "open"


# --- judging


JUDGES = (
    "gate evil", "gate evil --format github", "gate evil --full", "why more -t evil", "status evil",
    "plan evil --no-record", "handoff evil", "attest evil", "approve evil", "log evil", "verify evil",
)  # fmt: skip


def test_judging_runs_nothing_that_the_branch_brings(world: World, row: Row) -> None:
    """Version commands: of the branch's plan alone, or of the base's where they run what the branch brought."""
    mark = world.folder / "pwned"

    def touch(how: str) -> str:
        return f"echo {how} >> {mark}"

    def python(how: str) -> str:
        return f"open({str(mark)!r}, 'a').write({how!r})\n"

    traps = {
        "sh version.sh": ("version.sh", touch("a script")),
        "cd tools && ./version": ("tools/version", touch("a script in a folder")),
        "make -s version": ("Makefile", f"version:\n\t{touch('a target')}\n"),
        "make -s": ("Makefile", f"version:\n\t{touch('a target')}\n"),
        "sh --version": ("--version", touch("a file named like an option")),
        "x=$(. ./version.sh); echo $x": ("version.sh", touch("a script")),
        "python3 -m pytest --version": ("pytest.py", python("a module")),
        "python3 -c 'import helper'": ("helper.py", python("an import")),
        "tool --version": ("bin/tool", f"#!/bin/sh\n{touch('a program in PATH')}\n"),
        "mvn --version": (".mvn/jvm.config", f"-XX:+ShowMessageBoxOnError -Xlog:all:file={mark}\n"),
    }
    world.env["PATH"] = f"{world.work}/bin:{world.env['PATH']}"
    versions = "".join(f'"{command}", ' for command in traps)
    plan = f'{PLAN}[criteria.more]\nrun = "true"\nenvironment.versions = [{versions}]\n'
    world.write("tallystick.toml", plan)
    for name, _ in traps.values():
        world.write(name, "echo 1\n", executable=True)
    world.commit("Ask for versions")
    world.push("main")
    world.branch()
    own = f'[criteria.own]\nrun = "true"\nenvironment.versions = ["{touch("a command of the branch")}"]\n'
    world.write("tallystick.toml", plan + own)
    for name, text in traps.values():
        world.write(name, text, executable=True)
    world.commit()
    world.push("evil")
    world.notch("record", "-t", "evil", "--type", "note")
    message = world.folder / "message"
    message.write_text("Change\n")
    for judge in (*JUDGES, f"hook run commit-msg {message}", "review -t evil --verdict fail --by x"):
        world.notch(*judge.split(" "))
        assert not mark.exists(), (judge, mark.read_text())
    done = world.notch("gate", "evil")
    row("at home", "author of a branch that a reviewer looks at", "declares a version command that does more",
        "judging runs no command that only the branch's plan has", done, 1)  # fmt: skip
    world.notch("hook", "install", "git")
    world.write("README", "x\n")
    world.commit()
    world.run("git", "push", "-q", "origin", "evil")
    assert not mark.exists(), ("the pre-push hook", mark.read_text())


def test_a_version_that_is_not_asked_for_is_told(world: World) -> None:
    plan = '[criteria.more]\nrun = "true"\nenvironment = { versions = ["echo 1"] }\n'
    world.write("tallystick.toml", WEAK_PLAN)
    world.commit()
    world.push("main")
    world.branch()
    world.write("tallystick.toml", WEAK_PLAN + plan)
    world.commit()
    assert world.notch("check", "evil").code == 0
    done = world.notch("gate", "evil")
    assert done.code == 0
    assert "echo 1 was not run to judge it: taken as its newest run recorded it" in done.said


def test_a_notch_inside_a_run_judges_nothing(world: World) -> None:
    """A test that runs the gate would judge itself, and could write its own verdict."""
    plan = PLAN.replace("sh test.sh", "notch gate") + '[criteria.more]\nrun = "notch check"\n'
    world.write("tallystick.toml", plan)
    world.commit()
    world.push("main")
    done = world.notch("check", "-j", "1", env={"PATH": f"{BIN}:{world.env['PATH']}"})
    assert done.code == 1
    assert done.said.count("judges nothing") == 2, done.said


# --- what is left behind


@pytest.mark.parametrize("way", ["background", "setsid", "double"])
def test_a_process_that_a_test_leaves_behind(world: World, row: Row, way: str) -> None:
    """It waits for the verdict to be written and writes its own after it."""
    outputs = world.folder / "ci" / "outputs"
    loop = f"while ! grep -q verdict=shut {outputs}; do sleep .05; done; echo verdict=open >> {outputs}"
    start = {
        "background": f'sh -c "{loop}" >/dev/null 2>&1 &',
        "setsid": f'(setsid sh -c "{loop}" >/dev/null 2>&1 &)',
        "double": f'(setsid sh -c "(sh -c \\"{loop}\\" &) &" >/dev/null 2>&1 &)',
    }[way]
    world.branch()
    world.write("test.sh", f"{start}\nexit 1\n")
    world.commit()
    world.push("evil")
    job = world.github()
    done = job.action()
    assert "sh (" in done.said, "what was left running is named"
    time.sleep(0.3)
    assert job.told["verdict"] == "shut"
    if way == "setsid":
        row("GitHub, the action", AUTHOR, "leaves a process that overwrites the step's outputs",
            "what a criterion leaves running is ended, and outputs are written last", done, 1)  # fmt: skip


def test_what_a_run_at_home_leaves_running_goes_on(world: World) -> None:
    """A development server that somebody starts by `notch run` is theirs, and so is one of a check outside CI."""
    beat = world.folder / "beat"
    world.write(
        "test.sh", f'sh -c "while sleep .05; do touch {beat}; done" >/dev/null 2>&1 & echo $! > {world.folder}/pid\n'
    )
    world.commit()
    world.push("main")
    assert world.notch("check", "-q").code == 0
    beat.unlink(missing_ok=True)
    time.sleep(0.3)
    world.run("kill", (world.folder / "pid").read_text().strip())
    assert beat.exists()


# --- grades


def test_a_stricter_grade_hides_no_failure(world: World, row: Row) -> None:
    """One pass, attested, then failures on the same content: run until it passes once, and attest that."""
    world.notch("record", "-t", "x", "--type", "note")
    world.notch("key", "new")
    key = world.notch("key", "show").out.strip()
    world.write(".gitignore", "tick\n")
    trusted = f'[keys.ci]\npublic = "{key}"\nroles = ["attest"]\n'
    world.write("tallystick.toml", PLAN.replace('"sh test.sh"', '"test ! -e tick"\ngrade = "attested"') + trusted)
    world.commit()
    world.push("main")
    world.branch()
    assert world.notch("run", "-t", "evil", "-c", "tests").code == 0
    assert world.notch("attest", "evil").code == 0
    assert world.notch("gate", "evil").code == 0
    (world.work / "tick").touch()
    for _ in range(3):
        assert world.notch("run", "-t", "evil", "-c", "tests").code == 1
    done = world.notch("gate", "evil")
    row("at home and in CI", "author of a change, with an attesting key that is honest",
        "runs until it passes once, and has that attested",
        "a failure counts whatever grade is asked", done, 1)  # fmt: skip


# --- signing


@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_nothing_is_signed_for_a_change_that_is_not_merged(world: World, row: Row, event: str) -> None:
    world.branch()
    world.write("code.txt", GOOD + "more\n")
    world.commit()
    world.push("evil")
    job = world.github(event=event)
    assert job.check_and_gate().code == 0
    done = job.notch("attest", "evil", TALLYSTICK_SIGNING_KEY=KEY)
    assert (done.code, "not merged" in done.said) == (2, True), done.said
    assert job.notch("checkpoint", TALLYSTICK_SIGNING_KEY=KEY).code == 2
    assert "tallystick/" not in job.notch("gate", "evil", TALLYSTICK_SIGNING_KEY=KEY).said
    if event == "pull_request":
        row("GitHub, pull_request", AUTHOR, "has CI's key attest what his own code could have written",
            "a key in CI signs for the protected branch and the merge queue alone", done, 2)  # fmt: skip


@pytest.mark.parametrize("event", ["push", "merge_group"])
def test_what_is_on_the_protected_branch_is_signed(tmp_path: Path, event: str) -> None:
    world = World(tmp_path / "world")
    key = world.folder / "key"
    world.notch("record", "-t", "x", "--type", "note")
    world.notch("key", "new")
    key.write_bytes((world.folder / "home/.config/tallystick/keys/default").read_bytes())
    if event == "merge_group":
        world.branch("gh-readonly-queue/main/pr-1")
        world.commit()
        world.push("gh-readonly-queue/main/pr-1")
    job = world.github("main" if event == "push" else "gh-readonly-queue/main/pr-1", event=event)
    assert job.notch("check", "main").code == 0
    done = job.notch("attest", "main", TALLYSTICK_SIGNING_KEY=key.read_text())
    assert done.code == 0, done.said


def test_bad_code_stays_shut_whatever_it_tries(world: World) -> None:
    """The control of this file: without any trick the branch is refused."""
    world.branch()
    world.write("code.txt", BAD)
    world.commit()
    world.push("evil")
    assert world.github().check_and_gate().code == 1
