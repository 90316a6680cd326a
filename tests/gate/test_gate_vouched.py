"""Statements of a trusted key that somebody moves to where they do not belong are worth nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.repository import GitRepo
from tallystick import Entry, Ledger
from tallystick.gate.base import BaseRules
from tallystick.gate.case import PendingPlan
from tallystick.gate.evidence import Evidence
from tallystick.gate.provenance import OUTSIDE_CI
from tallystick.gate.subject import InFront
from tallystick.gate.trusted import TrustedKey
from tallystick.gate.vouched import Vouched
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.proof.note import sign
from tallystick.recorded import StoredTree
from tallystick.stores.base import Head
from tallystick.stores.checkpoints import origin_of
from tallystick.trust.keys import Key
from tallystick.trust.statements import APPROVAL, ATTESTATION, Subject, approve, attest, parse_statement
from tallystick.workspace import Workspace

SECRET = SigningKey("boss", ED25519, b"\7" * 32)
KEY = Key("boss", "file", ED25519, SECRET.key.public, secret=SECRET)
TRUSTED = {"boss": TrustedKey("boss", str(SECRET.key), ("attest", "approve"))}
WEAKENING = {"criterion": "tests", "what": "command changed", "was": "make", "now": "true"}
NOW, LATER = "2026-11-30T00:00:00.000000Z", "2027-01-15T00:00:00.000000Z"
PLAN = '[criteria.tests]\nrun = "make"\n[gate]\nid = "{id}"\nprotect = ["tests (golden)/**", "*.lock"]\n'


class World:
    """A protected branch with a plan, a branch that weakens it, and a ledger."""

    def __init__(self, folder: Path, id: str = "one") -> None:
        self.folder = folder
        self.repo = GitRepo.create(folder / "repo")
        self.repo.write("tallystick.toml", PLAN.format(id=id))
        self.repo.write("tests (golden)/out.txt", "1\n")
        self.repo.write("src", "1\n")
        self.repo.commit("Base")
        self.repo.git("checkout", "-q", "-b", "work")
        self.repo.write("tallystick.toml", PLAN.format(id=id).replace("make", "true"))
        self.repo.write("tests (golden)/out.txt", "2\n")
        self.repo.commit("Weaken")
        self.ledger = Ledger.open(str(folder / f"{id}.db"))
        for task in ("t", "u"):
            for status in ("pass", "fail"):
                self.ledger.append(task, Entry(type="criterion", criterion_id="tests", status=status))
        self.now = NOW
        self.steps = 0

    def in_front(self, task: str) -> InFront:
        workspace = Workspace.find(str(self.repo.root))
        snapshot = workspace.snapshot()
        plan = PendingPlan(workspace, BaseRules()).result(task, snapshot)
        return InFront(workspace, snapshot, plan, self.now)

    def vouched(self, task: str = "t", ledger: Ledger | None = None) -> Vouched:
        return Vouched(Evidence(ledger or self.ledger, task, OUTSIDE_CI), TRUSTED, self.in_front(task))

    def approval(self, *, exactly: bool = False) -> str:
        subject = self.in_front("t").subject(self.ledger.head("t"), kind=APPROVAL, exactly=exactly)
        return approve(KEY, self.ledger.ledger_id, subject, [WEAKENING])

    def attestation(self, positions: dict[int, str] | None = None) -> str:
        subject = self.in_front("t").subject(self.ledger.head("t"), kind=ATTESTATION)
        return attest(KEY, self.ledger.ledger_id, subject, positions or {1: self.leaf("t", 1)})

    def leaf(self, task: str, position: int) -> str:
        return StoredTree(self.ledger.store, self.ledger.sessions_of(task)[0]).leaf(position).hex()

    def put(self, task: str, kind: str, note: str, ledger: Ledger | None = None) -> None:
        (ledger or self.ledger).append(task, Entry(type=kind, details={kind: {"note": note}}))

    def approved(self, fields: dict[str, str] = WEAKENING, task: str = "t", ledger: Ledger | None = None) -> bool:
        vouched = self.vouched(task, ledger)
        assert bool(vouched.protected_approved_by()) == bool(vouched.approved_by(WEAKENING))
        return bool(vouched.approved_by(fields))

    def attested(self, task: str = "t", ledger: Ledger | None = None) -> list[int]:
        vouched = self.vouched(task, ledger)
        found = Evidence(ledger or self.ledger, task, OUTSIDE_CI).attempts("tests")
        return [one.position for one in found if vouched.attested_by(one)]

    # --- what keeps an approval

    def commit(self) -> None:
        self.steps += 1
        self.repo.write("src", f"step {self.steps}\n")
        self.repo.commit("More")

    def merge_of_others(self) -> None:
        self.steps += 1
        self.repo.git("checkout", "-q", "main")
        self.repo.write(f"other-{self.steps}", "x\n")
        self.repo.commit("Of others")
        self.repo.git("checkout", "-q", "work")

    def rebase(self) -> None:
        self.repo.git("rebase", "-q", "main")

    def amend(self) -> None:
        self.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "Amended")

    def uncommitted(self) -> None:
        self.steps += 1
        self.repo.write("src", f"dirty {self.steps}\n")
        self.repo.commit("Then committed")

    # --- what ends it

    def edit_plan(self) -> None:
        self.repo.write("tallystick.toml", self.repo.read("tallystick.toml") + "# edited\n")

    def edit_plan_of_base(self) -> None:
        self.repo.git("checkout", "-q", "main")
        self.repo.write("tallystick.toml", self.repo.read("tallystick.toml") + "# edited\n")
        self.repo.commit("Edit the plan")
        self.repo.git("checkout", "-q", "work")

    def edit_protected(self) -> None:
        self.repo.write("tests (golden)/out.txt", "3\n")

    def make_executable(self) -> None:
        (self.repo.root / "tests (golden)/out.txt").chmod(0o755)

    def make_link(self) -> None:
        file = self.repo.root / "tests (golden)/out.txt"
        file.unlink()
        file.symlink_to("2\n")

    def add_protected(self) -> None:
        self.repo.write("x.lock", "x\n")

    def remove_protected(self) -> None:
        self.repo.remove("tests (golden)/out.txt")

    def expire(self) -> None:
        self.now = LATER

    def rewrite_base(self) -> None:
        tree = self.repo.git("rev-parse", "main^{tree}")
        another = self.repo.git("commit-tree", "-m", "Another history", tree)
        self.repo.git("update-ref", "refs/heads/main", another)

    def name_otherwise(self) -> None:
        self.repo.git("checkout", "-q", "main")
        self.repo.write("tallystick.toml", PLAN.format(id="two"))
        self.repo.commit("Another repository")
        self.repo.git("checkout", "-q", "work")

    def merge(self) -> None:
        self.repo.git("checkout", "-q", "main")
        self.repo.git("merge", "-q", "--no-edit", "work")
        self.repo.git("checkout", "-q", "work")


KEEPS = (World.commit, World.merge_of_others, World.rebase, World.amend, World.uncommitted)
ENDS = (
    World.edit_plan, World.edit_plan_of_base, World.edit_protected, World.make_executable, World.make_link,
    World.add_protected, World.remove_protected, World.expire, World.rewrite_base, World.name_otherwise, World.merge,
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()


@given(st.lists(st.sampled_from(KEEPS), max_size=4), st.sampled_from(ENDS))
@settings(max_examples=25)
def test_an_approval_is_kept_by_work_and_ended_by_what_it_is_about(
    tmp_path_factory: pytest.TempPathFactory, keeps: list, end: object
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    world.put("t", "approval", world.approval())
    assert world.approved()
    for keep in keeps:
        keep(world)
        assert world.approved(), keep
    end(world)  # type: ignore[operator]
    assert not world.approved(), end
    world.ledger.close()


@pytest.mark.parametrize("end", ENDS)
def test_each_end_of_an_approval(world: World, end: object) -> None:
    world.put("t", "approval", world.approval())
    end(world)  # type: ignore[operator]
    assert not world.approved()


def test_an_exact_approval_ends_with_the_next_edit(world: World) -> None:
    world.put("t", "approval", world.approval(exactly=True))
    world.merge_of_others()
    world.rebase()
    assert world.approved(), "what others change elsewhere is no part of this change"
    world.commit()
    assert not world.approved()


@pytest.mark.parametrize("field", ["now", "was", "criterion", "what"])
def test_an_approval_holds_for_its_weakening_alone(world: World, field: str) -> None:
    world.put("t", "approval", world.approval())
    assert not world.approved({**WEAKENING, field: "another"})


def test_an_approval_moved_to_another_task(world: World) -> None:
    world.put("u", "approval", world.approval())
    assert not world.approved(task="u")


def test_an_approval_in_another_ledger_of_the_repository_counts(world: World, tmp_path: Path) -> None:
    note = world.approval()
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.append("t", Entry(type="note"))
        world.put("t", "approval", note, other)
        assert world.approved(ledger=other), "the repository has an id, which the approval names"


def test_an_approval_without_a_repository_counts_in_its_ledger_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    for branch in ("main", "work"):
        world.repo.git("checkout", "-q", branch)
        world.repo.write("tallystick.toml", world.repo.read("tallystick.toml").replace('id = "one"\n', ""))
        world.repo.commit("No id")
    note = world.approval()
    world.put("t", "approval", note)
    assert world.approved()
    with Ledger.open(str(tmp_path / "other.db")) as other:
        other.append("t", Entry(type="note"))
        world.put("t", "approval", note, other)
        assert not world.approved(ledger=other)
    world.ledger.close()


def test_an_attestation_holds_for_its_own_entry_alone(world: World) -> None:
    note = world.attestation()
    world.put("t", "attestation", note)
    world.put("u", "attestation", note)
    assert (world.attested("t"), world.attested("u")) == ([1], [])
    world.commit()
    world.rebase()
    assert world.attested("t") == [1], "evidence is bound to content, not to commits"


@pytest.mark.parametrize("why", ["position", "task", "ledger", "repository", "kind", "text", "key", "head", "name"])
def test_an_attestation_that_was_moved(world: World, why: str) -> None:
    own, id = world.leaf("t", 1), world.ledger.ledger_id
    other_secret = SigningKey("boss", ED25519, b"\6" * 32)
    other = Key("boss", "file", ED25519, other_secret.key.public, secret=other_secret)
    head = world.ledger.head("t")
    subject = world.in_front("t").subject(head, kind=ATTESTATION)
    note = {
        "position": lambda: attest(KEY, id, subject, {2: own}),
        "task": lambda: attest(KEY, id, subject.replace(task_id="u"), {1: own}),
        "ledger": lambda: attest(KEY, "f" * 32, subject, {1: own}),
        "repository": lambda: attest(KEY, id, subject.replace(repository="two"), {1: own}),
        "kind": lambda: approve(KEY, id, subject, [WEAKENING]),
        "text": lambda: world.attestation({2: world.leaf("t", 2)}).replace("entry 2", "entry 1"),
        "key": lambda: attest(other, id, subject, {1: own}),
        "head": lambda: attest(KEY, id, subject.replace(head=Head(head.position, "0" * 64)), {1: own}),
        "name": lambda: str(sign(parse_statement(world.attestation()).note.text, [KEY.signer(origin_of("f" * 32))])),
    }[why]()
    world.put("t", "attestation", note)
    assert world.attested() == []


def test_a_second_signature_of_the_key_has_to_hold_as_well(world: World) -> None:
    note = world.attestation()
    line = note.splitlines()[-1]
    name, blob = line[2:].split(" ")
    false = blob[:-6] + ("AAAA" if blob[-6:-2] != "AAAA" else "BBBB") + blob[-2:]
    world.put("t", "attestation", note + f"— {name} {false}\n")
    assert world.attested() == []


def test_an_attestation_is_no_approval(world: World) -> None:
    world.put("t", "approval", world.attestation())
    world.put("t", "attestation", world.approval())
    assert not world.approved()
    assert world.attested() == []


# --- the first version of statements, as it was written before they had a subject


def old(world: World, kind: str, line: str, task: str = '"t"') -> str:
    text = f"{origin_of(world.ledger.ledger_id)}/{kind}\n{task}\n{line}\n"
    return str(sign(text, [KEY.signer(origin_of(world.ledger.ledger_id))]))


def test_old_statements_are_judged_by_what_they_prove(world: World) -> None:
    """Which record an attestation is about, but not what that cites; of an approval nothing that would be enough."""
    from tallystick.trust.statements import weakening_digest

    world.put("t", "attestation", old(world, "attestation", f"entry 1 {world.leaf('t', 1)}"))
    world.put("t", "approval", old(world, "approval", f"weakening {weakening_digest(WEAKENING)}"))
    assert world.attested() == [1]
    (one,) = [one for one in Evidence(world.ledger, "t", OUTSIDE_CI).attempts("tests") if one.position == 1]
    assert world.vouched().attested_by(one, with_what_it_cites=True) == set()
    assert not world.approved()


# --- reading

GOOD = Subject("t", Head(2, "a" * 64), repository="r", plans=("b", "c"), protected=(("p", "100644", "x", "y"),))


def test_a_subject_is_read_back() -> None:
    assert Subject.parse(GOOD.spelled()) == GOOD


@pytest.mark.parametrize(
    "line",
    [
        "{}", "[]", "null", "{", GOOD.spelled().replace(":2", ": 2"), GOOD.spelled().replace('"v":2', '"v":3'),
        GOOD.spelled()[:-1] + ',"x":1}', GOOD.spelled().replace('"task":"t"', '"task":"t","task":"u"'),
        GOOD.spelled().replace('"task":"t"', '"task":1'), GOOD.spelled().replace("2:a", "02:a"),
        GOOD.spelled().replace('["b","c"]', '["b"]'), GOOD.spelled().replace('"p",', '"p","q",'),
        GOOD.spelled().replace('"expires":""', '"expires":"tomorrow"'), "[" * 100_000,
    ],
)  # fmt: skip
def test_a_subject_has_one_spelling(world: World, line: str) -> None:
    from tallystick.errors import InputError

    with pytest.raises(InputError):
        Subject.parse(line)
    world.put("t", "attestation", old(world, "attestation", f"entry 1 {world.leaf('t', 1)}", line))
    assert world.attested() == []


@pytest.mark.parametrize("lines", ["", "entry 1 {0}\nentry 1 {0}\n", "entry 2 {1}\nentry 1 {0}\n", "entry 1 {0}\nx\n"])
def test_the_lines_of_a_statement_have_one_spelling(world: World, lines: str) -> None:
    subject = world.in_front("t").subject(world.ledger.head("t"), kind=ATTESTATION)
    text = f"{origin_of(world.ledger.ledger_id)}/attestation\n{subject.spelled()}\n"
    text += lines.format(world.leaf("t", 1), world.leaf("t", 2))
    world.put("t", "attestation", str(sign(text, [KEY.signer(origin_of(world.ledger.ledger_id))])))
    assert world.attested() == []
