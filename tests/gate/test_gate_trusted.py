"""Whose signatures count: roles, quorums, and keys that retired at a checkpoint."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tallystick import CheckFailedError, Entry, Ledger, TamperedError
from tallystick.gate.trusted import Quorum, TrustedKey, TrustedKeys
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, SigningKey
from tallystick.proof.note import SignedNote, UnsignedError, sign
from tallystick.stores.checkpoints import origin_of, stored
from tallystick.trust.keys import Key, KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import sign_checkpoint

LEDGER = "0123456789abcdef" * 2
ORIGIN = origin_of(LEDGER)
SECRETS = {name: SigningKey(ORIGIN, ED25519, bytes((n,)) * 32) for n, name in enumerate(("a", "b", "c", "d"), 1)}
WITNESSES = {
    name: SigningKey(f"w.example/{name}", ED25519_COSIGNATURE, bytes((n,)) * 32) for n, name in enumerate("xyz", 9)
}


def keys(**roles: str) -> dict[str, TrustedKey | Quorum]:
    known = {**SECRETS, **WITNESSES}
    return {name: TrustedKey(name, str(known[name].key), tuple(words.split())) for name, words in roles.items()}


def checkpoint(*names: str, size: int = 3, witnesses: str = "") -> tuple[SignedNote, Checkpoint]:
    """A checkpoint signed by these."""
    one = Checkpoint(ORIGIN, size, bytes(32))
    note = sign(one.text, [SECRETS[name].signer() for name in names])
    cosigned = sign(one.text, [WITNESSES[name].signer() for name in witnesses], 7).signatures if witnesses else ()
    return note.with_signatures(cosigned), one


def test_a_quorum_needs_so_many_of_its_members() -> None:
    trusted = TrustedKeys(
        {**keys(a="member", b="member", c="attest member"), "two": Quorum("two", ("a", "b", "c"), 2, ("approve",))}
    )
    assert set(trusted.counting("approve")) == {"a", "b", "c"}
    assert set(trusted.counting("attest")) == {"c"}
    assert trusted.standing("approve", {"a"}) == set()
    assert trusted.standing("approve", {"c"}) == set(), "alone it may attest, not approve"
    assert trusted.standing("approve", {"a", "c"}) == {"two"}
    assert trusted.standing("attest", {"a", "b"}) == set()
    assert trusted.standing("attest", {"c"}) == {"c"}


def test_quorums_of_quorums() -> None:
    trusted = TrustedKeys(
        {
            **keys(a="member", b="member", c="member", d="approve"),
            "either": Quorum("either", ("a", "b"), 1, ("member",)),
            "both": Quorum("both", ("either", "c"), 2, ("approve",)),
        }
    )
    assert set(trusted.counting("approve")) == {"a", "b", "c", "d"}
    for signed, expected in (("ab", set()), ("ac", {"both"}), ("bc", {"both"}), ("d", {"d"}), ("abcd", {"both", "d"})):
        assert trusted.standing("approve", signed) == expected


def test_who_may_sign_checkpoints() -> None:
    trusted = TrustedKeys(keys(a="checkpoint", b="attest"))
    assert trusted.check(*checkpoint("a", "b"), LEDGER) == [SECRETS["a"].key]
    with pytest.raises(UnsignedError, match="no key or quorum that the plan on the base trusts"):
        trusted.check(*checkpoint("b"), LEDGER)
    both = TrustedKeys({**keys(a="member", b="member"), "both": Quorum("both", ("a", "b"), 2, ("checkpoint",))})
    assert len(both.check(*checkpoint("a", "b"), LEDGER)) == 2
    with pytest.raises(UnsignedError):
        both.check(*checkpoint("a"), LEDGER)


def test_a_quorum_of_witnesses_must_have_cosigned() -> None:
    found = keys(a="checkpoint", x="member", y="member", z="witness")
    trusted = TrustedKeys({**found, "seen": Quorum("seen", ("x", "y"), 2, ("witness",))})
    assert trusted.check(*checkpoint("a", witnesses="xy"), LEDGER) == [SECRETS["a"].key]
    for witnesses in ("", "x", "xz"):
        with pytest.raises(CheckFailedError, match=r"the quorum keys\.seen did not cosign checkpoint 3"):
            trusted.check(*checkpoint("a", witnesses=witnesses), LEDGER)
    assert TrustedKeys(found).check(*checkpoint("a"), LEDGER), "one witness alone is not demanded"


def test_a_retired_key_signs_no_later_checkpoint() -> None:
    retired = TrustedKeys({"a": TrustedKey("a", str(SECRETS["a"].key), ("checkpoint",), 3), **keys(b="checkpoint")})
    assert retired.check(*checkpoint("a"), LEDGER)
    with pytest.raises(CheckFailedError, match=r"checkpoint 4 was signed by keys\.a, which retired at 3"):
        retired.check(*checkpoint("a", size=4), LEDGER)
    assert retired.check(*checkpoint("a", "b", size=4), LEDGER) == [SECRETS["b"].key]


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Ledger, Key]:
    """A ledger with two entries in each of two checkpoints, and one more."""
    folder = KeyFolder({"XDG_CONFIG_HOME": str(tmp_path)})
    key = folder.new("k")
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    for _ in range(2):
        ledger.append("t", [Entry(type="note"), Entry(type="note")])
        sign_checkpoint(ledger, key, Memory(folder, key, ledger.ledger_id))
    ledger.append("t", Entry(type="note"))
    return ledger, key


def covered(ledger: Ledger, key: Key, until: int, *others: TrustedKey, name: str = "") -> int:
    one = TrustedKey("k", str(key.verifier(name or origin_of(ledger.ledger_id))), ("checkpoint", "attest"), until)
    keys = {"k": one, **{other.name: other for other in others}}
    return TrustedKeys(keys).covered(ledger.store, ledger.sessions_of("t")[0], one)


def successor(ledger: Ledger, tmp_path: Path, *roles: str) -> TrustedKey:
    """Another key, which signed one more checkpoint of the ledger."""
    folder = KeyFolder({"XDG_CONFIG_HOME": str(tmp_path / "successor")})
    key = folder.new("next")
    memory = Memory(folder, key, ledger.ledger_id)
    against = Checkpoint.parse(SignedNote.parse(stored(ledger.store.log, 2).note).text)
    sign_checkpoint(ledger, key, memory, against=against)
    return TrustedKey("next", str(key.verifier(origin_of(ledger.ledger_id))), roles)


def test_what_a_retired_key_said_counts_up_to_its_last_checkpoint(signed: tuple[Ledger, Key], tmp_path: Path) -> None:
    ledger, key = signed
    assert [covered(ledger, key, until) for until in (0, 1, 2, 9)] == [0] * 4, (
        "whoever stole it could have signed these"
    )
    other = successor(ledger, tmp_path, "checkpoint")
    assert [covered(ledger, key, until, other) for until in (0, 1, 2, 9)] == [0, 2, 4, 0]
    assert covered(ledger, key, 2, other.replace(roles=("attest",))) == 0, "nobody trusted signed a later checkpoint"
    assert covered(ledger, key, 2, other.replace(until=2)) == 0, "it retired, too"
    assert covered(ledger, key, 9, other, name=origin_of("f" * 32)) == 0, "the numbers are those of another ledger"
    ledger.close()


def test_who_stole_a_retired_key_signs_its_numbers_again_for_nothing(
    signed: tuple[Ledger, Key], tmp_path: Path
) -> None:
    """He writes to the ledger, too, and gives the range of the key another history."""
    ledger, key = signed
    other = successor(ledger, tmp_path, "checkpoint")
    kept = [stored(ledger.store.log, number) for number in (1, 2, 3)]
    forged = Ledger.open(str(tmp_path / "forged.db"))
    ledger_id = ledger.ledger_id
    ledger.close()
    with forged:
        connection = sqlite3.connect(tmp_path / "forged.db", isolation_level=None)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE ledger SET ledger_id = ?", (ledger_id,))
    with Ledger.open(str(tmp_path / "forged.db")) as forged:
        folder = KeyFolder({"XDG_CONFIG_HOME": str(tmp_path / "thief")})
        for _ in range(2):
            forged.append("t", [Entry(type="attestation")] * 3)
            sign_checkpoint(forged, key, Memory(folder, key, ledger_id))
        assert covered(forged, key, 2, other) == 0
        one = kept[2]
        connection.execute("INSERT INTO checkpoint VALUES (3, ?, ?, ?, ?)", (one.leaf, one.node, one.note, one.key))
        assert covered(forged, key, 2, other) == 0, "the later checkpoint is about another log"
    connection.close()


def test_a_history_that_the_checkpoint_is_not_about(signed: tuple[Ledger, Key], tmp_path: Path) -> None:
    ledger, key = signed
    other = successor(ledger, tmp_path, "checkpoint")
    ledger.close()
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE record SET node = zeroblob(32) WHERE id = (1 << 32) + 3")
    connection.close()
    with (
        Ledger.open(str(tmp_path / "ledger.db"), read_only=True) as changed,
        pytest.raises(TamperedError, match="checkpoint 2"),
    ):
        covered(changed, key, 2, other)
