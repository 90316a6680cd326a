"""Text: decoding, cleaning, what is blank, what is safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.model.text import BLANK, clean_text, decode_text, is_blank, printable

any_text = st.text(alphabet=st.characters(codec=None, categories=None))


def naive_decode(data: bytes) -> str:
    """UTF-8 by trying lengths, one U+FFFD for each byte that begins nothing."""
    result = ""
    while data:
        for size in (1, 2, 3, 4):
            try:
                char = data[:size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            if char:
                result, data = result + char, data[len(char.encode()) :]
                break
        else:
            result, data = result + "\ufffd", data[1:]
    return result


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"\xff\xfe", "\ufffd" * 2),
        (b"\xe2\x82", "\ufffd" * 2),
        (b"\xe2\x82a", "\ufffd\ufffda"),
        (b"\xed\xa0\x80", "\ufffd" * 3),
        (b"\xc0\x80", "\ufffd" * 2),
        (b"\xf4\x90\x80\x80", "\ufffd" * 4),
        (b"\xf0\x9f\x8e\x89\xf0\x9f\x8e", "🎉" + "\ufffd" * 3),
        (b"\xef\xbb\xbfx", "\ufeffx"),
    ],
)
def test_every_byte_that_is_not_utf8_becomes_one_replacement(data, text):
    assert decode_text(data) == text


@given(st.binary(max_size=40))
def test_decoding_agrees_with_the_naive_definition(data):
    assert decode_text(data) == naive_decode(data)


@given(any_text)
def test_clean_text_can_be_written_and_changes_nothing_else(text):
    clean = clean_text(text)
    clean.encode("utf-8")
    assert clean_text(clean) == clean
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert clean == text


def test_lone_surrogates_become_replacements_and_pairs_one_character():
    assert clean_text("a\ud800b\udc00c\ud800") == "a\ufffdb\ufffdc\ufffd"
    assert clean_text("\ud83c\udf89") == "🎉"
    assert clean_text("\udc00\ud800") == "\ufffd\ufffd"


def test_blank_is_white_space_as_unicode_has_it():
    white = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
    white += [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
    assert sorted(map(ord, BLANK)) == white
    assert {code for code in range(0x11_0000) if is_blank(chr(code))} == set(white)
    assert is_blank("")
    assert is_blank(BLANK)
    assert not is_blank(f"{BLANK}.{BLANK}")


class TestPrintable:
    def test_what_can_be_printed_stays(self):
        assert printable("é 日本 🎉") == "é 日本 🎉"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("\x1b[31mred", "\\x1b[31mred"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\u202eevil", "\\u202eevil"),
            ("\x9b1m\x7f\x00", "\\x9b1m\\x7f\\x00"),
            ("\U000e0041", "\\U000e0041"),
            ("\ud800", "\ufffd"),
        ],
    )
    def test_what_controls_a_terminal_is_escaped(self, text, shown):
        assert printable(text) == shown

    def test_newlines_and_tabs_can_be_kept(self):
        assert printable("a\nb\tc\r\x1b", keep_newlines=True) == "a\nb\tc\\r\\x1b"

    @given(any_text, st.booleans())
    def test_nothing_unprintable_is_ever_shown(self, text, keep):
        shown = printable(text, keep_newlines=keep)
        assert all(char.isprintable() or (keep and char in "\n\t") for char in shown)
        shown.encode()
