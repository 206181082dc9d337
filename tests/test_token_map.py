"""The picture of what the VRE saw."""

import torch
from conftest import face_at

from osdface_core import FaceCrops, Faces, Prompts
from osdface_core.models.token_map import token_map


def test_cells_that_gave_tokens_are_tinted_from_green_to_red_and_others_dimmed():
    crops = FaceCrops(torch.ones(1, 3, 32, 32), Faces((face_at(9, 9, 9),), 1, 20, 20), torch.zeros(1, 2, 3))
    positions = torch.tensor([[5, 0, -1]])
    prompts = Prompts(torch.zeros(1, 3, 4), positions, positions)
    picture = token_map(crops, prompts, cells=4)
    assert picture.shape == (1, 3, 32, 32)
    best, second, unused = picture[0, :, 12, 12], picture[0, :, 2, 2], picture[0, :, 30, 30]
    assert torch.allclose(best, torch.tensor([0.65, 1, 0.65]))
    assert second[0] > best[0]
    assert second[1] < best[1]
    assert torch.allclose(unused, torch.full((3,), 0.35))
