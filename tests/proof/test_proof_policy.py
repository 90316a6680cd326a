"""proof/policy.py: the policy file of c2sp.org/tlog-policy, and what it accepts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, MLDSA44_COSIGNATURE, SigningKey
from tallystick.proof.note import SignedNote, sign
from tallystick.proof.policy import MAX_POLICY_SIZE, Group, Log, Policy, Witness


def signing_key(name: str, key_type: int, seed: int) -> SigningKey:
    return SigningKey(name, key_type, seed.to_bytes(32, "big"))


ORIGIN = "example.com/log"
LOG = signing_key(ORIGIN, ED25519, 1)
PQ_LOG = signing_key(ORIGIN, MLDSA44_COSIGNATURE, 2)
FOREIGN_LOG = signing_key("example.com/other", ED25519, 3)
WITNESSES = {
    name: signing_key(f"{name}.example", MLDSA44_COSIGNATURE if name == "X3" else ED25519_COSIGNATURE, number)
    for number, name in enumerate(("X1", "X2", "X3", "Y1", "Y2", "Y3"), 10)
}
CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))

# The example of the spec, with keys of our own.
EXAMPLE = f"""
log {LOG.key}

witness X1 {WITNESSES["X1"].key}
witness X2 {WITNESSES["X2"].key}
witness X3 {WITNESSES["X3"].key}
group X-witnesses 2 X1 X2 X3

witness Y1 {WITNESSES["Y1"].key}
witness Y2 {WITNESSES["Y2"].key}
witness Y3 {WITNESSES["Y3"].key}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def note_by(*signers: SigningKey, timestamp: int = 5, text: str = CHECKPOINT.text) -> SignedNote:
    return sign(text, [key.signer() for key in signers], timestamp)


def test_the_example_of_the_spec_counts_as_it_says() -> None:
    policy = Policy.parse(EXAMPLE)
    for count in range(7):
        for names in itertools.combinations(WITNESSES, count):
            xs = sum(name.startswith("X") for name in names)
            ys = sum(name.startswith("Y") for name in names)
            assert policy.is_quorum(name.encode() for name in names) == (xs >= 2 and ys >= 1)


def test_a_checkpoint_that_a_quorum_cosigned() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    endorsed = policy.check(note_by(LOG, WITNESSES["X1"], WITNESSES["X3"], WITNESSES["Y2"], FOREIGN_LOG))
    assert endorsed.checkpoint == CHECKPOINT
    assert endorsed.logs == (LOG.key,)
    assert endorsed.cosigned == {b"X1": 5, b"X3": 5, b"Y2": 5}
    with pytest.raises(CheckFailedError, match="'X1', 'X3' did"):
        policy.check(note_by(LOG, WITNESSES["X1"], WITNESSES["X3"]))
    with pytest.raises(CheckFailedError, match="nobody did"):
        policy.check(note_by(LOG))


def test_no_quorum_without_the_log() -> None:
    policy = Policy.parse(EXAMPLE)
    with pytest.raises(CheckFailedError, match="no trusted key of the log"):
        policy.check(note_by(*WITNESSES.values()))


def test_a_trusted_log_signs_for_its_own_origin_only() -> None:
    policy = Policy.parse(f"log {LOG.key}\nlog {FOREIGN_LOG.key}\nquorum none\n")
    policy.check(note_by(LOG))
    with pytest.raises(CheckFailedError, match="no trusted key of the log"):
        policy.check(note_by(FOREIGN_LOG))
    foreign = Checkpoint("example.com/other", 7, bytes(range(32))).text
    assert policy.check(note_by(FOREIGN_LOG, text=foreign)).logs == (FOREIGN_LOG.key,)


def test_any_key_of_the_log_will_do() -> None:
    policy = Policy.parse(f"log {LOG.key} https://example.com/\nlog {PQ_LOG.key}\nquorum none\n")
    assert policy.check(note_by(LOG)).logs == (LOG.key,)
    assert policy.check(note_by(PQ_LOG)).logs == (PQ_LOG.key,)
    assert policy.check(note_by(PQ_LOG, LOG)).logs == (LOG.key, PQ_LOG.key)
    assert policy.logs[LOG.key.public].url == b"https://example.com/"


def test_extension_lines_that_no_log_signature_covers_are_dropped() -> None:
    policy = Policy.parse(f"log {LOG.key}\nlog {PQ_LOG.key}\nquorum none\n")
    text = CHECKPOINT.text + "extension\n"
    assert policy.check(note_by(LOG, PQ_LOG, text=text)).checkpoint.extensions == ("extension",)
    assert policy.check(note_by(PQ_LOG, text=text)).checkpoint == CHECKPOINT
    smuggled = SignedNote(text, note_by(PQ_LOG).signatures)
    assert policy.check(smuggled).checkpoint == CHECKPOINT


def test_one_signature_that_fails_rejects_the_checkpoint() -> None:
    policy = Policy.parse(EXAMPLE)
    good = note_by(LOG, *WITNESSES.values())
    policy.check(good)
    other = note_by(WITNESSES["Y3"], text=Checkpoint(ORIGIN, 8, bytes(32)).text)
    with pytest.raises(CheckFailedError, match=r"Y3\.example"):
        policy.check(good.with_signatures(other.signatures))


def test_a_single_witness_as_quorum() -> None:
    policy = Policy.parse(f"witness w {WITNESSES['X1'].key}\nquorum w\nlog {LOG.key}")
    assert policy.check(note_by(LOG, WITNESSES["X1"])).cosigned == {b"w": 5}
    with pytest.raises(CheckFailedError):
        policy.check(note_by(LOG, WITNESSES["X2"]))


def test_a_cosignature_without_time() -> None:
    policy = Policy.parse(f"log {PQ_LOG.key}\nwitness w {WITNESSES['X3'].key}\nquorum w\n")
    assert policy.check(note_by(PQ_LOG, WITNESSES["X3"], timestamp=0)).cosigned == {b"w": 0}


def test_a_policy_without_logs_checks_nothing() -> None:
    policy = Policy.parse("quorum none\n")
    with pytest.raises(InputError, match="no log"):
        policy.check(note_by(LOG))


def test_a_note_that_is_no_checkpoint() -> None:
    with pytest.raises(InputError):
        Policy.parse(EXAMPLE).check(sign("hello\n", [LOG.signer()]))


def test_a_policy_from_parts() -> None:
    witnesses = [Witness(name.encode(), WITNESSES[name].key) for name in ("X1", "X2")]
    policy = Policy([Log(LOG.key)], witnesses, [Group(b"both", 2, (b"X1", b"X2"))], b"both")
    policy.check(note_by(LOG, WITNESSES["X1"], WITNESSES["X2"]))
    with pytest.raises(CheckFailedError):
        policy.check(note_by(LOG, WITNESSES["X1"]))
    with pytest.raises(InputError):
        Policy([Log(LOG.key)], [], [], b"both")
    with pytest.raises(InputError):
        Group(b"g", 3, (b"X1", b"X2"))


def test_white_space_comments_and_octets() -> None:
    text = (
        b"# comment \xff\n"
        b"  \t# another\n"
        b"\n \t \n"
        b"\tlog \t " + str(LOG.key).encode() + b" \thttps://b\xc3\xbccher.example/  \n"
        b"witness \xe2\x84\xaa " + str(WITNESSES["X1"].key).encode() + b"\n"
        b"witness K " + str(WITNESSES["X2"].key).encode() + b" https://example.com/#fragment\n"
        b"group \xff all \xe2\x84\xaa\n"
        b"quorum \xff"
    )
    policy = Policy.parse(text)
    assert set(policy.witnesses) == {b"\xe2\x84\xaa", b"K"}
    assert policy.is_quorum([b"\xe2\x84\xaa"])
    assert not policy.is_quorum([b"K"])
    with pytest.raises(CheckFailedError, match=r"\\xff"):
        policy.check(note_by(LOG, WITNESSES["X2"]))


def test_names_that_look_like_keywords_are_names() -> None:
    policy = Policy.parse(
        f"witness all {WITNESSES['X1'].key}\nwitness any {WITNESSES['X2'].key}\n"
        "group quorum all all any\nquorum quorum\n"
    )
    assert policy.is_quorum([b"all", b"any"])
    assert not policy.is_quorum([b"all"])


W1, W2 = f"witness w1 {WITNESSES['X1'].key}\n", f"witness w2 {WITNESSES['X2'].key}\n"
RENAMED = SigningKey("renamed", ED25519_COSIGNATURE, (10).to_bytes(32, "big")).key
RENAMED_LOG = SigningKey("renamed", ED25519, (1).to_bytes(32, "big")).key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "quorum line"),
        (W1, "quorum line"),
        ("quorum none\nquorum none\n", "twice"),
        ("quorum w1\n" + W1, "defined before"),
        ("quorum unknown\n", "defined before"),
        ("quorum\n", "no definition"),
        (W1 + "quorum w1 w1\n", "no definition"),
        (W1 + W1 + "quorum w1\n", "already"),
        (W1 + W2.replace("w2", "w1") + "quorum w1\n", "already taken"),
        (W1 + f"witness w2 {RENAMED}\nquorum w1\n", "already another witness's"),
        (f"log {LOG.key}\nlog {RENAMED_LOG}\nquorum none\n", "already another log's"),
        (f"log {LOG.key}\nlog {LOG.key}\nquorum none\n", "already another log's"),
        (f"witness none {WITNESSES['X1'].key}\nquorum none\n", "already taken"),
        (W1 + "group none any w1\nquorum none\n", "already taken"),
        (W1 + "group w1 any w1\nquorum w1\n", "already taken"),
        (W1 + "group g any none\nquorum g\n", "defined before"),
        ("group g any g\nquorum g\n", "defined before"),
        ("group g any w1\n" + W1 + "quorum g\n", "defined before"),
        (W1 + "group g any w1 w1\nquorum g\n", "already a member"),
        (W1 + "group g any w1\ngroup h any w1\nquorum h\n", "already a member"),
        (W1 + "group g any\nquorum g\n", "no definition"),
        (W1 + "group g 0 w1\nquorum g\n", "all, any or a number"),
        (W1 + "group g 2 w1\nquorum g\n", "cannot need 2 of 1"),
        (W1 + "group g -1 w1\nquorum g\n", "all, any or a number"),
        (W1 + "group g +1 w1\nquorum g\n", "all, any or a number"),
        (W1 + "group g 01 w1\nquorum g\n", "all, any or a number"),
        (W1 + "group g 1.0 w1\nquorum g\n", "all, any or a number"),
        (W1 + "group g ALL w1\nquorum g\n", "all, any or a number"),
        (W1 + f"group g {'9' * 5000} w1\nquorum g\n", "all, any or a number"),
        (f"log {WITNESSES['X1'].key}\nquorum none\n", "witness's"),
        (f"witness w {LOG.key}\nquorum w\n", "0x04"),
        ("log nonsense\nquorum none\n", "verifier key"),
        ("log\nquorum none\n", "no definition"),
        (f"log {LOG.key} url more\nquorum none\n", "no definition"),
        (f"witness w {WITNESSES['X1'].key} url # comment\nquorum w\n", "no definition"),
        ("Quorum none\n", "no definition"),
        ("quorum none\r\n", "control"),
        ("quorum none\n\x7f", "control"),
        ("quorum none\n#\x00", "control"),
        ("\ufeffquorum none\n", "no definition"),
        ("quorum\u00a0none\n", "no definition"),
        ("quorum none\n#\ud800", "UTF-8"),
    ],
)
def test_what_is_no_policy(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Policy.parse(text)


def test_an_error_names_the_line() -> None:
    with pytest.raises(InputError) as caught:
        Policy.parse(W1 + "\n# comment\nnonsense here\nquorum w1\n")
    assert str(caught.value).startswith("line 4 of the policy: ")


def test_as_many_as_the_spec_asks_for_and_more() -> None:
    """32 of each are to be supported; here are 300, in a chain of groups as deep as it goes."""
    lines = []
    for number in range(300):
        key = signing_key(f"w{number}", ED25519_COSIGNATURE, 1000 + number).key
        log = signing_key(f"l{number}", ED25519, 2000 + number).key
        lines += [f"log {log}", f"witness w{number} {key}"]
        lines.append(f"group g{number} all w{number}" + (f" g{number - 1}" if number else ""))
    policy = Policy.parse("\n".join([*lines, "quorum g299"]))
    assert policy.is_quorum(b"w%d" % number for number in range(300))
    assert not policy.is_quorum(b"w%d" % number for number in range(299))


def test_a_policy_that_is_too_large() -> None:
    with pytest.raises(InputError, match="at most"):
        Policy.parse(b"#" * MAX_POLICY_SIZE + b"\nquorum none\n")


VALID = EXAMPLE.replace(str(WITNESSES["X3"].key), str(signing_key("x", ED25519_COSIGNATURE, 77).key)).encode()


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 40),
    st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b"group g any X1\n", b"quorum none\n", b"#"])),
)
def test_mutated_policies_raise_nothing_of_their_own(place: int, cut: int, put: bytes) -> None:
    try:
        policy = Policy.parse(VALID[:place] + put + VALID[place + cut :])
    except InputError:
        return
    assert policy.quorum == b"none" or not policy.is_quorum([])


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text("quorum none group witness log all any 0123456789+=#\n\t ", max_size=300),
    )
)
def test_random_policies_raise_nothing_of_their_own(data: bytes | str) -> None:
    try:
        Policy.parse(data)
    except InputError:
        return
