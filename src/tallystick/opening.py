"""Which store a URL or path means, and opening it."""

from __future__ import annotations

import os

from tallystick.errors import InputError
from tallystick.location import prepare_folder, sqlite_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.stores.base import Store


def open_store(
    url: str,
    create: bool,
    read_only: bool,
    clock: Callable[[], str],
    random: Callable[[int], bytes],
) -> Store:
    """The store at a URL or path: PostgreSQL, a bundle, else SQLite. Raises what opening that store raises."""
    if url.startswith(("postgresql://", "postgres://")):
        from tallystick.stores.postgres_url import require_psycopg

        require_psycopg()
        from tallystick.stores.postgres import PostgresStore

        return PostgresStore(url, create=create, clock=clock, random=random, read_only=read_only)
    path = sqlite_path(url)
    if path is None:
        if "://" in url:
            raise InputError(
                f"{url.partition(':')[0]!r} is not a store", advice="use sqlite:///, postgresql:// or a path"
            )
        path = url
    if os.path.isfile(path) and not path.endswith(".db") and not os.path.exists(f"{path}-lock"):
        from tallystick.stores.bundle import is_bundle, open_bundle

        if is_bundle(path):
            return open_bundle(path)
    from tallystick.stores.sqlite import SqliteStore

    if create and not os.path.exists(path):
        prepare_folder(os.path.abspath(path))
    return SqliteStore(path, create=create, clock=clock, random=random, read_only=read_only)
