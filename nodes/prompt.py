"""The VRE: what each face is restored towards."""

from typing import Any

from comfy_api.latest import io

from ..osdface_core import FaceCrops, Prompts, encode_prompts
from ..osdface_core.errors import ImageError
from ..osdface_core.models.token_map import token_map
from ..osdface_core.options import Restore
from . import sockets
from .runtime import intermediate, progress
from .widgets import widget

NO_VRE = (
    "This restorer has no visual dictionary and takes no prompt. Connect Load OSDFace Model, or leave this node out."
)


class OSDFaceEncodePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceEncodePrompt",
            display_name="Encode Face Prompt (VRE)",
            category=sockets.CATEGORY,
            description="Turns every face into words of OSDFace's visual dictionary. Restoring does this by itself; "
            "use this node to look at the words, or as conditioning of SD 2.1.",
            search_aliases=["vre", "visual prompt", "token map", "conditioning"],
            inputs=[
                sockets.Model.Input("model", tooltip="Connect Load OSDFace Model or OSDFace Model from SD 2.1."),
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                widget(Restore, "batch_size"),
            ],
            outputs=[
                sockets.Prompt.Output(display_name="prompt"),
                io.Conditioning.Output(display_name="conditioning"),
                io.Image.Output(display_name="token map"),
            ],
        )

    @classmethod
    def execute(cls, model: Any, crops: FaceCrops, batch_size: int) -> io.NodeOutput:
        if not hasattr(model, "vre"):
            raise ImageError(NO_VRE)
        faces = model.at_once(min(batch_size, len(crops)))
        vre = model.vre(faces)
        prompts = encode_prompts(vre, crops, batch_size=faces, on_batch=progress())
        prompts = Prompts(*map(intermediate, (prompts.embeds, prompts.token_ids, prompts.positions)))
        picture = token_map(crops, prompts, vre.config.cells)
        return io.NodeOutput(prompts, [[prompts.embeds, {}]], sockets.crops_to_image(picture))
