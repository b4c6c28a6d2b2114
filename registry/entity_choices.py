"""Which canonical entity the records of a source entity are, once somebody or something is sure of it.

Choosing has its fields scored, or scored anew, for that entity; what they become is decided there.
"""

from registry.edits import Key
from registry.novel_fields import STATEMENTS
from registry.pool import Connection
from registry.write_changes import source_columns


def choose_entity(connection: Connection, key: Key, canonical_entity: str | None, *, actor: str) -> None:
    """Says, in the caller's transaction, what the source entity `key` is; None: none of the canonical ones."""
    arguments = source_columns(key) | {"canonical_entity": canonical_entity, "actor": actor}
    connection.execute(STATEMENTS["choose_entity"], arguments)
    connection.execute(STATEMENTS["renew_fields"], source_columns(key))


def note_entity(connection: Connection, key: Key, canonical_entity: str, *, actor: str) -> None:
    """Says the same of a source whose fields have just been scored for that entity; unless somebody has chosen."""
    arguments = source_columns(key) | {"canonical_entity": canonical_entity, "actor": actor}
    connection.execute(STATEMENTS["note_entity"], arguments)
