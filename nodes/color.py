"""Give restored faces the photo's colours."""

from comfy_api.latest import io

from ..osdface_core import FaceCrops
from ..osdface_core.compositing.color import match_color
from ..osdface_core.options import Color, MatchColor
from . import sockets
from .widgets import widgets


class OSDFaceMatchColor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceMatchColor",
            display_name="Match Face Colors",
            category=sockets.STAGES,
            description="Gives restored face crops the colours of the photo they came from.",
            search_aliases=["color match", "color fix", "color transfer", "wavelet", "adain", "skin tone"],
            inputs=[
                sockets.Crops.Input("restored", tooltip="Connect Restore Crops or Set Face Crops."),
                sockets.Crops.Input("source", tooltip="Connect Crop Faces: the same faces before restoration."),
                *widgets(MatchColor, "method", "strength"),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Image.Output(display_name="images"),
            ],
        )

    @classmethod
    def execute(cls, restored: FaceCrops, source: FaceCrops, method: Color, strength: float) -> io.NodeOutput:
        matched = match_color(restored, source, method, strength)
        return io.NodeOutput(matched, sockets.crops_to_image(matched.images))
