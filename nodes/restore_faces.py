"""Everything in one node."""

import json
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops
from ..osdface_core.models.restorer import Restorer
from ..osdface_core.options import PhotoOptions
from ..osdface_core.pipeline import restore_stages
from ..osdface_core.selection.select import select_blurred, select_by_rule
from ..osdface_core.selection.sharpness import sharpness
from . import sockets
from .runtime import PARSING, Resident, intermediate, progress
from .widgets import ALL, LeaveWidgets, PhotoWidgets, left, widget, widgets


class OSDFaceRestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceRestoreFaces",
            display_name="Restore Faces (OSDFace)",
            category=sockets.CATEGORY,
            description="Finds the faces in photos or video frames, restores each in one step and pastes them back. "
            "Images without a face come back as they were.",
            search_aliases=[
                "restore face",
                "face restoration",
                "fix face",
                "old photo",
                "enhance face",
                "codeformer",
                "gfpgan",
            ],
            inputs=[
                io.Image.Input("image", tooltip="The photo, or the frames of a video."),
                sockets.Model.Input("model", tooltip=sockets.ANY_MODEL),
                sockets.Detector.Input("detector", tooltip="Connect Load Face Detector."),
                *widgets(PhotoWidgets, "faces", "strength"),
                widget(PhotoWidgets, "threshold", advanced=True),
                widget(PhotoWidgets, "batch_size"),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The same image upscaled by any node: the faces are pasted into it instead.",
                ),
                sockets.Embedder.Input(
                    "embedder",
                    optional=True,
                    tooltip="Connect Load Face Embedder to have the report say how alike every face is.",
                ),
                *widgets(PhotoWidgets, "min_identity", "any_rotation", "color", "skip_sharp", "shape", optional=True),
                sockets.Parser.Input(
                    "parser",
                    optional=True,
                    tooltip="Connect Load Face Parser to leave hands, hats and whatever else covers a face as it is.",
                ),
                *widgets(LeaveWidgets, "hair", "glasses", optional=True, advanced=True),
                widget(PhotoWidgets, "fidelity", optional=True),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask"),
                io.Image.Output("before", display_name="faces before"),
                io.Image.Output("after", display_name="faces after"),
                io.String.Output(display_name="report"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        model: Restorer,
        detector: Resident,
        faces: str,
        background: Tensor | None = None,
        embedder: Resident | None = None,
        skip_sharp: bool = False,
        parser: Resident | None = None,
        hair: bool = True,
        glasses: bool = True,
        **options: Any,
    ) -> io.NodeOutput:
        """options: the widgets that are options of the core, by their names."""
        target = image if background is None else background
        pixels, canvas = intermediate(sockets.from_image(image)), intermediate(sockets.from_image(target))

        def blurred(crops: FaceCrops) -> FaceCrops:
            return select_blurred(crops, sharpness(crops))[0]

        result, before, after = restore_stages(
            pixels,
            model,
            PhotoOptions(leave=left(hair, glasses), **options),
            detector,
            select=None if faces == ALL else lambda found: select_by_rule(found, faces)[0],
            choose=blurred if skip_sharp else None,
            background=canvas,
            embedder=embedder,
            parser=parser,
            ready=lambda network, count: network.use(PARSING * count),
            on_batch=progress(),
        )
        return io.NodeOutput(
            sockets.with_pixels(target, canvas, result.image),
            result.mask,
            sockets.crops_to_image(before.images),
            sockets.crops_to_image(after.images),
            json.dumps(result.report_json(), indent=1),
            ui=sockets.said(result),
        )
