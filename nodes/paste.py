"""Paste restored faces back."""

import json
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, paste_faces
from ..osdface_core.options import Paste
from . import sockets
from .runtime import intermediate
from .widgets import widget, widgets


class OSDFacePaste(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFacePaste",
            display_name="Paste Faces",
            category=sockets.STAGES,
            description="Pastes face crops back where they came from, also into an upscaled image. What no face covers "
            "stays exactly as it was.",
            search_aliases=["paste face", "uncrop", "composite faces", "stitch"],
            inputs=[
                io.Image.Input("image", tooltip="The image the faces came from, as it was or upscaled by any node."),
                sockets.Crops.Input("crops", tooltip="Connect Restore Crops or Set Face Crops."),
                *widgets(Paste, "strength", "feather"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Restores only where it is white. Leave it open to restore whole faces.",
                ),
                widget(Paste, "shape", optional=True, advanced=False),
                io.Mask.Input(
                    "face_masks",
                    optional=True,
                    tooltip="Connect Mask Faces, or any masks drawn on the crops, one for every face: only what is "
                    "white in them is pasted.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask"),
                io.String.Output(display_name="report"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        crops: FaceCrops,
        mask: Tensor | None = None,
        face_masks: Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        """options: how to paste, by the names of the core's."""
        pixels = intermediate(sockets.from_image(image))
        region = None if mask is None else sockets.from_mask(mask, *pixels.shape[2:])
        own = None if face_masks is None or not len(crops) else sockets.from_mask(face_masks, *face_masks.shape[-2:])
        result = paste_faces(pixels, crops, mask=region, crop_masks=own, **options)
        report = json.dumps(result.report_json(), indent=1)
        return io.NodeOutput(
            sockets.with_pixels(image, pixels, result.image), result.mask, report, ui=sockets.said(result)
        )
