"""What is done at random in a `World`: files edited, git used, criteria run, the environment changed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from gate_world import CRITERIA, FILES, MADE, World

TEXTS = (b"1\n", b"2\n", b"3\n", b"")
LEFT = (b"p1\n", b"p2\n", b"1\n")
BRANCHES = ("main", "one", "two")


class RandomWork(World):
    """A world in which something is done at every step, and checked afterwards."""

    def step(self) -> None:
        self.check(self.act())

    def act(self) -> str:
        if self.chance.random() < 0.02:
            return self.chance.choice((self.abandon_runs, self.abandon_runs, self.lose_the_ledger))()
        kinds = (self.edit,) * 6 + (self.git_action,) * 4 + (self.some_run,) * 5 + (self.environment,)
        return self.chance.choice(kinds)()

    def edit(self) -> str:
        """Something with a file."""
        kind = self.chance.choice(
            ("write", "write", "write", "touch", "chmod", "rename", "remove", "undo", "link", "ignored", "made")
        )
        path = self.chance.choice(FILES)
        file = self.root / path
        if kind == "made":
            path = self.chance.choice(MADE)
            file = self.root / path
            kind = self.chance.choice(("write", "remove", "touch"))
        if kind in ("write", "link"):
            self._clear(path)
            if kind == "link":
                file.symlink_to(self.chance.choice(("one", "two")))
            else:
                file.write_bytes(self.chance.choice(TEXTS + LEFT))
        elif kind == "ignored":
            self.repo.write(self.chance.choice(("a/x.log", "ignored/x")), self.chance.choice(TEXTS))
        elif kind == "undo":
            self.repo.git("checkout", "-q", "--", ".", check=False)
        elif not file.is_file() or (file.is_symlink() and kind != "remove"):
            return f"no {kind} of {path}"
        elif kind == "touch":
            os.utime(file)
        elif kind == "chmod":
            file.chmod(file.stat().st_mode ^ 0o111)
        elif kind == "remove":
            file.unlink()
        elif kind == "rename":
            to = self.chance.choice(FILES)
            if to != path:
                self._clear(to)
                file.rename(self.root / to)
            return f"rename {path} to {to}"
        return f"{kind} {path}"

    def _clear(self, path: str) -> None:
        file = self.root / path
        for folder in reversed(file.relative_to(self.root).parents):
            full = self.root / folder
            if full.is_symlink() or full.is_file():
                full.unlink()
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink() or file.exists():
            file.unlink()

    def environment(self) -> str:
        value = self.chance.choice((None, "x", "y"))
        if value is None:
            os.environ.pop("GATE_VALUE", None)
        else:
            os.environ["GATE_VALUE"] = value
        return f"the environment says {value}"

    def git_action(self) -> str:
        git, chance = self.repo.git, self.chance
        if (self.root / ".git" / "MERGE_HEAD").exists() or (self.root / ".git" / "CHERRY_PICK_HEAD").exists():
            kind = chance.choice(("commit", "abort"))
        else:
            kind = chance.choice(
                ("commit", "commit", "commit tracked", "amend", "switch", "switch", "switch", "detach", "stash", "pop",
                 "pop", "rebase", "squash", "merge", "pick", "reset", "soft", "stage", "unstage", "untrack", "clean",
                 "prune", "worktree")
            )  # fmt: skip
        commands: dict[str, list[list[str]]] = {
            "commit": [["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "Change"]],
            "commit tracked": [["commit", "-q", "-a", "-m", "Change"]],
            "amend": [["add", "-A"], ["commit", "-q", "--amend", "--allow-empty", "-m", "Amended"]],
            "switch": [["checkout", "-q", chance.choice(BRANCHES)]],
            "detach": [["checkout", "-q", "--detach"]],
            "stash": [["stash", "push", "-q", *chance.choice(([], ["-u"], ["--keep-index"]))]],
            "pop": [["stash", "pop", "-q"]],
            "rebase": [["rebase", "-q", chance.choice(BRANCHES)], ["rebase", "--abort"]],
            "squash": [["merge", "-q", "--squash", chance.choice(BRANCHES)], ["commit", "-q", "-m", "Squashed"]],
            "merge": [["merge", "-q", "-m", "Merge", chance.choice(BRANCHES)]],
            "pick": [["cherry-pick", "--allow-empty", chance.choice(BRANCHES)]],
            "reset": [["reset", "-q", "--hard", chance.choice(("HEAD", "HEAD", "HEAD~"))]],
            "soft": [["reset", "-q", chance.choice(("--soft", "--mixed")), "HEAD~"]],
            "stage": [["add", "--", chance.choice(FILES)]],
            "unstage": [["reset", "-q"]],
            "untrack": [["rm", "-q", "--cached", "--ignore-unmatch", "--", chance.choice(FILES)]],
            "clean": [["clean", "-q", "-f", "-d"]],
            "abort": [["reset", "-q", "--hard"]],
            "prune": [["reflog", "expire", "--expire=now", "--all"], ["gc", "-q", "--prune=now"]],
            "worktree": [["update-index", "-q", "--refresh"]],
        }  # fmt: skip
        if kind == "prune" and chance.random() > 0.1:
            return "nothing"
        for command in commands[kind]:
            git(*command, check=False)
        return " ".join(commands[kind][0])

    def some_run(self) -> str:
        """A run of some kind."""
        chance = self.chance
        criterion = chance.choice(CRITERIA)
        kinds = ("tidies", "edits", "puts back", "killed", "elsewhere", "meanwhile")
        kind = chance.choice(("plain",) * 4 + ("leaves",) * 4 + kinds)
        outcome = chance.choice(("pass", "pass", "pass", "pass", "fail", "cut", "absent"))
        if kind in ("killed", "elsewhere"):
            self.killed_run(criterion, elsewhere=kind == "elsewhere")
            return f"run {criterion.id}, {kind}"
        lines = ""
        if kind == "leaves":
            lines = self._leave(chance.choice(MADE), chance.choice(LEFT))
            if chance.random() < 0.3:
                lines += self._leave(chance.choice(MADE), chance.choice(LEFT))
        elif kind == "tidies":
            lines = f"rm -f {chance.choice(MADE)}"
        elif kind == "edits":
            lines = self._leave(chance.choice(FILES), chance.choice(TEXTS))
        elif kind == "puts back":
            path = chance.choice(FILES)
            file = self.root / path
            if file.is_file() and not file.is_symlink():
                time.sleep(0.01)  # the clock of file systems ticks that slowly
                lines = f"cp -p {path} .tallystick/kept; echo x > {path}; cp -p .tallystick/kept {path}"
        if kind == "meanwhile" and len(self.running) < 2:
            doings: list[str] = []

            def meanwhile() -> None:
                for _ in range(chance.randint(1, 3)):
                    doings.append(self.act())
                    self.check(f"meanwhile {doings[-1]}")

            task = self.task
            self.run(criterion, lines, outcome, meanwhile=meanwhile)
            return f"run {criterion.id} of {task}, {outcome}, meanwhile {doings}"
        self.run(criterion, lines, outcome)
        return f"run {criterion.id}, {outcome}: {lines}"

    def _leave(self, path: str, data: bytes) -> str:
        """A script's lines that write a file, whatever stands there."""
        text = data.decode().replace("\n", "\\n")
        folder = os.path.dirname(path) or "."
        return f"[ -f {folder} ] && rm {folder}; mkdir -p {folder}; rm -f {path}; printf '{text}' > {path}\n"


def prepared(root: Path) -> Path:
    """A template with its branches."""
    template = World.template(root)
    for branch in BRANCHES[1:]:
        subprocess.run(["git", "-C", str(template), "branch", branch], check=True)
    return template
