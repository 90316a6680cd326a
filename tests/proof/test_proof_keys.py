"""proof/keys.py: names, verifier keys, signing keys and the three types of signature."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Signer,
    SigningKey,
    VerifierKey,
    check_key_name,
)

# The example of c2sp.org/signed-note, and the two keys in the documentation and tests of Go's note package.
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
REMORA_VKEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"

TYPES = (ED25519, ED25519_COSIGNATURE, MLDSA44_COSIGNATURE)
TEXT = Checkpoint("example.com/log", 7, bytes(range(32))).text


def signing_key(key_type: int, name: str = "example.com/key", seed: int = 1) -> SigningKey:
    return SigningKey(name, key_type, bytes([seed]) * 32)


@pytest.mark.parametrize("vkey", [SPEC_VKEY, PETER_VKEY, ENOCH_VKEY, REMORA_VKEY])
def test_published_keys_are_read_and_written_back(vkey: str) -> None:
    key = VerifierKey.parse(vkey)
    assert str(key) == vkey
    assert VerifierKey(key.name, key.key_type, key.public) == key


def test_parts_of_the_example() -> None:
    key = VerifierKey.parse(SPEC_VKEY)
    assert (key.name, key.key_type, key.key_id.hex()) == ("example.com/foo", ED25519, "530d903a")
    assert key.public.hex() == "e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4"


def test_key_id_has_the_bytes_of_the_spec() -> None:
    for key_type in TYPES:
        key = signing_key(key_type).key
        material = b"example.com/key\n" + bytes([key_type]) + key.public
        assert key.key_id == sha256(material).digest()[:4]


def test_published_signing_key() -> None:
    key = SigningKey.parse(PETER_SKEY)
    assert str(key.key) == PETER_VKEY
    assert key.encode() == PETER_SKEY
    # From the tests of transparency-dev/formats.
    logandmap = SigningKey.parse("PRIVATE+KEY+logandmap+38581672+AXJ0FKWOcO2ch6WC8kP705Ed3Gxu7pVtZLhfHAQwp+FE")
    assert str(logandmap.key) == "logandmap+38581672+Ab/PCr1eCclRPRMBqw/r5An1xO71MCnImLiospEq6b4l"


@pytest.mark.parametrize("key_type", TYPES)
def test_signing_keys_round_trip(key_type: int) -> None:
    key = signing_key(key_type)
    again = SigningKey.parse(key.encode())
    assert again.key == key.key
    assert again.encode() == key.encode()
    assert VerifierKey.parse(str(key.key)) == key.key


def test_a_signing_key_does_not_show_itself() -> None:
    key = signing_key(ED25519)
    secret = key.encode().rpartition("+")[2]
    assert secret not in repr(key)
    assert secret not in str(key)
    for bent in (key.encode()[:-1], key.encode().replace("+KEY+", "+key+"), key.encode() + "="):
        with pytest.raises(InputError) as caught:
            SigningKey.parse(bent)
        assert secret[:20] not in str(caught.value)
    with pytest.raises(InputError) as caught:
        VerifierKey.parse(key.encode())
    assert secret[:20] not in str(caught.value)


@pytest.mark.parametrize("key", [PETER_VKEY, PETER_SKEY, REMORA_VKEY])
def test_no_part_of_a_key_and_no_bent_key_is_one(key: str) -> None:
    parse = SigningKey.parse if key.startswith("PRIVATE") else VerifierKey.parse
    bent = {key[start:end] for start in range(len(key)) for end in range(start + 1, len(key) + 1)}
    bent |= {key[:place] + chr(ord(key[place]) + 1) + key[place + 1 :] for place in range(len(key))}
    for one in bent - {key}:
        with pytest.raises(InputError):
            parse(one)


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # too long, id adjusted
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # unknown type, id adjusted
        PETER_VKEY.replace("c74f20a3", "C74F20A3"),
        PETER_VKEY + "\n",
        PETER_VKEY + "=",
        " " + PETER_VKEY,
        "",
        "+",
        "++",
        "a+00000000+",
        "a+00000000+AA==",
        "é" * 5000 + PETER_VKEY,
    ],
)
def test_strings_that_are_no_verifier_key(vkey: str) -> None:
    with pytest.raises(InputError):
        VerifierKey.parse(vkey)


@pytest.mark.parametrize("size", [0, 31, 33, 1311, 1313])
def test_public_keys_of_another_length(size: int) -> None:
    for key_type in TYPES:
        with pytest.raises(InputError):
            VerifierKey("name", key_type, b"\x05" * size)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seeds_of_another_length(size: int) -> None:
    for key_type in TYPES:
        with pytest.raises(InputError):
            SigningKey("name", key_type, bytes(size))


@pytest.mark.parametrize("key_type", [0, 2, 3, 5, 7, 255])
def test_unknown_types(key_type: int) -> None:
    with pytest.raises(InputError):
        VerifierKey("name", key_type, b"\x05" * 32)
    with pytest.raises(InputError):
        SigningKey("name", key_type, bytes(32))


# The y coordinates of the points of small order, and some that exceed the field.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("public", SMALL_ORDER)
@pytest.mark.parametrize("sign", [0x00, 0x80])
def test_keys_that_anybody_can_sign_for_are_refused(public: str, sign: int) -> None:
    raw = bytearray.fromhex(public)
    raw[31] |= sign
    for key_type in (ED25519, ED25519_COSIGNATURE):
        with pytest.raises(InputError, match="anybody"):
            VerifierKey("name", key_type, bytes(raw))


@pytest.mark.parametrize(
    "name", ["a", "example.com/log", "tallystick/00ff/2", "日本", "a\u200bb", "—", "PRIVATE", "x\x7f"]
)
def test_names(name: str) -> None:
    assert check_key_name(name) == name
    assert VerifierKey.parse(str(SigningKey(name, ED25519, bytes(32)).key)).name == name


SPACES = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2005\u200a\u2028\u2029\u202f\u205f\u3000"


@pytest.mark.parametrize("name", ["", "a+b", "+", "a\x00b", "a\x1fb", "\ud800", *(f"a{space}b" for space in SPACES)])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InputError):
        check_key_name(name)


def test_a_cosigner_by_mldsa_has_a_short_name() -> None:
    signing_key(MLDSA44_COSIGNATURE, "x" * 255)
    with pytest.raises(InputError, match="255"):
        signing_key(MLDSA44_COSIGNATURE, "x" * 256)


@pytest.mark.parametrize("key_type", TYPES)
@pytest.mark.parametrize("timestamp", [0, 1, 1679315147, 2**63 - 1])
def test_signatures_verify_and_state_their_time(key_type: int, timestamp: int) -> None:
    key = signing_key(key_type)
    signature = key.signer().sign(TEXT, timestamp)
    assert key.key.verify(TEXT, signature) == (None if key_type == ED25519 else timestamp)


@pytest.mark.parametrize("key_type", TYPES)
def test_a_signature_fits_one_text_one_key_and_one_time(key_type: int) -> None:
    key = signing_key(key_type)
    signature = key.signer().sign(TEXT, 5)
    others = [
        TEXT.replace("\n7\n", "\n8\n"),
        TEXT.replace("example.com/log", "example.com/log2"),
        Checkpoint("example.com/log", 7, bytes(32)).text,
    ]
    for other in others:
        with pytest.raises(CheckFailedError):
            key.key.verify(other, signature)
    with pytest.raises(CheckFailedError):
        signing_key(key_type, seed=2).key.verify(TEXT, signature)
    for place in (0, 7, 8, len(signature) // 2, len(signature) - 1):
        bent = bytearray(signature)
        bent[place] ^= 1
        with pytest.raises(CheckFailedError):
            key.key.verify(TEXT, bytes(bent))
    for bent_length in (b"", signature[:-1], signature + b"\0"):
        with pytest.raises(CheckFailedError):
            key.key.verify(TEXT, bent_length)


def test_what_a_signature_commits_to_beyond_the_tree_head() -> None:
    """Ed25519 cosignatures cover extension lines, not the cosigner's name; ML-DSA-44 the other way round."""
    extended = TEXT + "extension\n"
    ed = signing_key(ED25519_COSIGNATURE)
    ml = signing_key(MLDSA44_COSIGNATURE)
    with pytest.raises(CheckFailedError):
        ed.key.verify(extended, ed.signer().sign(TEXT, 5))
    assert ml.key.verify(extended, ml.signer().sign(TEXT, 5)) == 5
    other_name = "example.com/other"
    assert VerifierKey(other_name, ed.key.key_type, ed.key.public).verify(TEXT, ed.signer().sign(TEXT, 5)) == 5
    with pytest.raises(CheckFailedError):
        VerifierKey(other_name, ml.key.key_type, ml.key.public).verify(TEXT, ml.signer().sign(TEXT, 5))


def test_types_are_kept_apart() -> None:
    """The same private key under two types: no signature of one passes as one of the other."""
    plain, cosigner = signing_key(ED25519), signing_key(ED25519_COSIGNATURE)
    assert plain.key.public == cosigner.key.public
    assert plain.key.key_id != cosigner.key.key_id
    signature = cosigner.signer().sign(TEXT, 5)
    for bent in (signature, signature[8:]):
        with pytest.raises(CheckFailedError):
            plain.key.verify(TEXT, bent)
    with pytest.raises(CheckFailedError):
        cosigner.key.verify(TEXT, bytes(8) + plain.signer().sign(TEXT))


@pytest.mark.parametrize("key_type", [ED25519_COSIGNATURE, MLDSA44_COSIGNATURE])
def test_cosigners_sign_checkpoints_only(key_type: int) -> None:
    key = signing_key(key_type)
    with pytest.raises(InputError):
        key.signer().sign("no checkpoint\n", 5)
    with pytest.raises(InputError):
        key.key.verify("no checkpoint\n", key.signer().sign(TEXT, 5))
    for timestamp in (-1, 2**63, 2**64):
        with pytest.raises(InputError):
            key.signer().sign(TEXT, timestamp)


def test_when_a_time_may_be_left_out() -> None:
    with pytest.raises(InputError, match="time"):
        signing_key(ED25519_COSIGNATURE).signer().sign(TEXT)
    key = signing_key(MLDSA44_COSIGNATURE)
    assert key.key.verify(TEXT, key.signer().sign(TEXT)) == 0


def test_a_time_beyond_the_format_is_malformed() -> None:
    key = signing_key(ED25519_COSIGNATURE)
    signature = key.signer().sign(TEXT, 5)
    with pytest.raises(CheckFailedError, match="malformed"):
        key.key.verify(TEXT, b"\x80" + signature[1:])


def test_a_signer_takes_any_way_of_signing() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    key = VerifierKey("agent", ED25519, private.public_key().public_bytes_raw())
    asked: list[bytes] = []

    def agent(message: bytes) -> bytes:
        asked.append(message)
        return private.sign(message)

    key.verify(TEXT, Signer(key, agent).sign(TEXT))
    assert asked == [TEXT.encode()]


def test_an_agent_that_signs_with_another_key_is_found_out() -> None:
    for answer in (signing_key(ED25519, seed=2).signer().sign, lambda _: b"", lambda _: bytes(64)):
        with pytest.raises(CheckFailedError):
            Signer(signing_key(ED25519).key, lambda message, answer=answer: answer(message.decode())).sign(TEXT)


@given(st.one_of(st.text(max_size=80), st.text("ABC+/=019af", max_size=80)))
def test_fuzzed_keys(text: str) -> None:
    for candidate in (text, f"name+00000000+{text}"):
        with pytest.raises(InputError):
            VerifierKey.parse(candidate)
        with pytest.raises(InputError):
            SigningKey.parse("PRIVATE+KEY+" + candidate)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=72))
def test_random_keys_and_signatures_never_verify(public: bytes, signature: bytes) -> None:
    for key_type in (ED25519, ED25519_COSIGNATURE):
        try:
            key = VerifierKey("name", key_type, public)
        except InputError:
            continue
        assert VerifierKey.parse(str(key)) == key
        with pytest.raises(CheckFailedError):
            key.verify(TEXT, signature)


@given(st.binary(min_size=1, max_size=40))
def test_random_mldsa_keys_and_signatures_never_verify(noise: bytes) -> None:
    key = VerifierKey("name", MLDSA44_COSIGNATURE, (noise * 1312)[:1312])
    with pytest.raises(CheckFailedError):
        key.verify(TEXT, bytes(8) + (noise * 2420)[:2420])


def test_keys_compare_by_what_they_hold() -> None:
    key = VerifierKey.parse(PETER_VKEY)
    assert key == VerifierKey.parse(PETER_VKEY)
    assert hash(key) == hash(VerifierKey.parse(PETER_VKEY))
    assert key != VerifierKey.parse(ENOCH_VKEY)
    assert key != PETER_VKEY
    assert b64encode(b"\x01" + key.public).decode() in str(key)
