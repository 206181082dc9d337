"""Make a CUDA-built torchvision importable beside a CPU build of PyTorch.

torchvision's wheels carry C++ operators linked against CUDA. Where those cannot load, `import torchvision` stops at
the first operator it tries to describe. `run.py` puts this module and a one-line `.pth` file into the
environment it creates, and only there, so that the import hook below runs at interpreter start: it declares the missing
operators before torchvision is imported and supplies the one that facexlib calls (non-maximum suppression). Where the
C++ operators do load, it does nothing.
"""

import importlib.machinery
import sys
from pathlib import Path


def nms(boxes, scores, iou_threshold):
    """Greedy non-maximum suppression: boxes [N,4] xyxy, scores [N] -> indices kept, best score first."""
    import torch

    order = torch.sort(scores, descending=True, stable=True).indices
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        corner_min = torch.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        corner_max = torch.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        overlap = (corner_max - corner_min).clamp(min=0).prod(1)
        alive[i + 1 :] &= overlap / (area[i] + area[i + 1 :] - overlap) <= iou_threshold
    return order[torch.tensor(kept, dtype=torch.long)]


class TorchvisionFinder:
    """Meta path finder that hands torchvision out with a loader that declares what is missing."""

    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            wrap(spec.loader, Path(spec.origin).parent)
        return spec


def wrap(loader, folder):
    execute = loader.exec_module

    def exec_module(module):
        missing = not operators_load(folder)
        if missing:
            module.declared_operators = declare_operators()
        execute(module)
        if missing:
            import torchvision.extension

            torchvision.extension._has_ops = lambda: True

    loader.exec_module = exec_module


def operators_load(folder):
    import torch

    for library in folder.glob("_C*"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return True


def declare_operators():
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    return library


sys.meta_path.insert(0, TorchvisionFinder())
