"""JSON as scafld reads it: what it accepts, what it refuses, and how the refusal reads."""

from __future__ import annotations

import json

import pytest

from tallystick.errors import InputError
from tallystick.exchange import scafld
from tallystick.exchange.scafld_json import MAX_DEPTH
from tallystick.model import Entry


def entry(data: str | bytes, dialect: str = "2.3") -> Entry:
    text = data.encode() if isinstance(data, str) else data
    return scafld.loads(b'{"entries":[' + text + b"]}", dialect).entries[0]


class TestNames:
    @pytest.mark.parametrize("name", ["type", "Type", "TYPE", "tYpE", "\\u0074ype"])
    def test_they_match_whatever_their_case(self, name):
        assert entry(f'{{"{name}":"x"}}').type == "x"

    @pytest.mark.parametrize(
        ("name", "field"),
        [("statu\u017f", "status"), ("expected_\u212aind", "expected_kind"), ("\u017fTATU\u017f", "status")],
    )
    def test_two_letters_outside_ascii_fold_too(self, name, field):
        read = entry(json.dumps({name: "x"}), "2.5")
        assert (read.status or read.details["scafld"].get(field)) == "x"

    @pytest.mark.parametrize("name", ["typé", "ıd", "\u0130d", "type ", "", "ty\u200bpe", "commaNd\u0301"])
    def test_nothing_else_matches(self, name):
        reading = scafld.read_session(json.dumps({"entries": [{name: "x"}]}).encode())
        assert reading.session.entries == (Entry(),)
        assert reading.dropped == {f"entries.{name}": 1}

    def test_unknown_ones_are_counted_by_path(self):
        data = b'{"note":1,"entries":[{"details":{},"x":[[]]},{"Details":1,"x":null}],"phase_blocks":{"p":{"y":0}}}'
        assert scafld.read_session(data).dropped == {
            "note": 1,
            "entries.details": 1,
            "entries.x": 1,
            "entries.Details": 1,
            "states.y": 1,
        }


class TestTwice:
    def test_the_last_value_stands_whatever_the_case_of_its_name(self):
        assert entry('{"status":"a","STATUS":"b"}').status == "b"
        assert entry('{"STATUS":"b","status":"a","id":"x"}').status == "a"

    def test_null_leaves_what_was_there(self):
        assert entry('{"status":"a","status":null,"exit_code":3,"exit_code":null}') == Entry(status="a", exit_code=3)

        twice = b'{"ledger_valid":true,"ledger_valid":null,"task_id":"a","task_id":null}'
        assert scafld.loads(twice).task_id == "a"

    def test_null_takes_a_list_away(self):
        session = scafld.loads(b'{"entries":[{"id":"a"}],"entries":null}')
        assert (session.entries, session.origin.entries) == ((), "null")

    def test_a_list_is_read_over_the_first_one(self):
        data = b'{"entries":[{"id":"a","status":"s"},{"id":"b"}],"Entries":[{"id":"c"}]}'
        assert scafld.loads(data).entries == (Entry(id="c", status="s"),)
        data = data[:-1] + b',"entries":[null,{"type":"x"}]}'
        assert scafld.loads(data).entries == (Entry(id="c", status="s"), Entry(id="b", type="x"))
        data = data[:-1] + b',"entries":[],"entries":[null,{"type":"y"}]}'
        assert scafld.loads(data).entries == (Entry(), Entry(type="y"))

    def test_a_wrong_type_is_refused_though_a_right_one_follows(self):
        with pytest.raises(InputError):
            entry('{"exit_code":"1","exit_code":1}')


class TestText:
    @pytest.mark.parametrize(
        ("written", "text"),
        [
            (b"\\ud83c\\udf89", "🎉"),
            (b"\\ud800", "\ufffd"),
            (b"\\udc00\\ud800", "\ufffd\ufffd"),
            (b"\\ud800\\ud83c\\udf89", "\ufffd🎉"),
            (b"\\ud800x", "\ufffdx"),
            (b"\xff\xc0\x80", "\ufffd\ufffd\ufffd"),
            (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
            (b"\xe2\x82", "\ufffd\ufffd"),
            (b"\\/\\b\\f\\u0000", "/\b\f\0"),
            (b"\x7f\xc2\x85\xe2\x80\xa8", "\x7f\x85\u2028"),
        ],
    )
    def test_it_is_always_text_that_can_be_written(self, written, text):
        assert entry(b'{"reason":"' + written + b'"}').reason == text

    def test_names_of_states_are_cleaned_too(self):
        scafld.loads(b'{"criterion_states":{"\\ud800":{},"\xff":null}}', "2.3")


class TestIntegers:
    @pytest.mark.parametrize("digits", ["0", "-0", "7", "-9223372036854775808", "9223372036854775807"])
    def test_64_bits_are_taken(self, digits):
        assert entry(f'{{"exit_code":{digits}}}').exit_code == int(digits)

    @pytest.mark.parametrize(
        ("digits", "what"),
        [
            ("1.5", "1.5 is not an integer"),
            ("1.0", "1.0 is not an integer"),
            ("1e3", "1e3 is not an integer"),
            ("9223372036854775808", "outside 64 bits"),
            ("-9223372036854775809", "outside 64 bits"),
            ("1" * 100_000, "outside 64 bits"),
            ('"1"', "expected an integer, found text"),
            ("true", "expected an integer, found true"),
        ],
        ids=str.__len__,
    )
    def test_all_else_is_refused(self, digits, what):
        with pytest.raises(InputError) as caught:
            entry(f'{{"exit_code":{digits}}}')
        assert what in str(caught.value)
        assert len(str(caught.value)) < 200

    def test_an_unknown_field_may_hold_any_number(self):
        assert entry(f'{{"x":1e999,"y":{"9" * 5000},"z":-0.0e-7}}') == Entry()


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            ('{"schema_version":"1"}', "f: schema_version: expected an integer, found text"),
            ('{"task_id":5}', "f: task_id: expected text, found the number 5"),
            ('{"entries":{}}', "f: entries: expected a list, found an object"),
            ('{"entries":[{},[]]}', "f: entries[1]: expected an object, found a list"),
            ('{"Entries":[{},{},{"EXIT_code":[]}]}', "f: entries[2].exit_code: expected an integer, found a list"),
            ('{"criterion_states":[]}', "f: criterion_states: expected an object, found a list"),
            ('{"criterion_states":{"a":1}}', "f: criterion_states['a']: expected an object, found the number 1"),
            ('{"phase_blocks":{"a":{"reason":false}}}', "f: phase_blocks['a'].reason: expected text, found false"),
            ('{"ledger_valid":"true"}', "f: ledger_valid: expected true or false, found text"),
            ('{"entries":[{"reviewed_scope":["a",1]}]}', "f: entries[0].reviewed_scope[1]: expected text"),
            ("[]", "f: expected an object, found a list"),
            ('"x"', "f: expected an object, found text"),
            ("", "f: not JSON: Expecting value at line 1 column 1"),
            ('{\n  "a": tru}', "f: not JSON: Expecting value at line 2 column 8"),
            ('{"task_id":"a"} x', "f: not JSON: Extra data at line 1 column 17"),
            ('{"task_id":"a"', "f: not JSON: Expecting ',' delimiter at line 1 column 15"),
            ('{"a":01}', "f: not JSON: "),
            ('{"a":NaN}', "f: not JSON: NaN"),
            ('{"a":-Infinity}', "f: not JSON: -Infinity"),
            ('{"a":"\n"}', "f: not JSON: Invalid control character at line 1 column 7"),
            ('{"a":"\\x"}', "f: not JSON: Invalid \\escape"),
            ('{"a":\u00a01}', "f: not JSON: "),
            ("\x00", "f: not JSON: "),
            ("\ufeff{}", "f: starts with a byte order mark"),
        ],
    )
    def test_they_name_what_and_where_in_one_line(self, data, says):
        with pytest.raises(InputError) as caught:
            scafld.loads(data.encode(), where="f")
        assert str(caught.value).startswith(says)
        assert "\n" not in str(caught.value)

    def test_utf_16_is_recognised(self):
        for encoding in ("utf-16", "utf-16-be"):
            data = "\ufeff{}".encode(encoding)
            with pytest.raises(InputError, match=r"byte order mark|not JSON"):
                scafld.loads(data)

    def test_a_path_without_a_file_name_stands_alone(self):
        with pytest.raises(InputError) as caught:
            scafld.loads(b'{"entries":[{"id":1}]}')
        assert caught.value.where == "entries[0].id"

    def test_null_is_an_empty_session(self):
        session = scafld.loads(b" null\n")
        assert scafld.dumps(session) == b'{\n  "schema_version": 0,\n  "task_id": "",\n  "entries": null\n}\n'


class TestNesting:
    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_it_ends_at_512_levels(self, opening, closing):
        def data(levels: int) -> bytes:
            return f'{{"x":{opening * levels}1{closing * levels}}}'.encode()

        assert scafld.read_session(data(MAX_DEPTH)).dropped == {"x": 1}
        for levels in (MAX_DEPTH + 1, 5_000, 200_000):
            with pytest.raises(InputError, match="nested deeper than 512 levels"):
                scafld.loads(data(levels))

    def test_unclosed_nesting_is_refused_too(self):
        with pytest.raises(InputError):
            scafld.loads(b"[" * 1_000_000)
        with pytest.raises(InputError):
            scafld.loads(b'{"entries":[' + b'{"x":' * 1_000_000)
