"""JSON as it is given and kept: strict in, compact out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import InputError
from tallystick.model import jsontext
from tallystick.model.frozen import frozen_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner)),
    max_leaves=20,
)


class TestLoads:
    @given(values)
    def test_it_reads_what_compact_writes(self, value):
        assert jsontext.loads(jsontext.compact(jsontext.checked(value, "x")), "x") == value

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", "line 1 column 1"),
            (b'{"a":1 "b":2}', "line 1 column 8"),
            (b'{\n "a": tru}', "line 2 column 7"),
            (b'{"a":1} x', "Extra data"),
            (b'{"a":1,"b":{"a":2,"a":3}}', "duplicate key 'a'"),
            (b'{"x":1,"y":2,"y":3}', "duplicate key 'y'"),
            (b"[NaN]", "NaN is not JSON"),
            (b"[-Infinity]", "-Infinity is not JSON"),
            (b"[1e999]", "too large"),
            (b"[-1e999]", "too large"),
            (b"[123456789012345678901]", "too large"),
            (b'"\xff"', "not UTF-8 at byte 1"),
            (b"\xef\xbb\xbf{}", "BOM"),
            (b'"a\nb"', "control character"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"a":' * 100_000, "nested too deeply"),
        ],
        ids=lambda value: None if isinstance(value, bytes) else value.replace(" ", "-"),
    )
    def test_what_it_refuses_it_names_with_its_place(self, data, what):
        with pytest.raises(InputError) as caught:
            jsontext.loads(data, "--details")
        assert what in caught.value.what
        assert str(caught.value).startswith("--details: ")
        assert "\n" not in str(caught.value)

    def test_integers_of_64_bits_are_read(self):
        assert jsontext.loads(b"[-9223372036854775808, 18446744073709551615]", "x") == [-(2**63), 2**64 - 1]

    @given(st.binary(max_size=30))
    def test_it_raises_nothing_but_its_own(self, data):
        try:
            value = jsontext.loads(data, "x")
        except InputError:
            return
        assert json.loads(data) == value


class TestChecked:
    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (float("nan"), "NaN"),
            (float("inf"), "NaN and infinities"),
            ({"a": 2**53 + 1}, "integer too large"),
            ({"a": -(2**53) - 1}, "integer too large"),
            ({1: 2}, "a key is int"),
            ({"a": {1, 2}}, "set cannot be recorded"),
            ({"a": b"x"}, "bytes cannot be recorded"),
            (dict.fromkeys("\ud800\ud801", 1), "duplicate key"),
        ],
    )
    def test_what_cannot_come_back_the_same_is_refused(self, value, what):
        with pytest.raises(InputError, match=what):
            jsontext.checked(value, "details")

    def test_the_place_is_named(self):
        with pytest.raises(InputError) as caught:
            jsontext.checked({"a": [0, {"b": float("nan")}]}, "details")
        assert caught.value.where == "details.a[1].b"

    @pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}], ids=["list", "object"])
    def test_nesting_ends_at_64(self, wrap):
        def nested(levels: int) -> object:
            value: object = 1
            for _ in range(levels):
                value = wrap(value)
            return value

        assert jsontext.checked(nested(64), "x") == nested(64)
        with pytest.raises(InputError, match="deeper than 64"):
            jsontext.checked(nested(65), "x")
        for key in ("scafld", "other"):
            value = {"scafld": {}, key: nested(63)}
            assert jsontext.checked(value, "details", wide="scafld") == value
            with pytest.raises(InputError, match="deeper than 64"):
                jsontext.checked({"scafld": {}, key: nested(64)}, "details", wide="scafld")

    def test_what_is_nested_in_itself_is_refused(self):
        loop: list[object] = []
        loop.append(loop)
        with pytest.raises(InputError, match="deeper than 64"):
            jsontext.checked(loop, "x")

    def test_lone_surrogates_are_replaced_in_keys_too(self):
        assert jsontext.checked({"a\ud800": "\udc00"}, "x") == {"a\ufffd": "\ufffd"}

    def test_one_key_may_hold_integers_of_64_bits(self):
        value = {"scafld": {"n": 2**63 - 1, "m": -(2**63)}, "other": 2**53}
        assert jsontext.checked(value, "details", wide="scafld") == value
        for bad in ({"scafld": {"n": 2**63}}, {"scafld": {}, "n": 2**53 + 1}, {"x": {"scafld": 2**60}}):
            with pytest.raises(InputError, match="integer too large"):
                jsontext.checked(bad, "details", wide="scafld")

    @given(values)
    def test_frozen_values_are_taken_like_plain_ones(self, value):
        assert jsontext.checked(frozen_json(value), "x") == jsontext.checked(value, "x") == value


@given(st.dictionaries(st.text(max_size=4), scalars, max_size=6))
def test_compact_has_its_keys_in_byte_order_and_no_space(value):
    data = jsontext.compact(value)
    assert data == data.strip()
    keys = [key for key, _ in json.loads(data, object_pairs_hook=list)]
    assert keys == sorted(keys, key=str.encode)
    assert "\\u00e9" not in data.decode()
