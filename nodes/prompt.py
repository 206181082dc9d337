"""The VRE: what each face is restored towards."""

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..osdface_core import FaceCrops, Prompts, encode_prompts
from ..osdface_core.errors import ImageError
from ..osdface_core.models.attention_map import attention_maps, attention_picture
from ..osdface_core.models.token_map import token_map
from ..osdface_core.options import Restore
from . import sockets
from .runtime import Weights, intermediate, progress
from .widgets import PromptWidgets, widget

NO_VRE = (
    "This restorer has no visual dictionary and takes no prompt. Connect Load OSDFace Model, or leave this node out."
)


class OSDFaceEncodePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceEncodePrompt",
            display_name="Encode Face Prompt (VRE)",
            category=sockets.STAGES,
            description="Turns every face into words of OSDFace's visual dictionary. Restoring does this by itself; "
            "use this node to look at the words, or as conditioning of SD 2.1.",
            search_aliases=["vre", "visual prompt", "token map", "conditioning"],
            inputs=[
                sockets.Model.Input("model", tooltip="Connect Load OSDFace Model or OSDFace Model from SD 2.1."),
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                widget(Restore, "batch_size"),
                widget(PromptWidgets, "attention_map", optional=True),
            ],
            outputs=[
                sockets.Prompt.Output(display_name="prompt"),
                io.Conditioning.Output(display_name="conditioning"),
                io.Image.Output(display_name="token map"),
                io.Image.Output(display_name="attention map"),
            ],
        )

    @classmethod
    def execute(cls, model: Any, crops: FaceCrops, batch_size: int, attention_map: bool = False) -> io.NodeOutput:
        if not hasattr(model, "vre"):
            raise ImageError(NO_VRE)
        faces = model.at_once(len(crops), batch_size)
        vre = model.vre(faces)
        prompts = encode_prompts(vre, crops, batch_size=faces, on_batch=progress())
        prompts = Prompts(*map(intermediate, (prompts.embeds, prompts.token_ids, prompts.positions)))
        picture = token_map(crops, prompts, vre.config.cells)
        drawn = cls.attention(model, crops, prompts) if attention_map else crops.images[:0]
        images = (sockets.crops_to_image(pixels) for pixels in (picture, drawn))
        return io.NodeOutput(prompts, [[prompts.embeds, {}]], *images)

    @classmethod
    def attention(cls, model: Any, crops: FaceCrops, prompts: Prompts) -> Tensor:
        """Of every crop [3,S,S] a picture [3,3S,3S]. Raises ImageError where the UNet is ComfyUI's own."""
        if not isinstance(model, Weights):
            raise ImageError(
                "The attention map needs a model of Load OSDFace Model: ComfyUI's UNet keeps its attention."
            )
        one_step, unet = model.one_step(1), model.model.unet
        update, drawn = progress(), []
        for place, image in enumerate(crops.images.split(1)):
            maps = attention_maps(one_step, unet, image, prompts.embeds[place : place + 1])
            drawn.append(attention_picture(image.cpu(), maps))
            update(place + 1, len(crops))
        return torch.cat(drawn) if drawn else crops.images[:0]
