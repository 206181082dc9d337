"""What every part of OSDFace holds on a device while it works: the largest sum of living tensors, weights apart.

    python benchmarks/memory.py

Runs the operations that a GPU gets on tensors without data, so it needs neither a GPU nor weights and takes seconds.
What a library takes besides while it computes, such as cuDNN's workspace, is not in it. The figures in
osdface_core/memory.py come from here.
"""

import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from osdface_core.fast import Precision, blocks, networks, prepare  # noqa: E402

from osdface_core.model import ModelConfig, OSDFaceModel  # noqa: E402

LARGE = 2048
"""Sides of an image that is restored as it is, by the authors' way with one that is not square."""


class Living(TorchDispatchMode):
    """The bytes of all tensors made within that are alive, and the most that they were."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {weight.untyped_storage()._cdata for weight in weights}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self.see, made)
        return made

    def see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peaks(precision: str, faces: int, size: int = 512) -> dict[str, float]:
    """GB that each part holds for so many faces of `size` pixels at once, in `precision`."""
    with FakeTensorMode(), torch.no_grad():
        model = prepare(OSDFaceModel(ModelConfig()), Precision.parse(precision))
        images, latents = torch.empty(faces, 3, size, size), torch.empty(faces, 4, size // 8, size // 8)
        embeds = model.vre(images).embeds
        model.predict_noise(latents, 399, embeds)  # folds the timestep
        works = {
            "vre": lambda: model.vre(images),
            "encode": lambda: model.encode(images, None),
            "unet": lambda: model.predict_noise(latents, 399, embeds),
            "decode": lambda: model.decode(latents),
        }
        found = {}
        for part, work in works.items():
            with Living(model.parameters()) as living:
                work()
            found[part] = living.peak / 1e9
        parts = {"vre": [model.vre], **networks(model)}
        weights = {p: sum(w.nbytes for n in parts[p] for w in n.parameters()) / 1e9 for p in works}
        found["weights, whole"], found["weights, largest part"] = sum(weights.values()), max(weights.values())
    return found


def main() -> None:
    blocks.on_cpu = lambda _: False
    # a prepared CPU model takes faces singly, a GPU does not
    sys.modules["osdface_core.fast.prepare"].singly = lambda work, faces: work(faces)
    torch.cpu.get_capabilities = lambda: {"avx512_bf16": True, "amx_fp16": True}
    table = {(p, n): peaks(p, n) for p in ("fp32", "fp16") for n in (1, 4)}
    rows = [f"| GB | {' | '.join(f'{p}, {n} at once' for p, n in table)} |", "|---" * (len(table) + 1) + "|"]
    for part in next(iter(table.values())):
        rows.append(f"| {part} | {' | '.join(f'{found[part]:.2f}' for found in table.values())} |")
    striped = peaks("fp16", 1, LARGE)
    blocks.LARGE = LARGE**2  # one image as a whole, beside the same in stripes
    whole = peaks("fp16", 1, LARGE)
    rows += ["", f"| fp16, one image of {LARGE}x{LARGE} | whole | in stripes |", "|---|---|---|"]
    rows += [f"| {part} | {whole[part]:.2f} | {striped[part]:.2f} |" for part in ("encode", "decode")]
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
