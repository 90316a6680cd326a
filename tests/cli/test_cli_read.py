"""`show` and `artifact`: one entry, of the task that is named or of the branch's."""

from __future__ import annotations

from support.command import Notch
from support.repository import GitRepo


def test_the_task_of_an_entry_is_the_branch_where_none_is_named(git_repo: GitRepo, notch: Notch) -> None:
    git_repo.commit("First")
    git_repo.git("checkout", "-q", "-b", "work")
    notch("run", "--", "echo", "printed here")
    notch("run", "-t", "other", "--", "echo", "printed there")
    assert notch("show", "2").stdout.startswith("work #2  recorded ")
    for named in (("other", "2"), ("-t", "other", "2"), ("2", "-t", "other"), ("entry-2", "--task", "other")):
        assert notch("show", *named).stdout.startswith("other #2  recorded "), named
        assert notch("artifact", *named).stdout == "printed there\n"
    assert notch("artifact", "2").stdout == "printed here\n"
    assert notch.json("show", "2")["position"] == 2
    assert notch("show", "work", "2", "-t", "other", code=2).stderr.startswith("notch: show: the task is named twice")
    assert "arguments are required: ID|POSITION" in notch("show", code=2).stderr
