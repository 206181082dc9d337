"""What commands say on a terminal: nothing that steers it, in lines of bounded length."""

import copy
import logging
import sys
from pathlib import PurePath

from ..files.names import printable

LONGEST = 2000
"""Characters of an error or a warning: some quote what a file holds."""


class Messages(logging.Formatter):
    """Messages as they are, but printable: errors and warnings in one line of bounded length, paths in one, too."""

    def format(self, record: logging.LogRecord) -> str:
        ours, serious = record.name.startswith("osdface"), record.levelno >= logging.WARNING
        if isinstance(record.args, tuple):
            record = copy.copy(record)
            record.args = tuple(printable(str(it)) if isinstance(it, PurePath) else it for it in record.args or ())
        text = printable(super().format(record), lines=not (ours and serious))
        return text[:LONGEST] + " …" if serious and len(text) > LONGEST else text


def set_up_messages(level: int = logging.INFO) -> None:
    """Have this process say on standard error what it has to say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Messages())
    logging.basicConfig(level=level, handlers=[handler])
