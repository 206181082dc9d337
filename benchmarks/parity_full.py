"""Parity at full size: OSDFace's own dimensions against the recording of the authors' program.

    python benchmarks/parity_full.py [--shared ../shared] [--work DIR]

Writes 4 GB of weights by the recipe (once; they are kept in DIR), restores the recorded image through the authors' file
formats, again through a bundle, and prepared for inference, and prints the largest difference at every stage as
Markdown. Needs 10 GB of memory.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from parity import recipe  # noqa: E402
from parity.harness import HERE, LIMITS, Case, differences, load_case, read_png, run_case  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from osdface_core import prepare  # noqa: E402
from osdface_core.weights import convert, read_model  # noqa: E402


def main() -> int:
    arguments = argparse.ArgumentParser(description="Parity with the authors' program at full size.")
    arguments.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    chosen = arguments.parse_args()
    kit = chosen.shared / "data" / "parity"
    if not (chosen.work / "ckpt" / "associate_2_plpickle.ckpt").exists():
        recipe.write_weights("full", chosen.work, kit)
    recorded = load_file(kit / "recordings" / "full_lq512.safetensors")
    recorded["png"] = read_png(kit / "recordings" / "full_lq512.png")

    started = time.perf_counter()
    model = load_case(Case(), chosen.work, chosen.work)
    loaded = time.perf_counter()
    seen = run_case(model, HERE / "inputs" / "lq_512.png", chosen.work / "restored.png")
    done = time.perf_counter()
    from_files = differences(seen, recorded)
    del model

    bundle = chosen.work / "bundle.safetensors"
    if not bundle.exists():
        convert(chosen.work / "authors", chosen.work / "sd21base", bundle)
    opened = time.perf_counter()
    model = read_model(bundle)
    mapped = time.perf_counter()
    seen = run_case(model, HERE / "inputs" / "lq_512.png", chosen.work / "restored.png")
    from_bundle = differences(seen, recorded)
    seen = run_case(prepare(model), HERE / "inputs" / "lq_512.png", chosen.work / "restored.png")
    prepared = differences(seen, recorded)

    write = sys.stdout.write
    write("| stage | limit | authors' files | bundle | prepared |\n|---|---|---|---|---|\n")
    for key, gap in from_files.items():
        write(f"| {key} | {LIMITS[key]:g} | {gap:.2e} | {from_bundle[key]:.2e} | {prepared[key]:.2e} |\n")
    write(f"\nloading the authors' files {loaded - started:.1f} s, restoring one face {done - loaded:.1f} s, ")
    write(f"loading the bundle {mapped - opened:.2f} s, peak memory of all ")
    write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB\n")
    return int(any(gap > LIMITS[key] for found in (from_files, from_bundle, prepared) for key, gap in found.items()))


if __name__ == "__main__":
    sys.exit(main())
