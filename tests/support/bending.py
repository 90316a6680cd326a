"""Random changes to bytes, lines and JSON texts: what a fuzzer does to a file that it knows nothing more about."""

from __future__ import annotations

import json
import random
from typing import Any

TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\n\n",
        "\t",
        "\r",
        "\0",
        "\x1f",
        "\x7f",
        "\x85",
        "\xa0",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\udfff",
        "é",
        "🎷",
    ),
    *(
        "+",
        "=",
        "==",
        "/",
        "\\",
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "0",
        "1",
        "-0",
        "00",
        "1.0",
        "1e0",
        "1e2",
        "true",
        "null",
    ),
    *(
        "NaN",
        "\\u0061",
        "\\u001F",
        "\\ud800",
        "\\/",
        "9007199254740993",
        "18446744073709551616",
        "9" * 30,
        "— ",
        "until",
        "#",
    ),
    *(
        "until 1",
        "none",
        "log",
        "witness",
        "group",
        "quorum",
        "any",
        "all",
        "extra AAAA",
        "erased",
        "omitted",
        "v",
        "entry",
    ),
    *(
        "session",
        "2026-02-30T00:00:00.000000Z",
        "2026-11-24T24:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        "x" * 5_000,
    ),
)
VALUES: tuple[Any, ...] = (
    *TEXTS,
    *(
        0,
        1,
        -1,
        2,
        3,
        64,
        65,
        2**31,
        2**53,
        2**53 + 1,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        2**64,
        10**30,
        1.5,
        1.0,
    ),
    *(True, False, None, [], {}, [1], [[]], {"": ""}, {"salt": "", "data": ""}, [1, ["text"]], [1, ["text", "text"]]),
    *([0, ["text"]], [1, []], [1, ["nothing"]], ["1", ["text"]], [1, "text"], [2**64, ["text"]]),
)

Chance = random.Random


def bent_bytes(chance: Chance, data: bytes) -> bytes:
    """The bytes with one or two places changed."""
    bent = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2))):
        place = chance.randrange(len(bent) + 1)
        how = chance.randrange(6)
        if how == 0 and place < len(bent):
            bent[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            del bent[place : place + chance.choice((1, 1, 2, 8, 60))]
        elif how == 2:
            bent[place:place] = chance.choice(TEXTS).encode("utf-8", "surrogatepass")
        elif how == 3:
            bent[place : place + chance.choice((1, 2, 4))] = chance.choice(TEXTS).encode("utf-8", "surrogatepass")
        elif how == 4:
            end = place + chance.randrange(40)
            bent[place:place] = bent[place:end]
        else:
            bent[place : place + 1] = bytes((chance.randrange(256),))
    return bytes(bent)


def bent_text(chance: Chance, text: str) -> str:
    """The text with one or two places changed; what is no UTF-8 then is dropped."""
    return bent_bytes(chance, text.encode("utf-8", "surrogatepass")).decode("utf-8", "ignore")


def bent_lines(chance: Chance, data: bytes, others: bytes) -> bytes:
    """The lines with one of them dropped, doubled, moved, or replaced by one of another file."""
    lines = data.splitlines(keepends=True)
    place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(4)
    if how == 0:
        del lines[place]
    elif how == 1:
        lines.insert(other, lines[place])
    elif how == 2:
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines[place] = chance.choice(others.splitlines(keepends=True))
    return b"".join(lines)


def bent_value(chance: Chance, value: Any) -> Any:
    """The JSON value with something in it changed: a field set, taken out, added, renamed or moved."""
    places = [*_places(value)]
    container, key = chance.choice(places) if places else ([value], 0)
    how = chance.randrange(7)
    if how < 3:
        container[key] = chance.choice(VALUES)
    elif how == 3 and isinstance(container[key], str):
        container[key] = bent_text(chance, container[key])
    elif how == 4:
        del container[key]
    elif isinstance(container, dict):
        items = [*container.items()]
        if how == 5:
            items.insert(
                chance.randrange(len(items) + 1), (chance.choice(("other", "", *container)), chance.choice(VALUES))
            )
        else:
            chance.shuffle(items)
        container.clear()
        container.update(items)
    else:
        container.append(chance.choice(VALUES))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *_places(value[key])]
    return found


def bent_json(chance: Chance, text: str) -> str:
    """The JSON text with a value changed, or spelled otherwise."""
    how = chance.randrange(6)
    if how < 3:
        return json.dumps(
            bent_value(chance, json.loads(text)), ensure_ascii=chance.random() < 0.1, separators=(",", ":")
        )
    if how == 3:
        return text.replace(
            chance.choice((",", ":", "{", "}")), chance.choice((", ", ": ", ",\n", "\t:", "{ ", " }", ",,")), 1
        )
    if how == 4:
        start = text.index('"', chance.randrange(len(text) - 3)) if '"' in text[-3:] else 0
        end = text.find(",", start)
        return text[:-1] + "," + text[1:end] + "}" if end > 0 else text
    return bent_text(chance, text)
