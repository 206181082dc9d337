"""Choose which faces to restore."""

from comfy_api.latest import io

from ..osdface_core import Faces
from ..osdface_core.select import RULES, select_by_index, select_by_rule
from . import sockets

BY_NUMBER = "these numbers"


class OSDFaceSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceSelect",
            display_name="Select Faces",
            category=sockets.CATEGORY,
            description="Keeps some faces of every image; the rest comes out of the second socket.",
            search_aliases=["choose face", "face index", "pick face", "largest face", "filter faces"],
            inputs=[
                sockets.Faces.Input("faces", tooltip="Connect Detect Faces."),
                io.Combo.Input(
                    "rule",
                    options=[*RULES, BY_NUMBER],
                    default="largest",
                    tooltip="Which faces come first. Choose 'these numbers' to name them yourself.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=0,
                    max=1000,
                    tooltip="How many faces of every image to keep. 0 keeps none. Not used with numbers.",
                ),
                io.String.Input(
                    "numbers",
                    default="0",
                    tooltip="For 'these numbers': those in the preview of Detect Faces, like 0, 2 or 1-3.",
                ),
            ],
            outputs=[sockets.Faces.Output(display_name="kept"), sockets.Faces.Output("rest", display_name="rest")],
        )

    @classmethod
    def execute(cls, faces: Faces, rule: str, count: int, numbers: str) -> io.NodeOutput:
        chosen = select_by_index(faces, numbers) if rule == BY_NUMBER else select_by_rule(faces, rule, count)
        return io.NodeOutput(*chosen)
