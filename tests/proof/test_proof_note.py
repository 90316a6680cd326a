"""proof/note.py: the one spelling of a signed note, and which signatures count."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError, TallystickError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Signer,
    SigningKey,
    VerifierKey,
)
from tallystick.proof.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    Signature,
    SignedNote,
    parse_signatures,
    sign,
)

DATA = Path(__file__).parent.parent / "data" / "proof"

# The example of c2sp.org/signed-note.
SPEC_KEY = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
SPEC_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)

# The example in the documentation of Go's note package, and the second signer of its tests.
PETER = SigningKey.parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
ENOCH_KEY = VerifierKey.parse("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)

CHECKPOINT_TEXT = Checkpoint("example.com/log", 7, bytes(range(32))).text


def signer(name: str, key_type: int = ED25519, seed: int = 1) -> Signer:
    return SigningKey(name, key_type, bytes([seed]) * 32).signer()


def test_the_example_of_the_spec() -> None:
    note = SignedNote.parse(SPEC_NOTE)
    assert note.text == "This is an example message.\n"
    assert str(note) == SPEC_NOTE
    assert [one.key for one in note.verify([SPEC_KEY])] == [SPEC_KEY]


def test_the_example_of_go_is_signed_to_the_byte() -> None:
    assert str(sign(GO_TEXT, [PETER.signer()])) == f"{GO_TEXT}\n{PETER_LINE}"


def test_known_signatures_count_and_unknown_ones_do_not() -> None:
    note = SignedNote.parse(f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode())
    assert [one.key for one in note.verify([PETER.key])] == [PETER.key]
    assert [one.key for one in note.verify([ENOCH_KEY, PETER.key])] == [PETER.key, ENOCH_KEY]
    with pytest.raises(CheckFailedError, match="no known key"):
        note.verify([])
    with pytest.raises(CheckFailedError, match="no known key"):
        note.verify([SPEC_KEY])


def test_a_signature_by_a_known_key_that_fails_rejects_the_note() -> None:
    other = sign("another text\n", [PETER.signer()])
    note = SignedNote(GO_TEXT, [*SignedNote.parse(f"{GO_TEXT}\n{ENOCH_LINE}").signatures, *other.signatures])
    with pytest.raises(CheckFailedError, match="PeterNeumann"):
        note.verify([PETER.key, ENOCH_KEY])
    assert [one.key for one in note.verify([ENOCH_KEY])] == [ENOCH_KEY]


def test_a_bad_repeat_of_a_good_signature_rejects_the_note() -> None:
    good = sign(GO_TEXT, [PETER.signer()]).signatures[0]
    bad = Signature(good.name, good.key_id, bytes(64))
    for signatures in ([good, bad], [bad, good]):
        with pytest.raises(CheckFailedError):
            SignedNote(GO_TEXT, signatures).verify([PETER.key])
    assert len(SignedNote(GO_TEXT, [good, good]).verify([PETER.key])) == 1


def test_name_or_id_alone_do_not_make_a_key_known() -> None:
    """A line with a known name or a known id, but not both, is somebody else's."""
    mine = signer("example.com/a")
    note = sign(GO_TEXT, [mine])
    same_name = Signature(mine.key.name, b"\0\0\0\0", b"anything")
    same_id = Signature("example.com/b", mine.key.key_id, b"anything")
    mixed = SignedNote(GO_TEXT, [same_name, *note.signatures, same_id])
    assert [one.key for one in mixed.verify([mine.key])] == [mine.key]
    with pytest.raises(CheckFailedError, match="no known key"):
        SignedNote(GO_TEXT, [same_name, same_id]).verify([mine.key])


def test_two_keys_that_cannot_be_told_apart() -> None:
    """An attacker can grind a key until its id equals another's."""
    mine = signer("example.com/a")
    impostor = VerifierKey("example.com/a", ED25519, signer("x", seed=2).key.public)
    object.__setattr__(impostor, "key_id", mine.key.key_id)
    with pytest.raises(InputError, match="two different keys"):
        sign(GO_TEXT, [mine]).verify([mine.key, impostor])
    assert sign(GO_TEXT, [mine]).verify([mine.key, mine.key])


def test_at_least_sixteen_signatures_of_every_size() -> None:
    signers = [signer(f"example.com/{number}", MLDSA44_COSIGNATURE, number + 1) for number in range(16)]
    note = SignedNote.parse(str(sign(CHECKPOINT_TEXT, signers, 5)))
    assert len(note.verify([one.key for one in signers])) == 16
    padding = Signature("example.com/large", b"\1\2\3\4", bytes(5000))
    assert len(SignedNote.parse(str(note.with_signatures([padding] * 60))).signatures) == 76


def test_more_signatures_than_anybody_needs_are_refused() -> None:
    line = PETER_LINE
    assert len(SignedNote.parse(f"{GO_TEXT}\n{line * MAX_SIGNATURES}").signatures) == MAX_SIGNATURES
    with pytest.raises(InputError):
        SignedNote.parse(f"{GO_TEXT}\n{line * (MAX_SIGNATURES + 1)}")
    with pytest.raises(InputError):
        SignedNote.parse("a" * MAX_NOTE_SIZE + f"\n\n{line}")


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "one\n",
        "one\n\ntwo\n",
        "\n\none\n\n",
        "a\n\n\n\n",
        GO_TEXT + "\n" + PETER_LINE,
        "no\u2028line\u0085break\u2029here\n",
        "\x7f\u200e日本\U0001f600\n",
        "— looks like a signature AAAAAAAA\n",
    ],
)
def test_texts_that_notes_can_have(text: str) -> None:
    note = sign(text, [PETER.signer()])
    assert SignedNote.parse(str(note).encode()) == note
    assert note.text == text
    assert note.verify([PETER.key])


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "cr\r\n", "nul\0\n", "esc\x1b\n", "\ud800\n"])
def test_texts_that_notes_cannot_have(text: str) -> None:
    with pytest.raises(InputError):
        SignedNote(text, sign(GO_TEXT, [PETER.signer()]).signatures)


NAMELESS = PETER_LINE.removeprefix("— PeterNeumann ")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        GO_TEXT,
        GO_TEXT + "\n",
        GO_TEXT + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE[:-1],
        GO_TEXT + "\n" + PETER_LINE + "\n",
        GO_TEXT + "\n\n" + PETER_LINE + "Unexpected line.\n",
        GO_TEXT + "\nUnexpected line.\n" + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE.replace("—", "-"),
        GO_TEXT + "\n" + PETER_LINE.replace("— ", "—"),
        GO_TEXT + "\n" + PETER_LINE.replace("— ", "—  "),
        GO_TEXT + "\n" + PETER_LINE.replace("— ", "—\u00a0"),
        GO_TEXT + "\n " + PETER_LINE,
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter Neumann"),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter\u2003Neumann"),
        GO_TEXT + "\n" + PETER_LINE.replace("PeterNeumann", ""),
        GO_TEXT + "\n" + PETER_LINE.replace("=\n", "\n"),
        GO_TEXT + "\n" + PETER_LINE.replace("=\n", "==\n"),
        GO_TEXT + "\n" + PETER_LINE.replace("=\n", " \n"),
        GO_TEXT + "\n" + PETER_LINE.replace("M=\n", "N=\n"),
        GO_TEXT + "\n" + PETER_LINE.replace("/", "_"),
        GO_TEXT + "\n— " + NAMELESS,
        GO_TEXT + "\n— name \n",
        GO_TEXT + "\n— name\n",
        GO_TEXT + "\n— name AAAA\n",
        GO_TEXT + "\n— name AAAAAA==\n",
        GO_TEXT.replace("\n", "\r\n") + "\r\n" + PETER_LINE.replace("\n", "\r\n"),
        "\ufeff".join(("", GO_TEXT)) + "\n" + PETER_LINE.replace("—", "\ufeff—"),
    ],
)
def test_what_is_no_note(note: str) -> None:
    with pytest.raises(InputError):
        SignedNote.parse(note)
    with pytest.raises(InputError):
        SignedNote.parse(note.encode())


@pytest.mark.parametrize("byte", [b"\x01", b"\x1f", b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_bytes_that_no_note_has(byte: bytes) -> None:
    with pytest.raises(InputError):
        SignedNote.parse(byte + SPEC_NOTE.encode())


def test_the_shortest_signature() -> None:
    assert Signature.parse("— name AAAAAAA=").signature == b"\0"
    with pytest.raises(InputError):
        Signature("name", b"\0\0\0\0", b"")
    with pytest.raises(InputError):
        Signature("name", b"\0\0\0", b"\0")


def test_lines_that_a_witness_answers() -> None:
    assert parse_signatures(PETER_LINE + ENOCH_LINE) == [
        Signature.parse(PETER_LINE[:-1]),
        Signature.parse(ENOCH_LINE[:-1]),
    ]
    for bad in ("", "\n", PETER_LINE[:-1], PETER_LINE + "\n", "\n" + PETER_LINE, PETER_LINE * 101):
        with pytest.raises(InputError):
            parse_signatures(bad)


def test_added_signatures_replace_older_ones_by_the_same_key() -> None:
    witness, log = signer("example.com/w", ED25519_COSIGNATURE), signer("example.com/log", seed=2)
    first = sign(CHECKPOINT_TEXT, [log, witness], 5)
    second = first.with_signatures(sign(CHECKPOINT_TEXT, [witness], 6).signatures)
    assert [one.timestamp for one in second.verify([log.key, witness.key])] == [None, 6]
    assert len(second.signatures) == 2


def test_of_two_times_by_one_cosigner_the_first_counts() -> None:
    witness = signer("example.com/w", ED25519_COSIGNATURE)
    lines = [sign(CHECKPOINT_TEXT, [witness], timestamp).signatures[0] for timestamp in (5, 6)]
    assert [one.timestamp for one in SignedNote(CHECKPOINT_TEXT, lines).verify([witness.key])] == [5]


def test_a_note_needs_a_signature() -> None:
    with pytest.raises(InputError):
        sign(GO_TEXT, [])


def test_checkpoints_of_public_logs() -> None:
    arche = SignedNote.parse((DATA / "arche-checkpoint.txt").read_bytes())
    log = VerifierKey.parse(
        "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
    )
    remora = VerifierKey.parse("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")
    assert [one.timestamp for one in arche.verify([log, remora])] == [None, 1779573024]
    clobbered = SignedNote(arche.text.replace("1432088532", "42"), arche.signatures)
    for key in (log, remora):
        with pytest.raises(CheckFailedError):
            clobbered.verify([key])


def test_a_real_cosignature_by_mldsa() -> None:
    note = SignedNote.parse((DATA / "mldsa44-checkpoint.txt").read_bytes())
    key = VerifierKey.parse((DATA / "mldsa44-vkey.txt").read_text().strip())
    assert key.key_type == MLDSA44_COSIGNATURE
    assert [one.timestamp for one in note.verify([key])] == [1785704691]
    with pytest.raises(CheckFailedError):
        SignedNote(note.text.replace("185550722", "42"), note.signatures).verify([key])


VALID = f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 8),
    st.one_of(st.binary(max_size=8), st.sampled_from([b"\n\n", b"\n", " —".encode()])),
)
def test_mutated_notes_are_refused_or_spelled_the_same(place: int, cut: int, put: bytes) -> None:
    """Nothing but our errors; what is accepted is written back the same; a changed text never verifies."""
    mutated = VALID[:place] + put + VALID[place + cut :]
    try:
        note = SignedNote.parse(mutated)
        assert str(note).encode() == mutated
        note.verify([PETER.key, ENOCH_KEY])
    except TallystickError:
        return
    assert note.text == GO_TEXT


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_random_bytes_are_refused(data: bytes | str) -> None:
    for candidate in (
        data,
        data + ("\n\n— a AAAAAAA=\n" if isinstance(data, str) else "\n\n— a AAAAAAA=\n".encode()),
    ):
        try:
            note = SignedNote.parse(candidate)
        except InputError:
            continue
        assert SignedNote.parse(str(note)) == note
