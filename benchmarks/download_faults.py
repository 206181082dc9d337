"""Downloads killed (kill -9) at random moments and run again until they are whole, against a hub on loopback.

    python benchmarks/download_faults.py [--runs 200] [--seed 1]

Fails if a file under its final name is ever not the right one, or a byte on disk is ever fetched again.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
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
        from test_download import DATA, ON_HUB

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


def kill_and_resume(hub, entry, folder, runs, seed, context):
    """Downloads, each killed at a random moment until one is whole. Returns how many were killed on their way."""
    from children import download_and_tell
    from test_download import DATA, STORE

    chance, killed, final = random.Random(seed), 0, folder / "net.pth"
    for _ in range(runs):
        while not final.exists():
            kept = sum(part.stat().st_size for part in folder.glob("*.part"))
            hub.requests.clear()
            begun = context.Event()
            child = context.Process(target=download_and_tell, args=(begun, entry, folder))
            child.start()
            if not begun.wait(60):
                raise SystemExit("a process does not begin")
            child.join(chance.uniform(0, 0.4))
            killed += child.exitcode is None
            child.kill()
            child.join()
            if hub.starts(STORE)[:1] not in ([], [kept]):
                raise SystemExit("bytes that were there were fetched again")
        if final.read_bytes() != DATA:
            raise SystemExit(f"{final} is not the file")
        final.unlink()
        if left := list(folder.glob("*.part")):
            raise SystemExit(f"{left} is left behind")
    return killed


if __name__ == "__main__":
    main()
