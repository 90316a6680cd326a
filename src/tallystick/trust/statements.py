"""What a key says about entries and plans: attestations and approvals, as signed notes in the ledger.

A statement is the text of a C2SP signed note. Its first line names the ledger and the kind, its second line is the
subject: what the signer had in front of it, as JSON of one spelling. The lines after it are what is stated. A
checkpoint's second line is a number, so that no signature of the one can pass for the other.

Statements of the first version have only the task as their second line. They prove their lines and nothing else.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from itertools import pairwise

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import compact
from tallystick.proof.note import SignedNote, sign
from tallystick.stores.base import Head
from tallystick.stores.checkpoints import origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.proof.keys import VerifierKey
    from tallystick.trust.keys import Key

    File = tuple[str, str, str, str]
    """(path, mode, blob before, blob after): a changed file. A blob is empty if there was, or is, no such file."""

ATTESTATION, APPROVAL = "attestation", "approval"
"""The types of the entries that hold statements, and the kinds of most."""
REPRODUCTION, REVIEW = "reproduction", "review"
"""The kinds of attestations of a run that repeats another one, and of a review."""
KINDS = {ATTESTATION: (ATTESTATION, REPRODUCTION, REVIEW), APPROVAL: (APPROVAL,)}
"""The type of an entry -> the kinds of statements that it may hold."""
NOT_BEGUN = Head(0, "0" * 64)
"""The head of a session that does not exist yet."""
LINES_LIMIT = 10_000
VERSION = 2
_ENTRY = re.compile(r"entry ([1-9]\d{0,9}) ([0-9a-f]{64})", re.ASCII)
_WEAKENING = re.compile(r"weakening ([0-9a-f]{64})", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class Subject(Frozen):
    """What a statement is about: what its signer had in front of it."""

    __slots__ = FIELDS = (
        "task_id", "head", "repository", "base", "plans", "protected", "changes", "expires",
    )  # fmt: skip

    task_id: str
    head: Head
    """The session's head at which it was made: an attestation covers the history up to it."""
    repository: str
    """The id of the repository, `[gate] id` of the base's plan; empty if that has none."""
    base: str
    """The newest commit of the protected branch."""
    plans: tuple[str, str]
    """The blob ids of the base's plan and of the work tree's; empty for none."""
    protected: tuple[File, ...]
    """The protected files that differ from the merge base, by path."""
    changes: str
    """The digest of every file that differs from the merge base; empty if the statement is not bound to them."""
    expires: str
    """When it ends (RFC 3339); empty for never."""

    def __init__(
        self,
        task_id: str,
        head: Head,
        *,
        repository: str = "",
        base: str = "",
        plans: tuple[str, str] = ("", ""),
        protected: tuple[File, ...] = (),
        changes: str = "",
        expires: str = "",
    ) -> None:
        set_once(self, "task_id", task_id)
        set_once(self, "head", head)
        set_once(self, "repository", repository)
        set_once(self, "base", base)
        set_once(self, "plans", plans)
        set_once(self, "protected", protected)
        set_once(self, "changes", changes)
        set_once(self, "expires", expires)

    def spelled(self) -> str:
        """The one line that says it: compact JSON, keys in byte order, nothing left out."""
        fields = {
            "v": VERSION,
            "base": self.base,
            "changes": self.changes,
            "expires": self.expires,
            "head": str(self.head),
            "plans": list(self.plans),
            "protected": [list(file) for file in self.protected],
            "repository": self.repository,
            "task": self.task_id,
        }
        return compact(fields).decode()

    @classmethod
    def parse(cls, line: str) -> Subject:
        """The subject that a line says. Raises InputError for anything but the one spelling of it."""
        try:
            told = json.loads(line)
            found = cls(
                told["task"],
                Head.parse(told["head"]),
                repository=told["repository"],
                base=told["base"],
                plans=tuple(told["plans"]),
                protected=tuple(tuple(file) for file in told["protected"]),
                changes=told["changes"],
                expires=told["expires"],
            )
            texts = [found.task_id, found.repository, found.base, found.changes, found.expires, *found.plans]
            texts += [part for file in found.protected for part in file]
            known = told["v"] == VERSION and len(found.plans) == 2 and all(len(file) == 4 for file in found.protected)
            timed = not found.expires or _TIME.fullmatch(found.expires)
            if known and timed and all(isinstance(text, str) for text in texts) and found.spelled() == line:
                return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
            pass
        raise InputError("the statement's subject cannot be read", advice="a later version may have written it")


class Statement(Frozen):
    """A statement in a signed note. Whose it is, is not said before `signers`."""

    __slots__ = FIELDS = ("kind", "ledger_id", "task_id", "subject", "entries", "weakenings", "note")

    kind: str
    """`attestation`, `reproduction`, `review` or `approval`."""
    ledger_id: str
    task_id: str
    subject: Subject | None
    """What it is about; None for a statement of the first version."""
    entries: Mapping[int, str]
    """What is attested: position -> leaf hash of the entry's record, in hex."""
    weakenings: frozenset[str]
    """What is approved: digests as `weakening_digest` makes them."""
    note: SignedNote

    def __init__(
        self,
        kind: str,
        ledger_id: str,
        task_id: str,
        note: SignedNote,
        *,
        subject: Subject | None = None,
        entries: Mapping[int, str] | None = None,
        weakenings: Iterable[str] = (),
    ) -> None:
        set_once(self, "kind", kind)
        set_once(self, "ledger_id", ledger_id)
        set_once(self, "task_id", task_id)
        set_once(self, "subject", subject)
        set_once(self, "entries", dict(entries or {}))
        set_once(self, "weakenings", frozenset(weakenings))
        set_once(self, "note", note)

    def signers(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Which of the keys signed it, under the name of the ledger that it names.

        Name and id together identify a signer (C2SP signed-note), and every signature that is a key's has to hold.
        Raises CheckFailedError for one that does not.
        """
        found = []
        for key in keys:
            named = key.replace(name=origin_of(self.ledger_id))
            own = [one for one in self.note.signatures if (one.name, one.key_id) == (named.name, named.key_id)]
            for signature in own:
                named.verify(self.note.text, signature.signature)
            if own:
                found.append(key)
        return found


def weakening_digest(fields: Mapping[str, Any]) -> str:
    """What an approval says of one weakening: hex SHA-256 of its fields as compact JSON, keys in byte order."""
    return sha256(compact(dict(fields))).hexdigest()


def files_digest(files: Iterable[File]) -> str:
    """What a statement says of all changed files: hex SHA-256 of them as compact JSON, by path."""
    return sha256(compact([list(file) for file in sorted(files)])).hexdigest()


def attest(key: Key, ledger_id: str, subject: Subject, entries: Mapping[int, str], kind: str = ATTESTATION) -> str:
    """The signed statement that the key stands behind these entries (position -> leaf hash in hex)."""
    lines = [f"entry {position} {leaf}" for position, leaf in sorted(entries.items())]
    if not lines:
        raise InputError(f"there is nothing that an {kind} could be about", where=subject.task_id)
    return _signed(key, ledger_id, kind, subject, lines)


def approve(key: Key, ledger_id: str, subject: Subject, weakenings: Iterable[Mapping[str, Any]]) -> str:
    """The signed statement that the key lets these weakenings, and the subject's protected files, pass."""
    lines = sorted(f"weakening {weakening_digest(fields)}" for fields in weakenings)
    if not lines and not subject.protected:
        raise InputError("there is nothing that an approval could be about", where=subject.task_id)
    return _signed(key, ledger_id, APPROVAL, subject, lines)


def _signed(key: Key, ledger_id: str, kind: str, subject: Subject, lines: list[str]) -> str:
    text = "".join(f"{line}\n" for line in (f"{origin_of(ledger_id)}/{kind}", subject.spelled(), *lines))
    return str(sign(text, [key.signer(origin_of(ledger_id))]))


def parse_statement(text: str) -> Statement:
    """The statement in a signed note. Raises InputError for anything but the one spelling of it."""
    note = SignedNote.parse(text)
    lines = note.text.split("\n")[:-1]
    if not 2 <= len(lines) <= LINES_LIMIT:
        raise InputError("the note is no statement about a task")
    origin, _, kind = lines[0].rpartition("/")
    ledger_id = origin.removeprefix("tallystick/")
    subject = Subject.parse(lines[1]) if lines[1].startswith("{") else None
    task_id = subject.task_id if subject is not None else _task_of(lines[1])
    known = kind in (ATTESTATION, APPROVAL) if subject is None else any(kind in kinds for kinds in KINDS.values())
    if not known or origin_of(ledger_id) != origin:
        raise InputError("the note is no statement about a task")
    pattern = _WEAKENING if kind == APPROVAL else _ENTRY
    matches = [pattern.fullmatch(line) for line in lines[2:]]
    found = [match for match in matches if match is not None]
    if len(found) != len(matches) or (subject is not None and not _in_order(kind, found)):
        raise InputError("the statement has a line that it cannot have")
    if not found and not (subject is not None and subject.protected):
        raise InputError("the statement states nothing")
    if kind == APPROVAL:
        weakenings = [match[1] for match in found]
        return Statement(kind, ledger_id, task_id, note, subject=subject, weakenings=weakenings)
    entries = {int(match[1]): match[2] for match in found}
    return Statement(kind, ledger_id, task_id, note, subject=subject, entries=entries)


def _in_order(kind: str, lines: list[re.Match[str]]) -> bool:
    """Whether the lines are as they are written: in order, none twice."""
    keys: list[Any] = [line[1] if kind == APPROVAL else int(line[1]) for line in lines]
    return all(one < other for one, other in pairwise(keys))


def _task_of(line: str) -> str:
    """The task in the second line of a statement of the first version."""
    try:
        task_id = json.loads(line)
    except (ValueError, RecursionError):
        task_id = None
    if not isinstance(task_id, str) or json.dumps(task_id) != line:
        raise InputError("the note is no statement about a task")
    return task_id
