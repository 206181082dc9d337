"""Choose which faces to restore."""

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, Faces, align_faces
from ..osdface_core.options import Choose, Detect
from ..osdface_core.recognition.identity import identity_similarity
from ..osdface_core.selection.select import (
    rest_of,
    select_blurred,
    select_by_index,
    select_by_limits,
    select_by_rule,
    select_person,
)
from ..osdface_core.selection.sharpness import sharpness
from . import sockets
from .runtime import Resident, intermediate
from .widgets import BY_NUMBER, PersonWidgets, SelectWidgets, widget, widgets


class OSDFaceSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSelect",
            display_name="Select Faces",
            category=sockets.STAGES,
            description="Keeps some faces of every image; the rest comes out of the second socket.",
            search_aliases=["choose face", "face index", "pick face", "largest face", "filter faces"],
            inputs=[
                sockets.Faces.Input("faces", tooltip="Connect Detect Faces."),
                *widgets(SelectWidgets, "rule", "count", "numbers"),
                *widgets(Detect, "min_size", "max_size", optional=True),
                widget(SelectWidgets, "min_score", optional=True),
            ],
            outputs=[sockets.Faces.Output(display_name="kept"), sockets.Faces.Output("rest", display_name="rest")],
        )

    @classmethod
    def execute(
        cls,
        faces: Faces,
        rule: str,
        count: int,
        numbers: str,
        **limits: Any,
    ) -> io.NodeOutput:
        """limits: the lowest score, and the sizes, by the names of the options."""
        within, _ = select_by_limits(faces, **limits)
        kept, _ = select_by_index(within, numbers) if rule == BY_NUMBER else select_by_rule(within, rule, count)
        return io.NodeOutput(kept, rest_of(faces, kept))


class OSDFaceSelectPerson(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSelectPerson",
            display_name="Select Faces of a Person",
            category=sockets.STAGES,
            description="Keeps the faces of one person, whom a reference picture shows; the rest comes out second.",
            search_aliases=["reference face", "same person", "face similarity", "find person", "filter faces"],
            inputs=[
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                io.Image.Input(
                    "reference",
                    tooltip="A picture of the person; of several people in it, the one with the largest face. A batch "
                    "of pictures makes it surer.",
                ),
                sockets.Detector.Input("detector", tooltip="Connect Load Face Detector, to find the reference's face."),
                sockets.Embedder.Input("embedder", tooltip="Connect Load Face Embedder."),
                widget(Choose, "likeness", "min_identity"),
                widget(PersonWidgets, "count"),
            ],
            outputs=[
                sockets.Crops.Output("kept", display_name="kept"),
                sockets.Crops.Output("rest", display_name="rest"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        crops: FaceCrops,
        reference: Tensor,
        detector: Resident,
        embedder: Resident,
        min_identity: float,
        count: int,
    ) -> io.NodeOutput:
        pixels = intermediate(sockets.from_image(reference))
        person, _ = select_by_rule(detector.use().detect(pixels), "largest")
        similarity = identity_similarity(embedder.use(), crops, align_faces(pixels, person, crops.size))
        return io.NodeOutput(
            *select_person(crops, similarity, min_identity, count), sockets.to_lines(crops, similarity)
        )


class OSDFaceSkipSharp(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSkipSharp",
            display_name="Skip Sharp Faces",
            category=sockets.STAGES,
            description="Keeps the faces that are blurred, and puts aside those that are sharp already.",
            search_aliases=["sharpness", "blur detection", "already sharp", "skip face", "filter faces"],
            inputs=[
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                widget(Choose, "skip_sharp", "limit"),
            ],
            outputs=[
                sockets.Crops.Output("kept", display_name="kept"),
                sockets.Crops.Output("rest", display_name="rest"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(cls, crops: FaceCrops, limit: float) -> io.NodeOutput:
        values = sharpness(crops)
        return io.NodeOutput(*select_blurred(crops, values, limit), sockets.to_lines(crops, values))
