"""OutputKeeper against the obvious definition of what it keeps."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tallystick.model.output import OUTPUT_LIMIT, OutputKeeper

pieces = st.lists(st.binary(max_size=40), max_size=30)


def expected(data: bytes, limit: int) -> tuple[bytes, tuple[int, int] | None]:
    if len(data) <= limit:
        return data, None
    last = limit // 2
    first = limit - last
    return data[:first] + data[len(data) - last :], (first, len(data) - limit)


@given(pieces=pieces, limit=st.integers(min_value=0, max_value=70))
def test_keeps_the_beginning_and_the_end(pieces: list[bytes], limit: int) -> None:
    keeper = OutputKeeper(limit)
    fed = b""
    for piece in pieces:
        keeper.feed(piece)
        fed += piece
        assert (keeper.kept(), keeper.dropped) == expected(fed, limit)
        assert keeper.size == len(fed)


def test_limit_is_64_mib_exactly() -> None:
    assert OUTPUT_LIMIT == 67_108_864
    keeper = OutputKeeper()
    keeper.feed(bytes(OUTPUT_LIMIT - 1))
    keeper.feed(b"z")
    assert keeper.dropped is None
    assert len(keeper.kept()) == OUTPUT_LIMIT
    keeper.feed(b"!")
    assert keeper.dropped == (OUTPUT_LIMIT // 2, 1)
    assert keeper.kept().endswith(b"z!")


def test_memory_does_not_grow_beyond_the_limit() -> None:
    limit = 1 << 20
    keeper = OutputKeeper(limit)
    piece = b"y\n" * 5_000
    tracemalloc.start()
    try:
        for _ in range(1_000):
            keeper.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert keeper.size == 10_000_000
    assert peak < 1.5 * limit


def test_takes_any_bytes_like_piece() -> None:
    keeper = OutputKeeper(8)
    keeper.feed(bytearray(b"ab"))
    keeper.feed(memoryview(b"cd"))
    assert keeper.kept() == b"abcd"
