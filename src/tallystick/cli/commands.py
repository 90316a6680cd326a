"""Every command's name, the file it is in and what it does in a line: known without importing any of them."""

from __future__ import annotations

from collections import namedtuple

Listed = namedtuple("Listed", "module summary")

GROUPS = {
    "Record": {
        "init": Listed("init", "make a ledger here, and a first plan where there is none"),
        "run": Listed("run", "run a command and record what it showed"),
        "record": Listed("record", "record an entry: a claim, a note, a phase"),
        "review": Listed("review", "record what a reviewer found in the content in front of us"),
        "baseline": Listed("record", "record which files were changed before the work began"),
    },
    "Read": {
        "status": Listed("read", "where a task stands: its criteria and phases"),
        "log": Listed("read", "a task's entries, newest last"),
        "show": Listed("read", "one entry, whole"),
        "diff": Listed("diff", "how a task's recorded state changed between two moments"),
        "tasks": Listed("read", "the tasks in the ledger"),
        "artifact": Listed("read", "an entry's output, as it was printed"),
    },
    "Judge": {
        "check": Listed("check", "run what is missing, failed or stale, then judge"),
        "gate": Listed("gate", "whether the evidence still holds for the content in front of it"),
        "why": Listed("gate", "why a criterion stands as it does"),
        "falsify": Listed("reproduce", "show that a criterion's check can fail"),
        "reproduce": Listed("reproduce", "run recorded results again on their content, and compare"),
        "plan": Listed("gate", "the plan in force: what the task has to show"),
        "handoff": Listed("handoff", "a page for whoever takes over: what is shown, what is left, what to run"),
    },
    "Vouch": {
        "attest": Listed("vouch", "stand behind results with a key that others trust"),
        "approve": Listed("vouch", "let a weaker plan or a protected change pass, with a trusted key"),
    },
    "Prove": {
        "verify": Listed("verify", "recompute the history and compare it with what is stored"),
        "key": Listed("trust", "the keys that you sign with"),
        "checkpoint": Listed("trust", "sign the newest head of every task at once"),
    },
    "Move": {
        "import": Listed("exchange", "record what a file says: a test report, a bundle, a session of scafld"),
        "export": Listed("exchange", "write a task's session to a file"),
        "erase": Listed("erase", "take a part of an entry out for good, with a record of it"),
        "copy": Listed("copy", "copy a ledger to another store, where it goes on as the same one"),
        "backup": Listed("exchange", "copy the whole ledger into a new file"),
    },
    "Set up": {
        "hook": Listed("hook", "have git ask the gate before a push"),
        "completion": Listed("completion", "what your shell offers after notch: bash, zsh, fish"),
    },
}

COMMANDS = {name: listed for group in GROUPS.values() for name, listed in group.items()}


def overview() -> str:
    """What `notch --help` prints."""
    lines = [
        "usage: notch [--ledger URL] COMMAND …",
        "",
        "An append-only evidence ledger for work that has to be proved.",
    ]
    width = max(len(name) for name in COMMANDS)
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<{width}}  {listed.summary}" for name, listed in group.items()]
    lines += [
        "",
        "notch COMMAND --help tells more, with an example. The task is the one named, else $TALLYSTICK_TASK,",
        "else the git branch. Exit codes: 0 ok, 1 what was checked failed, 2 bad usage or input,",
        "3 evidence was tampered with, 4 the store is unavailable; run returns its command's own code.",
        "",
    ]
    return "\n".join(lines)


def suggestion(name: str) -> str:
    """What to say about a command that does not exist."""
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, 1)
    return f"did you mean {close[0]}?" if close else "notch --help lists them"
