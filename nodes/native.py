"""OSDFace on ComfyUI's own SD 2.1: its offload, fp8, tiled VAE and compile nodes come for free."""

from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.sd
from comfy_api.latest import io
from torch import Tensor

from ..osdface_core.errors import ImageError, LoraError
from ..osdface_core.memory import HELD
from ..osdface_core.one_step import OneStep
from ..osdface_core.vre import VRE
from ..osdface_core.weights.authors import LORA_FILE, load_authors_vre
from ..osdface_core.weights.catalog import entry_named
from ..osdface_core.weights.files import read_tensors
from . import sockets
from .folders import AUTHORS, FOUND_WEIGHTS, fingerprint, weights_options, weights_path
from .runtime import Resident, share

CONTEXT = 1024


class NativeWeights:
    """The same door as runtime.Weights, with ComfyUI's MODEL and VAE behind it.

    With s = sqrt((1 - a) / a), ComfyUI's denoised result of z * sqrt(s^2 + 1) at s is OSDFace's x0 of z.
    """

    crop_size = 512

    def __init__(self, model: Any, vae: Any, vre: Resident):
        self.model, self.vae, self.resident = model, vae, vre

    def vre(self, faces: int) -> VRE:
        return self.resident.use(HELD["vre"] * faces)

    def at_once(self, faces: int) -> int:
        """ComfyUI's own networks see to their memory."""
        return faces

    def one_step(self, faces: int) -> OneStep:
        sigmas = self.model.model.model_sampling.sigmas
        return OneStep(self.encode, self.predict_noise, self.decode, 1 / (sigmas.float() ** 2 + 1))

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        if seed is not None:
            raise ImageError(
                "ComfyUI's VAE gives the latent's mode only: turn sample off, or load OSDFace's own model."
            )
        latents = self.vae.encode(sockets.to_image(images / 2 + 0.5))
        return self.model.model.process_latent_in(latents).float()

    def predict_noise(self, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
        memory = self.model.memory_required([2 * len(latents), *latents.shape[1:]])
        comfy.model_management.load_models_gpu([self.model], memory_required=memory)
        network, device = self.model.model, self.model.load_device
        self.model.pre_run()
        sigma = network.model_sampling.sigmas[timestep].to(device)
        noisy = latents.to(device) * (sigma**2 + 1).sqrt()
        options = self.model.model_options.get("transformer_options", {})
        denoised = network.apply_model(
            noisy, sigma.expand(len(noisy)), c_crossattn=embeds.to(device), transformer_options=options
        )
        return ((noisy - denoised) / sigma).to(latents)

    def decode(self, latents: Tensor) -> Tensor:
        images = self.vae.decode(self.model.model.process_latent_out(latents))
        return sockets.from_image(images) * 2 - 1


class OSDFaceModelFromComfy(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceModelFromComfy",
            display_name="OSDFace Model from SD 2.1",
            category=sockets.CATEGORY,
            description="Makes OSDFace from SD 2.1-base as ComfyUI loads it. For small cards, fp8 and compile nodes.",
            search_aliases=["osdface native", "sd 2.1 face restoration", "low vram face restoration"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="SD 2.1-base (512, epsilon) from any loader. OSDFace's LoRA is added here, not before.",
                ),
                io.Vae.Input("vae", tooltip="SD 2.1's VAE: the checkpoint's own."),
                io.Combo.Input(
                    "weights",
                    options=native_options(),
                    tooltip="The authors' three files: a folder in models/osdface, or wherever they are found.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model")],
        )

    @classmethod
    def validate_inputs(cls, weights: str) -> bool | str:
        try:
            path = weights_path(weights) if weights in native_options() else None
        except FileNotFoundError:
            path = None
        if path is None:
            return f"There is no {weights!r}. {entry_named('osdface').how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_others: object) -> object:
        return fingerprint(weights_path(weights))

    @classmethod
    def execute(cls, model: Any, vae: Any, weights: str) -> io.NodeOutput:
        if isinstance(model.model.model_sampling, comfy.model_sampling.V_PREDICTION):
            raise ImageError("This model predicts v, as SD 2.1 768 does. Load SD 2.1-base (512, epsilon).")
        width = model.model.model_config.unet_config.get("context_dim")
        if width != CONTEXT:
            raise ImageError(f"This model's context is {width} wide, SD 2.1's is {CONTEXT}. Load SD 2.1-base.")
        folder = weights_path(weights)
        if folder is None:
            raise FileNotFoundError(cls.validate_inputs(weights))
        vre = share(("vre", fingerprint(folder)), lambda: Resident(load_authors_vre(folder)))
        return io.NodeOutput(NativeWeights(with_lora(model, folder / LORA_FILE), vae, vre))


def native_options() -> list[str]:
    return [option for option in weights_options() if option.startswith((AUTHORS, FOUND_WEIGHTS))]


def with_lora(model: Any, path: Path) -> Any:
    """A clone of the MODEL with OSDFace's LoRA, under the names that ComfyUI's loader knows for every layer.

    Its loader skips most attention layers under the names in the file. Raises LoraError if it skips any here.
    """
    lora = {}
    for key, tensor in read_tensors(path)[0].items():
        module, _, factor = key.removeprefix("unet.").partition(".lora")
        lora[f"lora_unet_{module.replace('.', '_')}.lora{factor}"] = tensor
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    added = len(patched.patches) - len(model.patches)
    if 2 * added != len(lora):
        problem = f"it changes {len(lora) // 2} layers, {added} of which this model has."
        raise LoraError(path, problem, "Load SD 2.1-base, without OSDFace's LoRA.")
    return patched
