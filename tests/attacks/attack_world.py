"""A protected branch, somebody who attacks it, and CI as forges run it. Nothing of tallystick is imported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sysconfig.get_path("scripts"))
NOTCH = BIN / "notch"
PLAN = """\
[criteria.tests]
run = "sh test.sh"
[gate]
protect = ["test.sh", "tallystick.toml"]
"""
TEST = "grep -q good code.txt\n"
GOOD, BAD = "good\n", "bad\n"
_KEPT = tempfile.TemporaryDirectory(prefix="attack-world-")
"""Worlds that were made before: copying one takes less time than making it."""
WEAK_PLAN = '[criteria.tests]\nrun = "true"\n'


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def opened(self) -> bool:
        """Whether a gate was open and nobody was told that it is only advice."""
        return self.code == 0 or "gate open" in self.out

    @property
    def complaint(self) -> str:
        """The line that says why it is shut, or why it was refused."""
        lines = [line.strip() for line in self.said.splitlines() if "no checkpoint" not in line]
        shut = [number for number, line in enumerate(lines) if line.startswith("gate shut")]
        told = [line for line in lines[shut[-1] :] if line.startswith("✗ ")] if shut else []
        told = told or [line for line in lines if line.startswith("notch: ")] or lines[-1:]
        return told[0] if told else ""


class World:
    """The origin, the clone of whoever works, and the environment that nothing from outside reaches."""

    def __init__(self, folder: Path, default: str = "main", plan: str = PLAN, *, base: bool = True) -> None:
        self.folder = folder
        self.default = default
        self.env = {**os.environ, "HOME": str(folder / "home")}
        self.env = {name: value for name, value in self.env.items() if name not in ("CI", "TALLYSTICK_LEDGER")}
        (folder / "home").mkdir(parents=True)
        self.origin = folder / "origin.git"
        self.work = folder / "work"
        plan = plan if base else ""
        kept = Path(_KEPT.name) / hashlib.sha256(f"{default} {plan}".encode()).hexdigest()
        if not kept.exists():
            self._make(plan)
            shutil.copytree(folder, kept)
            return
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        self.git("remote", "set-url", "origin", self.origin)

    def _make(self, plan: str) -> None:
        for place, options in ((self.origin, ["--bare"]), (self.work, [])):
            self.git("init", "-q", "--template=", "-b", self.default, *options, place, cwd=self.folder)
        self.git("remote", "add", "origin", self.origin)
        if plan:
            self.write("tallystick.toml", plan)
            self.write("test.sh", TEST)
            self.write("code.txt", GOOD)
            self.commit("Base")
            self.push(self.default)

    # --- whoever works

    def run(self, *argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        """A command, by default in the work tree of whoever works."""
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=cwd or self.work,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
        assert "Traceback (most recent call last)" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *args: str | Path, cwd: Path | None = None) -> str:
        """What git printed; it must not fail."""
        done = self.run("git", *args, cwd=cwd)
        assert done.code == 0, done.said
        return done.out.strip()

    def notch(self, *args: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        """`notch ARGS`, in the work tree of whoever works."""
        return self.run(NOTCH, *args, cwd=cwd, env=env)

    def write(self, path: str, text: str, *, executable: bool = False) -> Path:
        """A file in the work tree of whoever works."""
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if executable:
            file.chmod(0o755)
        return file

    def commit(self, message: str = "Innocent change", *, force: str = "") -> str:
        """Commit everything; `force` adds a path that is ignored."""
        self.git("add", "-A")
        if force:
            self.git("add", "-f", force)
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str = "evil", start: str = "") -> None:
        """A new branch, checked out."""
        self.git("checkout", "-q", "-b", name, *([start] if start else []))

    def push(self, *refs: str) -> None:
        """Push to the origin."""
        self.git("push", "-q", "origin", *refs)

    def forged_path(self) -> dict[str, str]:
        """An environment in which `sh test.sh` passes whatever the code is: the forger's own shell comes first."""
        folder = self.folder / "forged-bin"
        folder.mkdir(exist_ok=True)
        shell = folder / "sh"
        shell.write_text('#!/bin/bash\n[ "$1" = test.sh ] && exit 0\nexec /bin/sh "$@"\n')
        shell.chmod(0o755)
        return {"PATH": f"{folder}:{self.env['PATH']}"}

    def forge(self, task: str = "evil") -> None:
        """On the forger's own machine, record that the tests pass on what is checked out."""
        assert self.notch("check", "-q", task, env=self.forged_path()).code == 0

    # --- CI

    def github(
        self,
        branch: str = "evil",
        *,
        event: str = "pull_request",
        target: str = "",
        run: str = "7",
        attempt: str = "1",
        default: str | None = None,
        folder: str = "ci",
        **more: str,
    ) -> Job:
        """A job of GitHub on a fresh machine, with the checkout that actions/checkout makes."""
        job = Job(self, self.folder / folder)
        job.checkout(branch)
        target = target or self.default
        told: dict[str, object] = {"repository": {"default_branch": self.default if default is None else default}}
        ref = f"refs/heads/{branch}"
        env = {"GITHUB_HEAD_REF": "", "GITHUB_BASE_REF": "", "GITHUB_REF_NAME": branch}
        if event.startswith("pull_request"):
            told["pull_request"] = {"base": {"ref": target}, "head": {"ref": branch}}
            ref = "refs/pull/1/merge"
            env |= {"GITHUB_HEAD_REF": branch, "GITHUB_BASE_REF": target, "GITHUB_REF_NAME": "1/merge"}
        elif event == "merge_group":
            told["merge_group"] = {"base_ref": f"refs/heads/{target}"}
            ref = f"refs/heads/gh-readonly-queue/{target}/pr-1"
        file = job.temp / "event.json"
        file.write_text(json.dumps(told))
        job.env |= {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_REF": ref,
            "GITHUB_REPOSITORY": "owner/repo",
            "GITHUB_SERVER_URL": "https://forge.example",
            "GITHUB_RUN_ID": run,
            "GITHUB_RUN_ATTEMPT": attempt,
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(job.tree),
            **env,
            **more,
        }
        return job

    def gitlab(self, branch: str = "evil", *, merge_request: bool = True, run: str = "7", **more: str) -> Job:
        """A job of GitLab on a fresh machine, whose clone has the branch alone."""
        job = Job(self, self.folder / "ci")
        job.checkout(branch, only=True)
        job.env |= {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_PIPELINE_ID": run,
            "CI_PROJECT_URL": "https://forge.example/group/project",
            "CI_DEFAULT_BRANCH": self.default,
            "CI_COMMIT_REF_NAME": branch,
            **(
                {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": self.default} if merge_request else {"CI_COMMIT_BRANCH": branch}
            ),
            **more,
        }
        return job


class Job:
    """One machine that runs a job: a fresh home, a checkout, and the files that the runner sets."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.tree = folder / "checkout"
        self.temp = folder / "temp"
        (folder / "home").mkdir(parents=True)
        self.temp.mkdir()
        self.outputs, self.summary = folder / "outputs", folder / "summary"
        self.env = {
            "HOME": str(folder / "home"),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "NOTCH": str(NOTCH),
        }
        self.outputs.touch()

    def checkout(self, branch: str, *, only: bool = False) -> None:
        """As runners do it: init, fetch, detach."""
        git, world = self.world.git, self.world
        git("init", "-q", "--template=", self.tree, cwd=world.folder)
        git("remote", "add", "origin", world.origin, cwd=self.tree)
        if only:
            git("fetch", "-q", "origin", f"+refs/heads/{branch}:refs/remotes/origin/{branch}", cwd=self.tree)
        else:
            git("fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*", cwd=self.tree)
        git("checkout", "-q", "--detach", f"refs/remotes/origin/{branch}", cwd=self.tree)

    def notch(self, *args: str | Path, **env: str) -> Done:
        """`notch ARGS` in the checkout."""
        return self.world.run(NOTCH, *args, cwd=self.tree, env={**self.env, **env})

    def run(self, *argv: str | Path, **env: str) -> Done:
        """A command in the checkout."""
        return self.world.run(*argv, cwd=self.tree, env={**self.env, **env})

    def check_and_gate(self, task: str = "evil", *options: str, **env: str) -> Done:
        """What a job does by hand: `notch check`, then `notch gate`; how the worse of both ended."""
        checked = self.notch("check", task, *options, **env)
        gated = self.notch("gate", task, *options, **env)
        return gated if gated.code or not checked.code else checked

    def action(self, task: str = "evil", **env: str) -> Done:
        """The action's own script."""
        return self.run("bash", ROOT / "ci/github/gate.sh", **{"NOTCH_TASK": task, **env})

    def template(self, *jobs: str, task: str = "evil") -> Done:
        """The jobs of GitLab's template, one after the other, in one checkout; how the last one ended."""
        yaml = __import__("yaml")
        template = yaml.safe_load((ROOT / "ci/gitlab/tallystick.yml").read_text())
        done = Done(0, "", "")
        for name in jobs or ("notch-check", "notch-gate"):
            one = template[name]
            script = "\n".join(["set -e", *one["script"]])
            variables = {**one["variables"], "NOTCH_INSTALL": "", "NOTCH_TASK": task}
            done = self.run("bash", "-c", script, **variables, PATH=f"{BIN}:{self.world.env['PATH']}")
        return done

    @property
    def told(self) -> dict[str, str]:
        """The outputs of the step: what comes last counts."""
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines() if "=" in line)
