"""Non-maximum suppression of whole batches is torchvision's of every row."""

import pytest
import torch
from torchvision.ops import nms

from osdface_core.detection.nms import suppress


def some_boxes(rows: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    corner, sides = (torch.rand(rows, count, 2, generator=generator) * 100 for _ in range(2))
    return torch.cat([corner, corner + sides], -1)


@pytest.mark.parametrize("overlap", [0.1, 0.4, 0.9])
def test_every_row_is_as_torchvision_has_it(overlap):
    boxes = some_boxes(3, 300)
    candidates = torch.arange(300) < torch.tensor([[300], [100], [0]])
    kept = suppress(boxes, candidates, overlap)
    scores = torch.linspace(1, 0, 300)
    for own, allowed, keep in zip(boxes, candidates, kept, strict=True):
        assert keep.nonzero()[:, 0].tolist() == nms(own[allowed], scores[allowed], overlap).tolist()


def test_the_best_are_kept_of_too_many():
    boxes, candidates = some_boxes(2, 300), torch.ones(2, 300, dtype=torch.bool)
    kept = suppress(boxes, candidates, 0.4)
    fewer = suppress(boxes, candidates, 0.4, most=5)
    for all_of_them, best in zip(kept, fewer, strict=True):
        assert best.nonzero().tolist() == all_of_them.nonzero()[:5].tolist()


def test_of_one_box_in_another_the_smaller_can_be_what_counts():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [2, 2, 4, 4], [9, 9, 20, 20]]])
    candidates = torch.ones(1, 3, dtype=torch.bool)
    assert suppress(boxes, candidates, 0.5).tolist() == [[True, True, True]]
    assert suppress(boxes, candidates, 0.5, of_smaller=True).tolist() == [[True, False, True]]


def test_no_boxes_and_boxes_without_an_extent_are_no_trouble():
    assert suppress(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.bool), 0.4).shape == (2, 0)
    same = torch.ones(1, 3, 4)
    assert suppress(same, torch.ones(1, 3, dtype=torch.bool), 0.4).all()
