"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what is to become `path`.

    It takes its place once the block has ended well. Otherwise it is removed, and what was at `path` stays. An OSError
    of the block is raised again with the path and the reason.
    """
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        partial.unlink(missing_ok=True)
