"""What is about to be committed is judged by what is in it, be it on the commit that the evidence was about."""

from __future__ import annotations

from support.command import Notch
from support.repository import GitRepo

PLAN = '[criteria.tests]\nrun = "grep -q hello in.txt && echo ok > out.txt"\n'


def test_a_trailer_never_says_open_for_content_that_was_not_shown(git_repo: GitRepo, notch: Notch) -> None:
    git_repo.write("in.txt", "hello\n")
    git_repo.write("tallystick.toml", PLAN)
    git_repo.commit("one")
    git_repo.git("checkout", "-q", "-b", "work")
    notch("check", "-q")
    notch("hook", "install", "git", "--commit-msg")
    git_repo.write("in.txt", "broken\n")
    git_repo.git("add", "in.txt")
    git_repo.git("commit", "-qm", "two")
    assert "Evidence: shut work" in git_repo.git("log", "-1", "--format=%B")
