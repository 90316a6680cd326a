"""Claims are about some content too: what is recorded by hand carries the fingerprint of the files."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.workspace.binding import content_details

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tallystick.model import Entry
    from tallystick.workspace import Snapshot


def with_content(
    entry: Entry,
    snapshot: Snapshot,
    patterns: Sequence[str] = (),
    *,
    products: Mapping[str, Collection[str]] | None = None,
) -> Entry:
    """The entry with `details.content`: that content, and the digest of the inputs that the pathspecs match.

    Raises InputError where the entry brings such details itself.
    """
    if "content" in entry.details:
        raise InputError("'content' is written by notch alone", where="details", advice="use another name")
    content = content_details(snapshot, patterns, without=products)
    return entry.replace(details={**entry.details, "content": content})
