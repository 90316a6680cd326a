"""Claims are about some content too: what is recorded by hand carries the fingerprint of the files."""

from __future__ import annotations

import os

from tallystick.capture.run import own_files
from tallystick.errors import InputError
from tallystick.workspace import Workspace
from tallystick.workspace.binding import content_details

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.ledger import Ledger
    from tallystick.model import Entry


def with_content(
    entry: Entry,
    ledger: Ledger,
    patterns: Sequence[str] = (),
    *,
    products: Mapping[str, Sequence[str]] | None = None,
) -> Entry:
    """The entry with `details.content`: the content of the work tree here, and the digest of its inputs.

    Raises InputError where the entry brings such details itself.
    """
    if "content" in entry.details:
        raise InputError("'content' is written by notch alone", where="details", advice="use another name")
    with Workspace.find(os.getcwd(), exclude=own_files(ledger)).snapshot() as snapshot:
        content = content_details(snapshot, patterns, without=products)
    return entry.replace(details={**entry.details, "content": content})
