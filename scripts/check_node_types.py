"""mypy for the nodes. They import the core from the package around both, as a host has them do.

The checkout's name need not be one that a package can have, so they are checked through a link that is named like one.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    how = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache" / "nodes"]
    with TemporaryDirectory() as folder:
        (Path(folder) / "osdface_pack").symlink_to(ROOT, target_is_directory=True)
        return subprocess.call([sys.executable, "-m", "mypy", *how, "-p", "osdface_pack.nodes"], cwd=folder)


if __name__ == "__main__":
    sys.exit(main())
