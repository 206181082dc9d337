"""One step of diffusion on every crop."""

from dataclasses import replace

from comfy_api.latest import io

from ..osdface_core import FaceCrops, Prompts, encode_prompts, restore_crops
from ..osdface_core.models.one_step import TIMESTEP
from . import sockets
from .runtime import Weights, progress

OTHER_SIZE = "The crops have {} pixels a side; these weights were trained for {}. Set the size of Crop Faces to that."


class OSDFaceRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceRestore",
            display_name="Restore Face Crops (OSDFace)",
            category=sockets.CATEGORY,
            description="Restores aligned face crops in one step.",
            search_aliases=["restore crops", "osdface", "deblur face", "one step"],
            inputs=[
                sockets.Model.Input("model", tooltip="Connect Load OSDFace Model or OSDFace Model from SD 2.1."),
                sockets.Crops.Input("crops", tooltip="Connect Crop Faces."),
                sockets.Prompt.Input(
                    "prompt",
                    optional=True,
                    tooltip="Leave it open: crops make their own. Connect one to try another.",
                ),
                sockets.batch_size_input(),
                io.Boolean.Input(
                    "sample",
                    default=False,
                    advanced=True,
                    tooltip="On draws the latent with the seed, as the authors' program does. Off gives one result "
                    "every time, and no flicker in videos.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    control_after_generate=False,
                    advanced=True,
                    tooltip="Only with sample: another number gives slightly other details.",
                ),
                io.Int.Input(
                    "timestep",
                    default=TIMESTEP,
                    min=0,
                    max=999,
                    advanced=True,
                    tooltip="399 is what OSDFace was trained at. Higher changes more, lower keeps more.",
                ),
                io.Float.Input(
                    "latent_strength",
                    optional=True,
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Lower it to keep more of the damaged face, mixed before it is decoded. For a plain mix "
                    "use strength of Paste Faces.",
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
        model: Weights,
        crops: FaceCrops,
        batch_size: int,
        sample: bool,
        seed: int,
        timestep: int,
        latent_strength: float = 1.0,
        prompt: Prompts | None = None,
    ) -> io.NodeOutput:
        if not len(crops):
            return io.NodeOutput(crops, sockets.crops_to_image(crops.images))
        on_batch, faces = progress(len(crops)), model.at_once(min(batch_size, len(crops)))
        if prompt is None:
            prompt = encode_prompts(model.vre(faces), crops, batch_size=faces)
        one_step = replace(model.one_step(faces), timestep=timestep, latent_strength=latent_strength)
        seed_or_mode = seed if sample else None
        restored = restore_crops(one_step, crops, prompt, batch_size=faces, seed=seed_or_mode, on_batch=on_batch)
        advice = "" if crops.size == model.crop_size else OTHER_SIZE.format(crops.size, model.crop_size)
        return io.NodeOutput(restored, sockets.crops_to_image(restored.images), ui={"text": [advice]})
