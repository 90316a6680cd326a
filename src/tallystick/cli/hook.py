"""hook: having git ask the gate."""

from __future__ import annotations

import os
import sys

from tallystick.agents.hook_script import COMMIT_MSG, HOOKS, PRE_PUSH
from tallystick.cli.parser import Command
from tallystick.cli.terminal import paint, print_json
from tallystick.errors import InputError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tallystick.agents.git_hooks import GitHooks, HookStatus

ACTIONS = ("install", "uninstall", "status", "run")
GIT = "git"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=ACTIONS, metavar="ACTION", help="install, uninstall, status; run is for hooks"
    )
    parser.add_argument("what", nargs="?", metavar="git|HOOK", help="what to put it into; for run, the hook it is in")
    parser.add_argument("arguments", nargs="*", metavar="…", help="for run: what git gave the hook")
    parser.add_argument("--pre-push", action="store_true", help="the gate before a push (the default)")
    parser.add_argument(
        "--commit-msg", action="store_true", help="a trailer with verdict and head in commit messages; never blocks"
    )


def _hook(options: argparse.Namespace) -> int:
    if options.action == "run":
        from tallystick.cli.hook_run import run_hook

        return run_hook(options)
    if options.what not in (None, GIT) or options.arguments:
        raise InputError(f"there are no hooks of {options.what}", advice="notch hook install git")
    if options.what is None and options.action != "status":
        raise InputError("whose hooks?", advice=f"notch hook {options.action} git")
    hooks = _hooks(options)
    return {"install": _install, "uninstall": _uninstall, "status": _status}[options.action](hooks, options)


def _hooks(options: argparse.Namespace) -> GitHooks:
    from tallystick.agents.git_hooks import GitHooks
    from tallystick.workspace import Workspace

    return GitHooks(Workspace.find(os.getcwd()), own_command(), ledger=_ledger(options.ledger))


def own_command() -> list[str]:
    """How this `notch` is called from anywhere: an absolute path, and arguments."""
    candidates = [os.path.abspath(sys.argv[0]), os.path.join(os.path.dirname(sys.executable), "notch")]
    for path in candidates:
        if os.path.basename(path) == "notch" and os.access(path, os.X_OK):
            return [path]
    return [sys.executable, "-m", "tallystick"]


def _ledger(url: str | None) -> str:
    """The ledger as a hook can name it. Raises InputError where a password would lie in a hook."""
    from tallystick.location import sqlite_path

    if not url:
        return ""
    path = sqlite_path(url) or ("" if "://" in url else url)
    if path:
        return os.path.abspath(path)
    if ":" in url.partition("://")[2].rpartition("@")[0]:
        raise InputError("the hook would hold a password", advice="set TALLYSTICK_LEDGER, or use ~/.pgpass")
    return url


def _named(options: argparse.Namespace, default: Sequence[str]) -> list[str]:
    named = [name for name, wanted in ((PRE_PUSH, options.pre_push), (COMMIT_MSG, options.commit_msg)) if wanted]
    return named or list(default)


def _install(hooks: GitHooks, options: argparse.Namespace) -> int:
    found = [hooks.install(name) for name in _named(options, [PRE_PUSH])]
    words = list(_words(hooks))
    if options.json:
        print_json(_document(hooks, found, words))
        return 0
    for one in found:
        beside = ", beside the hook that is there" if one.beside else ""
        print(f"{one.name}: installed in {printable(os.path.relpath(one.path))}{beside}")
    for word in words:
        print(f"notch: {word}", file=sys.stderr)
    return 0


def _words(hooks: GitHooks) -> list[str]:
    """What to know about hooks that others write too, or others get."""
    words = []
    if hooks.manager == "husky":
        words.append(
            "husky writes this folder anew whenever it installs; what lasts is a line in .husky/pre-push: "
            'notch hook run pre-push "$@"'
        )
    elif hooks.manager == "pre-commit":
        words.append(
            "pre-commit writes its hooks anew at `pre-commit install`; what lasts is notch's own hook for it, "
            "notch-gate, in .pre-commit-config.yaml"
        )
    if hooks.is_content:
        words.append("the hooks are part of the work tree, so that others get this one: it looks for notch in PATH")
    return words


def _uninstall(hooks: GitHooks, options: argparse.Namespace) -> int:
    removed = [name for name in _named(options, HOOKS) if hooks.uninstall(name)]
    if options.json:
        print_json({"folder": hooks.folder, "removed": removed})
    elif removed:
        print("\n".join(f"{name}: taken out" for name in removed))
    else:
        print("there was nothing to take out")
    return 0


def _status(hooks: GitHooks, options: argparse.Namespace) -> int:
    found = [hooks.status(name) for name in HOOKS]
    if options.json:
        print_json(_document(hooks, found, []))
        return 0
    print(f"hooks in {printable(hooks.folder)}")
    for one in found:
        told = "beside another hook" if one.beside else ""
        if one.state == "outdated":
            told = f"{told}; " * bool(told) + "another notch put it there: notch hook install git renews it"
        print(
            f"  {one.name:<10}  {paint(f'{one.state:<9}', 'pass' if one.state == 'installed' else '')}  {told}".rstrip()
        )
    return 0


def _document(hooks: GitHooks, found: Sequence[HookStatus], words: Sequence[str]) -> dict[str, object]:
    return {
        "folder": hooks.folder,
        "manager": hooks.manager or None,
        "hooks": [{name: getattr(one, name) for name in one.FIELDS} for one in found],
        "words": list(words),
    }


COMMANDS = {
    "hook": Command(
        _arguments,
        _hook,
        "  notch hook install git\n  notch hook install git --pre-push --commit-msg\n  notch hook uninstall git",
    )
}
