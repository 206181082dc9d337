"""Non-maximum suppression: of boxes that overlap the best ones."""

import torch
from torch import Tensor


def suppress(
    boxes: Tensor, candidates: Tensor, overlap: float, *, most: int = 10**9, of_smaller: bool = False
) -> Tensor:
    """Which of the candidates are kept [N,K]: the best, then again the best of those that do not overlap it, and so on.

    boxes: [N,K,4] left, top, right, bottom; those of every row by themselves, best first.
    candidates: [N,K], the boxes that are looked at.
    overlap: what two boxes may share that are both kept: intersection over union, or over the smaller of them.
    most: how many to keep of a row.
    """
    waiting, kept = candidates.clone(), torch.zeros_like(candidates)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    rows = torch.arange(len(boxes), device=boxes.device)
    for _ in range(min(most, boxes.shape[1])):
        best = waiting.byte().argmax(1)  # the first that waits
        there = waiting[rows, best]
        if not there.any():
            break
        kept[rows, best] |= there
        waiting[rows, best] = False
        box, area = boxes[rows, best][:, None], areas[rows, best][:, None]
        sides = torch.minimum(boxes[..., 2:], box[..., 2:]) - torch.maximum(boxes[..., :2], box[..., :2])
        shared = sides.clamp(min=0).prod(-1)
        whole = torch.minimum(areas, area) if of_smaller else areas + area - shared
        waiting &= ~((shared > overlap * whole) & there[:, None])
    return kept
