"""What every part of OSDFace holds on a CUDA card while it works: the most bytes of tensors alive, weights apart.

    python benchmarks/memory.py

Traces a whole pass on tensors without data (tests/cuda_trace.py), so it needs neither a card nor weights and takes two
minutes. What a library takes besides while it computes, such as cuDNN's workspace, is not in it. HELD in
osdface_core/memory.py is what it prints last.
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cuda_trace import PARTS, card, trace_pass  # noqa: E402

from osdface_core.inference import networks, prepare  # noqa: E402
from osdface_core.kernels import convolution  # noqa: E402
from osdface_core.models.osdface import ModelConfig, OSDFaceModel  # noqa: E402
from osdface_core.models.precision import Precision  # noqa: E402

CASES = (("fp32", 1), ("fp32", 4), ("fp16", 1), ("fp16", 8))
LARGE = 2048
"""Sides of an image that is restored as it is, by the authors' way with one that is not square."""


def held(precision: str, faces: int, size: int = 512) -> dict[str, float]:
    """GB that each part holds for so many faces of `size` pixels at once, what the parts before it left included."""
    peaks = trace_pass(precision, faces, size).peaks
    return {part: peaks[part] / 1e9 for part in PARTS}


def weights(precision: str) -> dict[str, float]:
    """GB of each part's weights."""
    with card():
        with torch.device("cuda"):
            model = OSDFaceModel(ModelConfig())
        prepare(model, Precision.parse(precision, "cuda"), device="cuda")
        parts = {"vre": [model.vre], **networks(model)}
        return {part: sum(w.nbytes for n in parts[part] for w in n.parameters()) / 1e9 for part in PARTS}


def face(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """GB of a face computed in float32, by what the largest batches hold: half precision counts twice there."""
    single, half = table["fp32, 4 at once"], table["fp16, 8 at once"]
    return {part: max(single[part] / 4, half[part] / 8 * (1 if part == "vre" else 2)) for part in PARTS}


def main() -> None:
    table = {f"{precision}, {faces} at once": held(precision, faces) for precision, faces in CASES}
    stored = {f"weights, {precision}": weights(precision) for precision in ("fp32", "fp16")}
    columns = {**table, **stored}
    rows = [f"| GB | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows += [f"| {part} | {' | '.join(f'{found[part]:.3f}' for found in columns.values())} |" for part in PARTS]
    striped = held("fp16", 1, LARGE)
    convolution.LARGE = LARGE**2  # one image as a whole, beside the same in stripes
    whole = held("fp16", 1, LARGE)
    rows += ["", f"| fp16, one image of {LARGE}x{LARGE} | whole | in stripes |", "|---|---|---|"]
    rows += [f"| {part} | {whole[part]:.2f} | {striped[part]:.2f} |" for part in ("encode", "decode")]
    rows += ["", "HELD = {" + ", ".join(f'"{part}": {size:.2f}e9' for part, size in face(table).items()) + "}"]
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
