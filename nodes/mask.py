"""Where the face is in a crop: parsed into skin, hair, glasses and what covers them."""

from comfy_api.latest import io

from ..osdface_core import FaceCrops
from ..osdface_core.compositing.parsing import parse_masks
from ..osdface_core.options import Paste, Restore
from . import sockets
from .runtime import PARSING, Resident, progress
from .widgets import LeaveWidgets, left, widget, widgets


class OSDFaceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceMask",
            display_name="Mask Faces (parsing)",
            category=sockets.STAGES,
            description="Finds the face in every crop, so that Paste Faces leaves background, clothes, hats and hands "
            "in front of the face as they are; hair and glasses too, if you want.",
            search_aliases=["face mask", "face parsing", "occlusion", "keep glasses", "keep hair", "face segmentation"],
            inputs=[
                sockets.Crops.Input(
                    "crops", tooltip="Connect Restore Crops; or Crop Faces, if something covers the faces."
                ),
                sockets.Parser.Input("parser", tooltip="Connect Load Face Parser."),
                *widgets(LeaveWidgets, "hair", "glasses"),
                widget(Paste, "feather"),
                widget(Restore, "batch_size"),
            ],
            outputs=[io.Mask.Output(display_name="masks")],
        )

    @classmethod
    def execute(
        cls, crops: FaceCrops, parser: Resident, hair: bool, glasses: bool, feather: float, batch_size: int
    ) -> io.NodeOutput:
        if not len(crops):
            return io.NodeOutput(crops.images.new_zeros(1, crops.size, crops.size))
        leave = left(hair, glasses)
        network, on_batch = parser.use(PARSING * min(batch_size, len(crops))), progress()
        masks = parse_masks(network, crops, leave=leave, feather=feather, batch_size=batch_size, on_batch=on_batch)
        return io.NodeOutput(masks)
