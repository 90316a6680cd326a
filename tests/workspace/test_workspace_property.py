"""The fingerprint changes exactly when content does: long random walks on real git repositories."""

from __future__ import annotations

from pathlib import Path

import pytest
import workspace_oracle as oracle
from workspace_random_work import RandomWork

from support.repository import GitRepo
from tallystick.workspace import Workspace
from tallystick.workspace.snapshot import Snapshot


class Check:
    """Holds every state of the work against two oracles, and against all states before."""

    def __init__(self, work: RandomWork, scratch: Path) -> None:
        self.work = work
        self.scratch = scratch
        self.seen: dict[object, str] = {}
        self.fingerprints: dict[str, object] = {}

    def check(self, told: str) -> None:
        """Takes a snapshot and holds it against both oracles and all that was seen before."""
        before = oracle.traces(self.work.repo.root)
        with Workspace.find(str(self.work.repo.root)).snapshot() as snapshot:
            fingerprint = snapshot.fingerprint()
            whole = snapshot.inputs_digest()
            assert oracle.traces(self.work.repo.root) == before, told
            self._compare_with_git(snapshot, fingerprint, told)
        fields = {key: value for key, value in fingerprint.items() if key in ("tree", "submodules")}
        key = oracle.content(self.work.repo, text=self.work.text)
        known = self.seen.setdefault(key, repr((fields, whole)))
        assert known == repr((fields, whole)), f"{told}: the same content, another fingerprint"
        assert self.fingerprints.setdefault(known, key) == key, f"{told}: other content, the same fingerprint"

    def _compare_with_git(self, snapshot: Snapshot, fingerprint: dict[str, object], told: str) -> None:
        tree = oracle.staged_tree(self.work.repo, self.scratch)
        printed = oracle.listed(self.work.repo, tree, self.scratch)
        assert fingerprint["tree"] == tree, told
        heads = self.work.repo.git("rev-parse", "HEAD", "HEAD^{tree}", check=False).split("\n")
        head, committed = heads if len(heads[0]) == 40 else ("", "")
        assert fingerprint.get("commit", "") == head, told
        inner_dirty = self.work.has_submodule and bool(
            GitRepo(self.work.repo.root / "sub").git("status", "--porcelain")
        )
        clean = tree == committed or (not head and not printed)
        assert bool(fingerprint.get("dirty")) == (not clean or inner_dirty), told
        assert ("submodules" in fingerprint) == inner_dirty, told
        own = b"".join(line + b"\0" for line in snapshot.own_listing.lines)
        assert own == printed, told
        if not self.work.has_submodule:
            assert snapshot.inputs_digest() == oracle.digest(printed), told


@pytest.mark.parametrize(
    ("seed", "attributes", "committed"), [(1, False, True), (2, True, True), (3, True, False), (4, False, False)]
)
def test_the_fingerprint_changes_exactly_when_content_does(
    tmp_path: Path, seed: int, attributes: bool, committed: bool, storm: bool
) -> None:
    work = RandomWork(tmp_path, seed, attributes=attributes, committed=committed)
    check = Check(work, tmp_path / "scratch")
    check.check("start")
    told: list[str] = []
    for _ in range(2_000 if storm else 50):
        told.append(work.step())
        check.check("; ".join(told[-8:]))
    assert len(check.seen) > len(told) // 6
