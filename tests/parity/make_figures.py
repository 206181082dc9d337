"""Write `figures.safetensors` from the whole recordings:  python make_figures.py RECORDINGS"""

import sys
from pathlib import Path

from parity.harness import CASES, HERE, STRIDE, read_png
from safetensors.torch import load_file, save_file

recordings = Path(sys.argv[1])
figures = {}
for name in CASES:
    recorded = load_file(recordings / f"tiny_{name}.safetensors")
    recorded["png"] = read_png(recordings / f"tiny_{name}.png")
    for key, tensor in recorded.items():
        step = 1 if key == "vre_indices" else STRIDE
        figures[f"{name}.{key}"] = tensor.flatten()[::step].clone()
save_file(figures, HERE / "figures.safetensors")
