"""Parity at full size: OSEDiff's own dimensions against the recording of its program.

    python benchmarks/parity_osediff.py [--shared ../shared] [--work DIR]

Writes 5.2 GB of weights by the kit's recipe (once; they are kept in DIR) and a bundle of 3.9 GB, restores the recorded
face through the authors' file, again through the bundle, and prepared for inference, and prints the largest difference
at every stage as Markdown. Needs 10 GB of memory.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from parity.harness import read_png  # noqa: E402
from parity.osediff import LIMITS, SHARE, load_recipe, read_recording, run_case  # noqa: E402

from osdface_core import prepare  # noqa: E402
from osdface_core.weights import convert, read_model  # noqa: E402


def main() -> int:
    arguments = argparse.ArgumentParser(description="Parity with OSEDiff's program at full size.")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osediff_full")
    chosen = arguments.parse_args()
    kit, base, file = (
        chosen.shared / "data" / "parity_osediff",
        chosen.work / "sd21base",
        chosen.work / "osediff_face.pkl",
    )
    if not file.exists():
        load_recipe(kit).write("full", str(chosen.work))
    about, recorded = read_recording(kit, "full_face")
    png = read_png(kit / "recordings" / "full_face.nofix.png")

    started = time.perf_counter()
    model = read_model(file, base, prompts=[about["prompt"]])
    loaded = time.perf_counter()
    found = {"authors' file": run_case(model, kit, about)}
    done = time.perf_counter()
    del model
    bundle = chosen.work / "bundle.safetensors"
    if not bundle.exists():
        convert(file, base, bundle, kind="osediff", prompts=[about["prompt"]])
    opened = time.perf_counter()
    model = read_model(bundle)
    mapped = time.perf_counter()
    found["bundle"] = run_case(model, kit, about)
    found["prepared"] = run_case(prepare(model), kit, about)

    write, failed = sys.stdout.write, False
    write(f"| stage | limit | {' | '.join(found)} |\n|---|---|{'---|' * len(found)}\n")
    for key in (key for key in recorded if key in LIMITS):
        gaps = [(seen[key].double() - recorded[key].double()).abs().max().item() for seen in found.values()]
        failed |= max(gaps) > LIMITS[key]
        write(f"| {key} | {LIMITS[key]:g} | {' | '.join(f'{gap:.1e}' for gap in gaps)} |\n")
    differ = [(seen["png"].int() - png.int()).abs() for seen in found.values()]
    shares = [(gap > 0).double().mean().item() for gap in differ]
    failed |= max(shares) > SHARE or max(int(gap.max()) for gap in differ) > 1
    write(f"| PNG, off by 1 | {SHARE:.1%} | {' | '.join(f'{share:.4%}' for share in shares)} |\n")
    write(f"\nloading the authors' file {loaded - started:.1f} s, restoring one face {done - loaded:.1f} s, ")
    write(f"loading the bundle {mapped - opened:.2f} s, peak memory of all ")
    write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
