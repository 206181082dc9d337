"""A picture of what the VRE saw: where in each face its tokens came from."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces import FaceCrops
from .vre import Prompts


def token_map(crops: FaceCrops, prompts: Prompts, cells: int = 16) -> Tensor:
    """The crops [N,3,S,S], 0..1, with the cells that gave a token tinted: the best match green, the last one red.

    Cells whose dictionary entry was taken from elsewhere are dimmed. cells: how many the VRE's grid has on a side.
    """
    count, tokens = prompts.positions.shape
    rank = torch.linspace(0, 1, tokens, device=crops.images.device)
    tint = torch.stack([rank, 1 - rank, torch.zeros_like(rank)], dim=1).expand(count, -1, -1)
    position = prompts.positions.to(tint.device)
    padding = cells * cells
    grid = torch.zeros(count, padding + 1, 4, device=tint.device)
    layer = torch.cat([tint, torch.ones_like(tint[..., :1])], dim=-1)
    grid.scatter_(1, position.where(position >= 0, padding)[..., None].expand(-1, -1, 4), layer)
    grid = grid[:, :padding].transpose(1, 2).reshape(count, 4, cells, cells)
    grid = F.interpolate(grid, crops.images.shape[2:], mode="nearest")
    colour, used = grid[:, :3], grid[:, 3:]
    return torch.where(used > 0, 0.65 * crops.images + 0.35 * colour, 0.35 * crops.images)
