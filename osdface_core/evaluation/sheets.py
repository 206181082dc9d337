"""Pictures of an evaluation: a row for the input, every method and the original, a column for every photo."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..devices import upload
from ..files.photos import read_photo
from ..models.attention_map import attention_maps, attention_picture
from ..models.diffusion import OneStepModel
from .evaluate import Task, result_file, write_fast
from .tables import INPUT, Evaluation

TELLING = "dlib ↓", "Lite2 features ↓", "PSNR ↑", "random features ↓"
"""The figures by which photos are called best and worst: the first of them that was measured."""


def write_sheet(path: Path, task: Task, output: Path, group: str, photos: Sequence[str]) -> None:
    """A PNG of these photos, its rows labelled."""
    rows = {
        method: [read_photo(result_file(output, method, group, photo)).pixels[0] for photo in photos]
        for method in task.results
    }
    originals = [task.photos.read(task.photos.names.index(photo), task.size).target for photo in photos]
    there = [original for original in originals if original is not None]
    if there:
        rows["original"] = there
    strips = [labelled(torch.cat(images, dim=2), name) for name, images in rows.items()]
    write_fast(path, torch.cat(strips, dim=1))


def labelled(strip: Tensor, label: str) -> Tensor:
    """A row of pictures [3,H,W], 0..1, with its name in a corner."""
    picture = Image.fromarray((strip.permute(1, 2, 0) * 255).round().byte().numpy())
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(max(12, strip.shape[1] // 16))
    box = draw.textbbox((4, 2), label, font=font)
    draw.rectangle((0, 0, box[2] + 4, box[3] + 4), fill=(0, 0, 0))
    draw.text((4, 2), label, fill=(255, 255, 255), font=font)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def ranked(evaluation: Evaluation, group: str, method: str) -> tuple[list[str], str]:
    """The photos, those first that a method made most of, and the figure that says so."""
    names = [row["photo"] for row in evaluation.rows if (row["group"], row["method"]) == (group, method)]
    figure = next((name for name in TELLING if name in evaluation.names), evaluation.names[0])
    gain = evaluation.values(group, method, figure) - evaluation.values(group, INPUT, figure)
    gain = -gain if figure.endswith("↓") else gain
    order = np.argsort(-np.nan_to_num(gain, nan=-np.inf), kind="stable")
    return [names[number] for number in order], figure


@torch.no_grad()
def write_attention(task: Task, model: OneStepModel, output: Path, count: int = 4) -> None:
    """attention.png: where the UNet attends to a prompt's tokens in the first photos, side by side."""
    group = task.photos.groups[0]
    inputs = [
        task.photos.read(number, model.config.crop_size).inputs[group] for number in range(len(task.photos))[:count]
    ]
    images = upload(torch.stack(inputs), model.device)
    maps = attention_maps(model.one_step, model.unet, images, model.context(images))
    write_fast(output / "attention.png", torch.cat(list(attention_picture(images.cpu(), maps)), dim=2))
