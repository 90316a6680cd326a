"""What pages of the documentation need besides the command: see `test-fixture` in `support.console`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgres import shared_server


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """`SERVER`: the URL of an empty database."""
    shared = shared_server()
    name = shared.new_database()
    yield {"SERVER": shared.url(name)}
    shared.drop(name)
