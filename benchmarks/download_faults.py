"""Downloads killed (kill -9) at random moments and run again until they are whole, against a hub on loopback.

    python benchmarks/download_faults.py [--runs 200] [--seed 1]

Fails if a file under its final name is ever not the right one, or a byte on disk is ever fetched again.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> None:
    arguments = argparse.ArgumentParser(description="Downloads that are killed.")
    arguments.add_argument("--runs", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    from hub import Hub

    with Hub() as hub, tempfile.TemporaryDirectory() as folder:
        os.environ["HF_ENDPOINT"] = hub.url  # before huggingface_hub is imported, which is when it looks
        import huggingface_hub  # noqa: F401
        from test_download import DATA, ON_HUB, kill_and_resume

        from osdface_core.weights.catalog import Entry, File

        hub.files[ON_HUB] = DATA
        hub.faults.pause = 0.001
        files = (File("net.pth", len(DATA), hashlib.sha256(DATA).hexdigest()),)
        entry = Entry("net", "a test", "nets", files, ("hf:me/mirror",), "https://example.org", "MIT", True)
        # a fork starts at once; where there is none, a process imports PyTorch first
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(method)
        killed = kill_and_resume(hub, entry, Path(folder), chosen.runs, chosen.seed, context)
        sys.stdout.write(f"{chosen.runs} downloads whole and right, after {killed} kills\n")
        hub.shutdown()


if __name__ == "__main__":
    main()
