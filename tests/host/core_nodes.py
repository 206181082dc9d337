"""ComfyUI's own nodes that our workflows use, as far as they need them."""

import os
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .fakes import FolderPaths, Schema, custom

Images, Masks, Text, Number = custom("IMAGE"), custom("MASK"), custom("STRING"), custom("FLOAT")


FLIPS = ["x-axis: vertically", "y-axis: horizontally"]


def image_files(folders: FolderPaths) -> list[str]:
    return sorted(os.listdir(os.path.join(folders.base, "input")))


def make(folders: FolderPaths) -> dict[str, tuple[Schema, Any]]:
    """Schema and function of every node, by id."""

    def load_image(image: str) -> tuple[Any, ...]:
        picture = Image.open(os.path.join(folders.base, "input", image))
        values = torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255
        mask = torch.zeros(1, 64, 64)
        if "A" in picture.getbands():
            mask = 1 - torch.from_numpy(np.array(picture.getchannel("A"))).float()[None] / 255
        return values, mask

    def save(images: torch.Tensor, prefix: str, kind: str) -> dict[str, Any]:
        written = []
        assert images[0] is not None  # like the real node, fails where there is no image
        for image in images:
            number = len(os.listdir(os.path.join(folders.base, kind))) + 1
            name = f"{prefix}_{number:05}_.png"
            levels = (image * 255).clamp(0, 255).to(torch.uint8).numpy()
            Image.fromarray(levels).save(os.path.join(folders.base, kind, name))
            written.append({"filename": name, "subfolder": "", "type": kind})
        return {"images": written}

    def scale_by(image: torch.Tensor, upscale_method: str, scale_by: float) -> tuple[Any, ...]:
        scaled = F.interpolate(image.movedim(-1, 1), scale_factor=scale_by, mode="bicubic").movedim(1, -1)
        return (scaled.clamp(0, 1),)

    combo = custom("COMBO")
    return {
        "LoadImage": (
            Schema(
                "LoadImage",
                [combo.Input("image", options=image_files(folders), image_upload=True)],
                [Images.Output(), Masks.Output()],
                display_name="Load Image",
                category="image",
            ),
            load_image,
        ),
        "SaveImage": (
            Schema(
                "SaveImage",
                [Images.Input("images"), Text.Input("filename_prefix", default="ComfyUI")],
                display_name="Save Image",
                category="image",
                is_output_node=True,
            ),
            lambda images, filename_prefix: save(images, filename_prefix, "output"),
        ),
        "PreviewImage": (
            Schema(
                "PreviewImage",
                [Images.Input("images")],
                display_name="Preview Image",
                category="image",
                is_output_node=True,
            ),
            lambda images: save(images, "preview", "temp"),
        ),
        "PreviewAny": (
            Schema(
                "PreviewAny",
                [custom("*").Input("source")],
                [Text.Output()],
                display_name="Preview as Text",
                category="utilities",
                is_output_node=True,
            ),
            lambda source: {"text": [str(source)]},
        ),
        "ImageScaleBy": (
            Schema(
                "ImageScaleBy",
                [
                    Images.Input("image"),
                    combo.Input("upscale_method", options=["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
                    Number.Input("scale_by", default=1.0, min=0.01, max=8.0, step=0.01),
                ],
                [Images.Output()],
                display_name="Upscale Image By",
                category="image/upscaling",
            ),
            scale_by,
        ),
        "ImageBatch": (
            Schema(
                "ImageBatch",
                [Images.Input("image1"), Images.Input("image2")],
                [Images.Output()],
                display_name="Batch Images",
                category="image",
            ),
            lambda image1, image2: (torch.cat([image1, image2]),),
        ),
        "ImageFlip": (
            Schema(
                "ImageFlip",
                [
                    Images.Input("image"),
                    combo.Input("flip_method", options=FLIPS),
                ],
                [Images.Output()],
                display_name="Flip Image",
                category="image/transform",
            ),
            lambda image, flip_method: (image.flip(1 if flip_method == FLIPS[0] else 2),),
        ),
    }
