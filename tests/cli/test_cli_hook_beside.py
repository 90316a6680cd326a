"""Installing hooks beside those that are there, and taking ours out again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Notch, notch_argv
from support.pushing import Pusher
from tallystick.cli import main

WITNESS = """\
#!/bin/sh
{ echo "$0 $*"; cat; } > "$WITNESS"
exit ${WITNESS_CODE:-0}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pusher:
    """A repository whose branch `work` is shown; `unshown` is not. No hook is installed."""
    made = Pusher.create(tmp_path_factory.mktemp("made"))
    Notch(made.repo.root)("check", "-q")
    made.repo.git("branch", "unshown")
    return made


@pytest.fixture
def pusher(made: Pusher, tmp_path: Path) -> Pusher:
    return made.copy(tmp_path)


@pytest.fixture
def notch(pusher: Pusher) -> Notch:
    return Notch(pusher.repo.root)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the hook that was there was called with, and read."""
    monkeypatch.setenv("WITNESS", str(tmp_path / "witness"))
    return tmp_path / "witness"


def hook(pusher: Pusher, name: str = "pre-push") -> Path:
    return pusher.repo.root / ".git" / "hooks" / name


def put(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def everything(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """What lies in a folder: modes, contents, where links lead."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def gated(pusher: Pusher) -> bool:
    """Whether pushes go through the gate: the one that is shown arrives, the other does not."""
    shut, opened = pusher.push("unshown"), pusher.push("work")
    assert opened.code == 0, opened.said
    assert "gate open  work" in opened.said or not shut.code
    return bool(shut.code)


# --- a hook that is there


@pytest.mark.parametrize("shebang", ["#!/usr/bin/env bash", ""])
def test_a_shell_hook_keeps_its_place_and_is_called(pusher: Pusher, notch: Notch, witness: Path, shebang: str) -> None:
    put(hook(pusher), WITNESS.replace("#!/bin/sh\n", f"{shebang}\n" if shebang else ""))
    assert "beside the hook that is there" in notch("hook", "install", "git").stdout
    assert pusher.push("unshown").code
    assert not witness.exists()
    assert gated(pusher)
    called, refs = witness.read_text().splitlines()
    assert called.endswith(f"hooks/pre-push origin {pusher.origin.root}")
    assert refs.startswith(f"refs/heads/work {pusher.repo.head()} refs/heads/work ")


def test_its_refusal_counts_as_before(pusher: Pusher, notch: Notch, witness: Path) -> None:
    put(hook(pusher), WITNESS)
    notch("hook", "install", "git")
    assert pusher.push("work", env={"WITNESS_CODE": "7"}).code
    assert witness.exists()


PYTHON = f"""\
#!{sys.executable}
import os, sys
with open(os.environ["WITNESS"], "w") as file:
    file.write(f"{{os.path.basename(sys.argv[0])}} {{sys.argv[1]}}\\n{{sys.stdin.read()}}")
sys.exit(int(os.environ.get("WITNESS_CODE", "0")))
"""


def test_one_that_is_no_shell_script_is_kept_and_called_by_its_name(
    pusher: Pusher, notch: Notch, witness: Path
) -> None:
    put(hook(pusher), PYTHON)
    before = everything(hook(pusher).parent)
    notch("hook", "install", "git")
    assert gated(pusher)
    called, refs = witness.read_text().splitlines()
    assert called == "pre-push origin"
    assert refs.startswith("refs/heads/work ")
    assert pusher.push("work:again", env={"WITNESS_CODE": "7"}).code
    notch("hook", "uninstall", "git")
    assert everything(hook(pusher).parent) == before


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_is_kept_as_a_link(pusher: Pusher, notch: Notch, witness: Path, relative: bool) -> None:
    script = put(pusher.repo.root / "scripts" / "push-check", WITNESS)
    hook(pusher).symlink_to("../../scripts/push-check" if relative else script)
    before = everything(hook(pusher).parent)
    notch("hook", "install", "git")
    assert script.read_text() == WITNESS
    assert gated(pusher)
    assert "/pre-push origin" in witness.read_text()
    notch("hook", "uninstall", "git")
    assert everything(hook(pusher).parent) == before


def test_one_that_is_switched_off_stays_off(pusher: Pusher, notch: Notch, witness: Path) -> None:
    put(hook(pusher), WITNESS, mode=0o644)
    before = everything(hook(pusher).parent)
    notch("hook", "install", "git")
    assert gated(pusher)
    assert not witness.exists()
    notch("hook", "uninstall", "git")
    assert everything(hook(pusher).parent) == before


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (None, 0),
        (WITNESS, 0o755),
        (WITNESS, 0o700),
        ("echo no shebang", 0o755),
        ("#!/bin/sh\r\necho\r\n", 0o755),
        ("#!/bin/bash\n# \udcff no UTF-8\n", 0o755),
        ("", 0o755),
        (PYTHON, 0o755),
    ],
)
def test_taking_it_out_leaves_what_was_there(
    pusher: Pusher,
    text: str | None,
    mode: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pusher.repo.root)
    if text is not None:
        hook(pusher).write_bytes(text.encode("utf-8", "surrogateescape"))
        hook(pusher).chmod(mode)
    before = everything(hook(pusher).parent)
    assert main(["hook", "install", "git", "--pre-push", "--commit-msg"]) == 0
    after = everything(hook(pusher).parent)
    assert after != before
    assert main(["hook", "install", "git", "--pre-push", "--commit-msg"]) == 0
    assert everything(hook(pusher).parent) == after
    capsys.readouterr()
    assert main(["hook", "uninstall", "git", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == ["pre-push", "commit-msg"]
    assert everything(hook(pusher).parent) == before
    assert main(["hook", "uninstall", "git"]) == 0
    assert "nothing to take out" in capsys.readouterr().out


def test_what_was_added_since_stays(pusher: Pusher, notch: Notch) -> None:
    notch("hook", "install", "git")
    with hook(pusher).open("a") as file:
        file.write("echo mine\n")
    notch("hook", "uninstall", "git")
    assert hook(pusher).read_text() == "#!/bin/sh\necho mine\n"


def test_an_outdated_one_is_named_and_renewed(pusher: Pusher, notch: Notch) -> None:
    notch("hook", "install", "git")
    hook(pusher).write_text(hook(pusher).read_text().replace(notch_argv()[0], "/old/notch"))
    status = notch("hook", "status").stdout
    assert "pre-push    outdated" in status
    assert "commit-msg  absent" in status
    notch("hook", "install", "git")
    assert "pre-push    installed" in notch("hook", "status", "git").stdout
    assert gated(pusher)


def test_what_is_told_as_json(pusher: Pusher, notch: Notch) -> None:
    put(hook(pusher), WITNESS)
    told = notch.json("hook", "install", "git", "--commit-msg")
    assert [one["name"] for one in told["hooks"]] == ["commit-msg"]
    told = notch.json("hook", "status")
    assert (told["folder"], told["manager"], told["words"]) == (str(hook(pusher).parent), None, [])
    assert told["hooks"] == [
        {"name": "pre-push", "state": "absent", "path": str(hook(pusher)), "beside": True},
        {"name": "commit-msg", "state": "installed", "path": str(hook(pusher, "commit-msg")), "beside": False},
    ]


# --- where hooks lie


def test_a_linked_work_tree_has_the_same_hooks(pusher: Pusher, notch: Notch, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    pusher.repo.git("worktree", "add", "-q", "-b", "linked", linked)
    Notch(linked)("hook", "install", "git")
    assert "installed" in notch("hook", "status").stdout
    assert gated(pusher)


def test_a_folder_that_everybody_gets(pusher: Pusher, notch: Notch, witness: Path) -> None:
    pusher.repo.git("config", "core.hooksPath", ".githooks")
    shared = put(pusher.repo.root / ".githooks" / "pre-push", WITNESS)
    assert "others get this one" in notch("hook", "install", "git").stderr
    assert notch_argv()[0] not in shared.read_text()
    assert gated(pusher)
    assert witness.exists()
    assert not hook(pusher).exists()
    assert pusher.push("unshown", env={"PATH": "/usr/bin:/bin"}).code == 0


@pytest.mark.parametrize("elsewhere", ["hooks", "/dev/null"])
def test_a_folder_that_is_not_this_repositorys_is_left_alone(
    pusher: Pusher, notch: Notch, tmp_path: Path, elsewhere: str
) -> None:
    folder = tmp_path / elsewhere
    if elsewhere == "hooks":
        folder.mkdir()
    pusher.repo.git("config", "core.hooksPath", folder)
    done = notch("hook", "install", "git", code=2)
    assert f"core.hooksPath = {folder}" in done.stderr
    assert not folder.is_dir() or not list(folder.iterdir())


def test_hooks_that_husky_calls(pusher: Pusher, notch: Notch, witness: Path) -> None:
    """Its stubs find the hook by their own name and place, so they must keep both."""
    under = pusher.repo.root / ".husky" / "_"
    put(
        under / "h",
        'hook=$(dirname "$(dirname "$0")")/$(basename "$0")\n[ -f "$hook" ] || exit 0\nsh -e "$hook" "$@"\n',
    )
    stub = put(under / "pre-push", '#!/usr/bin/env sh\n. "${0%/*}/h"\n')
    put(under / ".gitignore", "*\n", mode=0o644)
    put(pusher.repo.root / ".husky" / "pre-push", WITNESS.removeprefix("#!/bin/sh\n"), mode=0o644)
    pusher.repo.git("config", "core.hooksPath", ".husky/_")
    before = stub.read_text()
    done = notch("hook", "install", "git")
    assert "what lasts is a line in .husky/pre-push" in done.stderr
    assert notch.json("hook", "status")["manager"] == "husky"
    assert gated(pusher)
    assert witness.read_text().splitlines()[1].startswith("refs/heads/work ")
    notch("hook", "uninstall", "git")
    assert stub.read_text() == before


def test_the_line_that_lasts_under_husky(pusher: Pusher, witness: Path) -> None:
    put(hook(pusher), f'#!/bin/sh -e\n{notch_argv()[0]} hook run pre-push "$@"\n')
    assert gated(pusher)


# --- the pre-commit framework, the real one


def pre_commit(pusher: Pusher, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", *args], cwd=pusher.repo.root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


CONFIG = """\
repos:
  - repo: local
    hooks:
      - id: witness
        name: witness
        entry: sh -c 'echo called > "$WITNESS"'
        language: system
        stages: [pre-push]
        pass_filenames: false
        always_run: true
"""


@pytest.fixture
def with_pre_commit(pusher: Pusher) -> Pusher:
    """Its configuration, committed and shown."""
    pytest.importorskip("pre_commit")
    pusher.repo.write(".pre-commit-config.yaml", CONFIG)
    pusher.repo.commit()
    return pusher


def test_a_hook_that_pre_commit_wrote_before(with_pre_commit: Pusher, notch: Notch, witness: Path) -> None:
    pre_commit(with_pre_commit, "install", "-t", "pre-push")
    before = hook(with_pre_commit).read_bytes()
    assert "notch-gate" in notch("hook", "install", "git").stderr
    assert gated(with_pre_commit)
    assert witness.read_text() == "called\n"
    notch("hook", "uninstall", "git")
    assert hook(with_pre_commit).read_bytes() == before


def test_a_hook_that_pre_commit_writes_after(with_pre_commit: Pusher, notch: Notch, witness: Path) -> None:
    notch("hook", "install", "git")
    pre_commit(with_pre_commit, "install", "-t", "pre-push")
    assert gated(with_pre_commit)
    assert witness.read_text() == "called\n"
    told = notch.json("hook", "status")["hooks"][0]
    assert (told["state"], Path(told["path"]).name) == ("installed", "pre-push.legacy")
    notch("hook", "uninstall", "git")
    assert not gated(with_pre_commit)
    assert not hook(with_pre_commit, "pre-push.legacy").exists()


def test_our_hooks_for_pre_commit(
    pusher: Pusher, notch: Notch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `.pre-commit-hooks.yaml` has them, but run by the `notch` that is installed: nothing is fetched."""
    pytest.importorskip("pre_commit")
    from support.repository import GitRepo

    ours = GitRepo.create(tmp_path / "ours")
    ours.write(".pre-commit-hooks.yaml", (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_bytes())
    revision = ours.commit()
    hooks = [{"id": id, "language": "system"} for id in ("notch-gate", "notch-evidence")]
    repos = [{"repo": str(ours.root), "rev": revision, "hooks": hooks}]
    pusher.repo.write(".pre-commit-config.yaml", json.dumps({"repos": repos}))
    pusher.repo.commit()
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    pre_commit(pusher, "install", "-t", "pre-push", "-t", "commit-msg")
    shut = pusher.push("unshown")
    assert shut.code
    assert "gate shut  unshown" in shut.said
    assert pusher.push("work").code == 0
    pusher.repo.write("a/input.txt", "changed\n")
    pusher.repo.commit()
    assert "✗ a  stale        a/input.txt changed since" in pusher.push("work").said
    evidence = pusher.repo.git("log", "-1", "--format=%(trailers:key=Evidence,valueonly)").strip()
    status = notch.json("status")
    assert evidence == f"shut work {status['position']}:{status['root']} (a stale)"
