"""Everything in one node."""

import json
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, Faces
from ..osdface_core.detection.load import STARTER as STARTER_DETECTOR
from ..osdface_core.detection.load import load_detector
from ..osdface_core.faces import so_many
from ..osdface_core.models.restorer import Restorer
from ..osdface_core.options import SHARP, PhotoOptions
from ..osdface_core.pipeline import restore_stages
from ..osdface_core.selection.select import select_blurred, select_faces
from ..osdface_core.selection.sharpness import sharpness
from . import sockets
from .folders import NO_BASE, STARTER
from .runtime import PARSING, Resident, intermediate, progress, shared_network, shared_weights
from .widgets import ALL, LeaveWidgets, LoadWidgets, PhotoWidgets, left, widget, widgets

ALREADY_SHARP = "{} looked sharp already: with skip_sharp such faces stay as they are"


class OSDFaceRestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceRestoreFaces",
            display_name="Face Restore (OSDFace)",
            category=sockets.CATEGORY,
            description="Finds the faces in photos or video frames, restores each in one step and pastes them back. "
            "Images without a face come back as they were.",
            search_aliases=[
                "face",
                "osdface",
                "restore face",
                "face restoration",
                "fix face",
                "old photo",
                "enhance face",
                "face enhance",
                "upscale face",
                "blurry face",
                "deblur",
                "beautify",
                "facedetailer",
                "reactor",
                "codeformer",
                "gfpgan",
                "人脸修复",
                "面部修复",
                "老照片",
                "人臉修復",
                "老照片修復",
                "修復",
                "顔 修復",
                "顔復元",
                "顔補正",
                "古い写真",
            ],
            inputs=[
                io.Image.Input("image", tooltip="The photo, or the frames of a video."),
                *widgets(PhotoWidgets, "faces", "strength"),
                widget(PhotoWidgets, "threshold", advanced=True),
                widget(PhotoWidgets, "batch_size"),
                sockets.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Connect Load OSDFace Model, OSDFace Model from SD 2.1 or Load Face Restorer. Without one "
                    "the small starter weights restore, which come with the pack.",
                ),
                sockets.Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="Connect Load Face Detector to find faces with another than the one that comes with the "
                    "pack.",
                ),
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
                sockets.Faces.Input(
                    "detected",
                    optional=True,
                    tooltip="Connect Detect Faces, Select Faces or Track Faces to restore their faces: none are looked "
                    "for then.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Restores only where it is white. Leave it open to restore whole faces.",
                ),
                *widgets(PhotoWidgets, "numbers", "upscale", "min_size", optional=True),
                widget(PhotoWidgets, "feather", optional=True, advanced=True),
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
        faces: str,
        model: Restorer | None = None,
        detector: Resident | None = None,
        background: Tensor | None = None,
        embedder: Resident | None = None,
        skip_sharp: bool = False,
        parser: Resident | None = None,
        hair: bool = True,
        glasses: bool = True,
        detected: Faces | None = None,
        mask: Tensor | None = None,
        numbers: str = "",
        **options: Any,
    ) -> io.NodeOutput:
        """options: the widgets that are options of the core, by their names."""
        notices = []
        if model is None:
            model = shared_weights(STARTER, NO_BASE, LoadWidgets.precision)
            notices.append(model.notice)
        if detector is None and detected is None:
            detector = shared_network(STARTER_DETECTOR, load_detector)
        choice = numbers.strip() or faces
        target = image if background is None else background
        pixels, canvas = intermediate(sockets.from_image(image)), intermediate(sockets.from_image(target))

        def blurred(crops: FaceCrops) -> FaceCrops:
            return select_blurred(crops, sharpness(crops))[0]

        result, before, after = restore_stages(
            pixels,
            model,
            PhotoOptions(leave=left(hair, glasses), **options),
            detector,
            faces=detected,
            select=None if choice == ALL else lambda found: select_faces(found, choice)[0],
            choose=blurred if skip_sharp else None,
            background=None if background is None else canvas,
            mask=None if mask is None else sockets.from_mask(mask, *mask.shape[-2:]),
            embedder=embedder,
            parser=parser,
            ready=lambda network, count: network.use(PARSING * count),
            on_batch=progress(),
        )
        if sharp := sum(value >= SHARP for value in sharpness(before)):  # none with skip_sharp
            notices.append(ALREADY_SHARP.format(so_many(sharp)))
        return io.NodeOutput(
            sockets.with_pixels(target, canvas, result.image),
            result.mask,
            sockets.crops_to_image(before.images),
            sockets.crops_to_image(after.images),
            json.dumps(result.report_json(), indent=1),
            ui=sockets.said(result, *notices),
        )
