"""Which of the user's keys signs a ledger."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.trust.keys import VARIABLE, KeyFolder, given_key
from tallystick.trust.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.trust.keys import Key


def choose_key(environ: Mapping[str, str], ledger_id: str, named: str | None = None) -> Key | None:
    """The named key, else the one in the variable, else the one in the folder; None where there is none.

    Of several in the folder it is the one that signed this ledger last. Raises InputError where that does not
    decide, and what loading a key raises.
    """
    folder = KeyFolder(environ)
    if named is not None:
        return folder.load(named)
    given = given_key(environ)
    if given is not None:
        return given
    keys = [folder.load(name) for name in folder.names()]
    if len(keys) > 1:
        memories = {key.name: Memory(folder, key, ledger_id) for key in keys}
        keys = [key for key in keys if memories[key.name].retired() is None]
        sizes = {key.name: last.size for key in keys if (last := memories[key.name].last()) is not None}
        newest = [key for key in keys if sizes.get(key.name) == max(sizes.values(), default=0)]
        keys = newest if len(newest) == 1 else keys
    if len(keys) > 1:
        raise InputError(
            f"several keys could sign: {', '.join(key.name for key in keys)}",
            where=folder.path,
            advice=f"name one with --key, or give it in ${VARIABLE}",
        )
    return keys[0] if keys else None
