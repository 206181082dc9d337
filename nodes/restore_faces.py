"""Everything in one node."""

import json
from typing import get_args

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import align_faces, encode_prompts, paste_faces, restore_crops
from ..osdface_core.compositing.color import Method, match_color
from ..osdface_core.compositing.masks import Shape
from ..osdface_core.compositing.parsing import parse_masks
from ..osdface_core.recognition.identity import check_identity
from ..osdface_core.selection.select import RULES, select_blurred, select_by_rule
from ..osdface_core.selection.sharpness import sharpness
from . import sockets
from .runtime import PARSING, Resident, Weights, intermediate, progress

ALL = "all"


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
                sockets.Model.Input("model", tooltip="Connect Load OSDFace Model or OSDFace Model from SD 2.1."),
                sockets.Detector.Input("detector", tooltip="Connect Load Face Detector."),
                io.Combo.Input(
                    "faces",
                    options=[ALL, *RULES],
                    default=ALL,
                    tooltip="All faces, or one of every image. For other choices use Detect and Select Faces.",
                ),
                sockets.strength_input(),
                sockets.threshold_input(advanced=True),
                sockets.batch_size_input(),
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
                sockets.min_identity_input(advanced=True, optional=True),
                sockets.any_rotation_input(),
                io.Combo.Input(
                    "color",
                    optional=True,
                    options=list(get_args(Method)),
                    default="none",
                    tooltip="wavelet gives the faces the photo's colours; adain shifts them as a whole, for stained "
                    "photos. none leaves OSDFace's own.",
                ),
                io.Boolean.Input(
                    "skip_sharp",
                    optional=True,
                    default=False,
                    advanced=True,
                    tooltip="Turn it on to leave faces alone that are sharp already.",
                ),
                io.Combo.Input(
                    "shape",
                    optional=True,
                    options=list(get_args(Shape)),
                    default="square",
                    advanced=True,
                    tooltip="ellipse pastes the head alone and leaves more of the photo around it; square the whole "
                    "crop.",
                ),
                sockets.Parser.Input(
                    "parser",
                    optional=True,
                    tooltip="Connect Load Face Parser to leave hands, hats and whatever else covers a face as it is.",
                ),
                sockets.hair_input(optional=True, advanced=True),
                sockets.glasses_input(optional=True, advanced=True),
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
        model: Weights,
        detector: Resident,
        faces: str,
        strength: float,
        threshold: float,
        batch_size: int,
        background: Tensor | None = None,
        embedder: Resident | None = None,
        min_identity: float = 0.0,
        any_rotation: bool = False,
        color: Method = "none",
        skip_sharp: bool = False,
        shape: Shape = "square",
        parser: Resident | None = None,
        hair: bool = True,
        glasses: bool = True,
    ) -> io.NodeOutput:
        target = image if background is None else background
        pixels, canvas = intermediate(sockets.from_image(image)), intermediate(sockets.from_image(target))
        found = detector.use().detect(pixels, threshold=threshold, any_rotation=any_rotation)
        kept = found if faces == ALL else select_by_rule(found, faces)[0]
        before = align_faces(pixels, kept, model.crop_size)
        if skip_sharp:
            before, _ = select_blurred(before, sharpness(before))
        after, count = before, model.at_once(min(batch_size, len(before)))
        if len(before) and strength > 0:
            on_batch = progress(len(before))
            prompts = encode_prompts(model.vre(count), before, batch_size=count)
            after = restore_crops(model.one_step(count), before, prompts, batch_size=count, on_batch=on_batch)
            after = match_color(after, before, color)
        checked = after if after is before else check_identity(embedder and embedder.use(), before, after, min_identity)
        masks = None
        if len(checked):
            network, leave = parser and parser.use(PARSING * count), sockets.left(hair, glasses)
            masks = parse_masks(network, checked, leave=leave, batch_size=count)
        result = paste_faces(canvas, checked, strength=strength, shape=shape, crop_masks=masks)
        return io.NodeOutput(
            sockets.with_pixels(target, canvas, result.image),
            result.mask,
            sockets.crops_to_image(before.images),
            sockets.crops_to_image(after.images),
            json.dumps(result.report_json(), indent=1),
            ui=sockets.said(result),
        )
