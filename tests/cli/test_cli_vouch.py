"""attest and approve through the command: whose word counts, the base's plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick import Entry, Ledger
from tallystick.proof.keys import SigningKey

PLAN = """\
[criteria.a]
run = "cat x"
grade = "attested"
[keys.boss]
public = "{vkey}"
roles = ["attest", "approve"]
[gate]
protect = ["ci/**"]
"""


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch) -> GitRepo:
    git_repo.write("x", "1\n")
    git_repo.write("ci/y", "1\n")
    notch("init", "--no-plan")
    notch("key", "new", "boss")
    git_repo.write("tallystick.toml", PLAN.format(vkey=notch("key", "show", "boss").stdout.strip()))
    git_repo.commit("a plan that asks for a signature")
    git_repo.git("checkout", "-q", "-b", "work")
    return git_repo


def _state(notch: Notch, code: int) -> dict[str, object]:
    import json

    return json.loads(notch("gate", "--json", code=code).stdout)["criteria"][0]


def test_an_observed_result_does_not_count_until_it_is_attested(repo: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "a")
    assert _state(notch, 1)["ok"] is False
    notch("attest")
    assert _state(notch, 0)["grade"] == "attested"
    assert "the holder of the signing key" in notch("why", "a").stdout


def test_run_attests_what_it_saw(repo: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "a", "--attest")
    assert _state(notch, 0)["grade"] == "attested"


def test_a_key_that_the_base_does_not_trust_adds_nothing(repo: GitRepo, notch: Notch) -> None:
    notch("key", "new", "stranger")
    notch("run", "-c", "a")
    notch("attest", "--key", "stranger")
    assert _state(notch, 1)["ok"] is False
    plan = repo.read("tallystick.toml") + f'[keys.me]\npublic = "{notch("key", "show", "stranger").stdout.strip()}"\n'
    repo.write("tallystick.toml", plan + 'roles = ["attest"]\n')
    notch("run", "-c", "a")
    notch("attest", "--key", "stranger")
    assert _state(notch, 1)["ok"] is False, "trusted keys are read from the base alone"


def test_an_attestation_copied_to_another_result_is_worth_nothing(repo: GitRepo, notch: Notch) -> None:
    import json

    notch("run", "-c", "a", "--attest")
    note = json.loads(notch("show", "work", "3", "--json").stdout)["details"]["attestation"]
    repo.write("x", "2\n")
    notch("run", "-c", "a")
    forged = json.dumps({"attestation": {"note": note["note"].replace("entry 2 ", "entry 5 "), "entries": [5]}})
    assert "is written by notch alone" in notch("record", "--type", "note", "--details", forged, code=2).stderr
    with Ledger.open(str(repo.root / ".tallystick/ledger.db")) as ledger:
        ledger.append("work", Entry(type="attestation", details=json.loads(forged)))
    assert _state(notch, 1)["ok"] is False


def test_a_weaker_plan_passes_once_it_is_approved(repo: GitRepo, notch: Notch) -> None:
    repo.write("ci/y", "2\n")
    repo.write("tallystick.toml", repo.read("tallystick.toml").replace('"cat x"', '"true"'))
    notch("run", "-c", "a", "--attest")
    shut = notch("gate", code=1).stdout
    assert "command changed" in shut
    assert "ci/y (modified) is protected" in shut
    notch("approve", "--reason", "it is only a demo")
    notch("run", "-c", "a", "--attest")
    assert "gate open" in notch("gate").stdout
    repo.write("ci/y", "3\n")
    notch("run", "-c", "a", "--attest")
    assert "ci/y (modified) is protected" in notch("gate", code=1).stdout, "another change is another approval"


def test_there_must_be_something_to_sign(repo: GitRepo, notch: Notch) -> None:
    assert "nothing to attest" in notch("attest", code=2).stderr
    assert "nothing to approve" in notch("approve", code=2).stderr


def test_a_second_trusted_key_that_runs_it_again_makes_it_reproduced(repo: GitRepo, notch: Notch) -> None:
    notch("key", "new", "second")
    plan = repo.read("tallystick.toml").replace('grade = "attested"', 'grade = "reproduced"')
    plan += f'[keys.second]\npublic = "{notch("key", "show", "second").stdout.strip()}"\nroles = ["attest"]\n'
    repo.git("checkout", "-q", "main")
    repo.write("tallystick.toml", plan)
    repo.commit("ask for a reproduction")
    repo.git("checkout", "-q", "-B", "work")
    notch("run", "-c", "a")
    notch("attest", "--entry", "2", "--key", "boss")
    assert _state(notch, 1)["ok"] is False
    notch("reproduce")
    log = notch("log", "--json").stdout
    import json

    again = [one["position"] for one in json.loads(log) if "reproduces" in one.get("details", {}).get("run", {})]
    newest = json.loads(log)[-1]["position"]
    notch("attest", "--entry", str(again[-1] if again else newest), "--key", "second")
    assert _state(notch, 0)["grade"] == "reproduced"


def test_a_quorum_approves_once_enough_of_it_signed(repo: GitRepo, notch: Notch) -> None:
    notch("key", "new", "second")
    plan = repo.read("tallystick.toml").replace('roles = ["attest", "approve"]', 'roles = ["attest", "member"]')
    plan += f'[keys.second]\npublic = "{notch("key", "show", "second").stdout.strip()}"\nroles = ["member"]\n'
    plan += '[keys.both]\nmembers = ["boss", "second"]\nthreshold = "all"\nroles = ["approve"]\n'
    repo.git("checkout", "-q", "main")
    repo.write("tallystick.toml", plan)
    repo.commit("two have to approve")
    repo.git("checkout", "-q", "-B", "work")
    repo.write("ci/y", "2\n")
    notch("run", "-c", "a")
    notch("attest", "--key", "boss")
    notch("approve", "--key", "boss")
    assert "ci/y (modified) is protected" in notch("gate", code=1).stdout
    notch("approve", "--key", "second")
    assert "gate open" in notch("gate").stdout


def test_a_key_that_retired_attests_nothing_after_its_last_checkpoint(repo: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "a", "--attest")
    notch("checkpoint")
    line = notch("key", "retire", "boss").stdout.split()
    plan = repo.read("tallystick.toml").replace('"approve"]', f'"approve", "checkpoint"]\nuntil = {line[-1]}')
    repo.git("checkout", "-q", "main")
    repo.write("tallystick.toml", plan)
    repo.commit("boss leaves")
    repo.git("checkout", "-q", "-B", "work")
    notch("run", "-c", "a")
    notch("attest")
    assert _state(notch, 1)["ok"] is False, "whoever has the key now signs in vain"
    repo.write("tallystick.toml", repo.read("tallystick.toml").replace("until = 1", "until = 9"))
    assert _state(notch, 1)["ok"] is False, "[keys] are the base's"


def test_verify_takes_the_keys_of_the_base(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(notch("record", "-t", "t", "--type", "note") and notch("checkpoint").stdout)
    assert "and no [keys] on the base" in notch("verify", "--against", "../kept").stdout
    repo.git("checkout", "-q", "main")
    repo.write("tallystick.toml", repo.read("tallystick.toml").replace('"approve"]', '"approve", "checkpoint"]'))
    repo.commit("boss signs checkpoints")
    repo.git("checkout", "-q", "-B", "work")
    assert "extends checkpoint 1, signed by tallystick/" in notch("verify", "--against", "../kept").stdout
    stranger = {"TALLYSTICK_SIGNING_KEY": SigningKey("s", 1, b"\5" * 32).encode()}
    forged = (tmp_path / "kept").read_text().replace("\n1\n", "\n7\n", 1)
    blob = repo.git("hash-object", "-w", "--stdin", input=forged)
    repo.git("notes", "--ref=tallystick", "add", "-f", "-C", blob, "HEAD")
    assert "does not fit the text" in notch("verify", "--against", "git", code=1).stderr
    repo.commit("another")
    notch("checkpoint", "--to", "git")
    assert "extends checkpoint 1, signed by" in notch("verify", "--against", "git").stdout, (
        "the forged one is passed over"
    )
    notch("record", "-t", "t", "--type", "note")
    notch("checkpoint", "--against", "git", "--to", "-", env=stranger)
    repo.git("notes", "--ref=tallystick", "remove", "HEAD")
    notch("record", "-t", "t", "--type", "note")
    fresh = {**stranger, "HOME": str(tmp_path / "fresh")}
    assert "does not fit the text" in notch("checkpoint", "--against", "git", env=fresh, code=1).stderr
