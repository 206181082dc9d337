"""Which licences a person has agreed to on this machine: in a file of theirs, outside any workflow."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from ..files.atomic_write import atomic_write
from .catalog import Entry

log = logging.getLogger(__name__)


def consent_file() -> Path:
    """A table from the names of entries to the licences, word for word, that were agreed to."""
    return Path.home() / ".osdface" / "licences.json"


def has_agreed(entry: Entry) -> bool:
    """Whether somebody agreed to the licence that the entry has now."""
    return consents().get(entry.name) == entry.licence


def agree(entries: Iterable[Entry]) -> None:
    """Keep that a person agrees to the licences of these entries. Only what a person does may call this.

    Raises OSError where their file cannot be written.
    """
    path = consent_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    table = consents() | {entry.name: entry.licence for entry in entries}
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8", newline="\n")


def consents() -> dict[str, object]:
    path = consent_file()
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: it cannot be read (%s), so nobody has agreed to a licence yet", path, error)
        return {}
    return table if isinstance(table, dict) else {}
