"""What pages of the documentation need besides the command: see `test-fixture` in `support.console`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import shared_server


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """`SERVER`: the URL of an empty database."""
    shared = shared_server()
    name = shared.new_database()
    yield {"SERVER": shared.url(name)}
    shared.drop(name)


@pytest.fixture
def javascript() -> dict[str, str]:
    """`NOTCH_VERIFIER`: the verifier that is written for Node."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    return {"NOTCH_VERIFIER": str(Path(__file__).parents[2] / "tools/notch-verify.mjs")}
