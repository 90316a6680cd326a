"""Secrets of the environment are kept out of what is recorded, however the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.model.secrets import SHORTEST, SecretMask, looks_secret

ENVIRON = {
    "GITHUB_TOKEN": "ghp_0123456789",
    "LONGER_TOKEN": "ghp_0123456789-and-more",
    "API_KEY": "kkkkkkkk",
    "SHORT_PASSWORD": "short",
    "HOME": "/srv/somebody",
}


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "apiKey", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"])
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["HOME", "PATH", "PWD", "SSH_AUTH_SOCK", "LANG", "TOKENIZERS_PARALLELISM", "MONKEY"])
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


def test_bytes_text_and_values_are_masked() -> None:
    mask = SecretMask(ENVIRON)
    assert mask.data(b"<ghp_0123456789>") == b"<[masked GITHUB_TOKEN]>"
    assert mask.text("ghp_0123456789-and-more!") == "[masked LONGER_TOKEN]!"
    assert mask.value({"kkkkkkkk": ["a", {"b": "kkkkkkkk"}, 1, None]}) == {
        "[masked API_KEY]": ["a", {"b": "[masked API_KEY]"}, 1, None]
    }


def test_short_and_plain_values_stay() -> None:
    mask = SecretMask(ENVIRON)
    assert mask.data(b"short in /srv/somebody") == b"short in /srv/somebody"


def test_without_secrets_nothing_is_looked_at() -> None:
    mask = SecretMask({"HOME": "/srv/somebody"})
    assert not mask
    assert mask.filter() is None
    assert mask.text("\udcff as it is") == "\udcff as it is"


def test_a_secret_that_begins_with_another_is_masked_whole() -> None:
    stream = SecretMask(ENVIRON).filter()
    assert stream is not None
    told = b"".join(stream.feed(bytes([byte])) for byte in b"x ghp_0123456789-and-more y") + stream.finish()
    assert told == b"x [masked LONGER_TOKEN] y"


@given(
    st.lists(st.sampled_from([b"ghp_0123456789", b"-and-more", b"kkkkkkkk", b"ghp_", b"k", b" ", b"\n", b"\xff"])),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_a_stream_is_masked_as_the_whole_is(pieces: list[bytes], sizes: list[int]) -> None:
    data = b"".join(pieces)
    mask = SecretMask(ENVIRON)
    stream = mask.filter()
    assert stream is not None
    told, place, turn = b"", 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        told += stream.feed(data[place : place + size])
        place, turn = place + size, turn + 1
    told += stream.finish()
    assert told == mask.data(data)
    assert not any(value.encode() in told for value in ENVIRON.values() if len(value) >= SHORTEST and "/" not in value)


def test_a_password_in_a_url_whatever_the_variable_is_called() -> None:
    url = "postgresql://me:correct%20horse@db.example,db2.example:5433/evidence?sslmode=require"
    mask = SecretMask({"TALLYSTICK_LEDGER": url, "OTHER": "https://example.org/x?a=b@c", "SHORT": "ftp://me:abc@h"})
    printed = (
        f"ledger={url}\npassword correct%20horse, meant: correct horse\nhttps://example.org/x?a=b@c abc ftp://me:abc@h"
    )
    assert mask.text(printed) == (
        "ledger=[masked TALLYSTICK_LEDGER]\npassword [masked TALLYSTICK_LEDGER], meant: [masked TALLYSTICK_LEDGER]\n"
        "https://example.org/x?a=b@c abc [masked SHORT]"
    )
    named = SecretMask({"TALLYSTICK_LEDGER": "postgresql://h/db?user=me&password=correcthorse"})
    assert named.text("correcthorse") == "[masked TALLYSTICK_LEDGER]"
    for plain in ("postgresql://me@h/db", "git@example.org:a/b", "http://h:80/a@b", "note: a://b"):
        assert not SecretMask({"TALLYSTICK_LEDGER": plain})
