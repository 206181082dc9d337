"""One step of diffusion on every crop."""

from typing import Any

from comfy_api.latest import io

from ..osdface_core import FaceCrops, Prompts
from ..osdface_core.errors import ImageError
from ..osdface_core.models.restorer import Restorer
from ..osdface_core.options import TIMESTEP, Restore
from . import sockets
from .runtime import progress
from .widgets import RestoreWidgets, widget

SEED = "Only with sample: another number gives slightly other details."
OTHER_SIZE = "The crops have {} pixels a side; these weights were trained for {}. Set the size of Crop Faces to that."


class OSDFaceRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceRestore",
            display_name="Restore Crops (OSDFace)",
            category=sockets.STAGES,
            description="Restores aligned face crops in one step.",
            search_aliases=["restore crops", "osdface", "deblur face", "one step"],
            inputs=[
                sockets.Model.Input("model", tooltip=sockets.ANY_MODEL),
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                sockets.Prompt.Input(
                    "prompt",
                    optional=True,
                    tooltip="Leave it open: crops make their own. Connect one to try another.",
                ),
                widget(Restore, "batch_size"),
                widget(RestoreWidgets, "sample"),
                widget(Restore, "seed", control_after_generate=False, tooltip=SEED),
                widget(Restore, "timestep"),
                widget(Restore, "latent_strength", optional=True),
                widget(Restore, "fidelity", optional=True),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Only for models that take a text, such as OSEDiff: connect CLIP Text Encode with SD 2.1's "
                    "CLIP.",
                ),
            ],
            outputs=[
                sockets.Crops.Output(display_name="crops"),
                io.Image.Output(display_name="images"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model: Restorer,
        crops: FaceCrops,
        sample: bool,
        seed: int,
        timestep: int = TIMESTEP,
        prompt: Prompts | None = None,
        conditioning: Any = None,
        **options: Any,
    ) -> io.NodeOutput:
        untouched = timestep == TIMESTEP and "timestep" not in model.options  # a widget of OSDFace's
        given: dict[str, Any] = {"seed": seed if sample else None, "timestep": None if untouched else timestep}
        chosen = Restore(**given, **options)
        chosen.validate()
        chosen.check_taken(model.options)
        if not len(crops):
            return io.NodeOutput(crops, sockets.crops_to_image(crops.images))
        if conditioning is not None:
            if prompt is not None:
                raise ImageError("Connect prompt or conditioning, not both.")
            prompt = sockets.from_conditioning(conditioning, len(crops))
        restored = model.restore(crops, chosen, prompts=prompt, on_batch=progress())
        advice = "" if crops.size == model.crop_size else OTHER_SIZE.format(crops.size, model.crop_size)
        return io.NodeOutput(restored, sockets.crops_to_image(restored.images), ui={"text": [advice]})
