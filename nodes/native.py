"""OSDFace on ComfyUI's own SD 2.1: its offload, fp8, tiled VAE and compile nodes come for free."""

from pathlib import Path
from typing import Any

import comfy.model_sampling
import comfy.samplers
import comfy.sd
import torch
from comfy_api.latest import io
from torch import Tensor

from ..osdface_core.errors import ImageError, LoraError
from ..osdface_core.inference.memory import HELD, MOST
from ..osdface_core.models.one_step import OneStep
from ..osdface_core.models.restorer import OSDFaceRestorer
from ..osdface_core.models.vre import VRE
from ..osdface_core.weights.authors import LORA_FILE, load_authors_vre
from ..osdface_core.weights.catalog import entry_named
from ..osdface_core.weights.files import read_tensors
from . import sockets
from .folders import authors_options, fingerprint, needs_base, portable, weights_path
from .operations import COMFYUI
from .runtime import Resident, share

CONTEXT = 1024


class NoiseOfLatents(comfy.samplers.Sampler):
    """The noise that a model sees in latents, by ComfyUI's way of running a model: whatever other nodes have hung on it
    acts, and it is loaded and cleaned up as everywhere else.

    With s = sqrt((1 - a) / a), ComfyUI's denoised result of z * sqrt(s^2 + 1) at s is OSDFace's x0 of z.
    """

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Any = None,
        denoise_mask: Any = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """`noise`, which ComfyUI hands on as it is, are the latents; the names are ComfyUI's, for wrappers' sake."""
        noisy = noise * (sigmas[0] ** 2 + 1).sqrt()
        denoised = model_wrap(noisy, sigmas[0].expand(len(noisy)), **extra_args)
        return model_wrap.inner_model.process_latent_in((noisy - denoised) / sigmas[0])  # which ComfyUI undoes


class NativeWeights(OSDFaceRestorer):
    """The same restorer as runtime.Weights, with ComfyUI's MODEL and VAE behind it."""

    crop_size = 512
    notice = ""
    options = OSDFaceRestorer.options - {"seed"}
    """ComfyUI's VAE gives the latent's mode only."""

    def __init__(self, model: Any, vae: Any, vre: Resident):
        self.model, self.vae, self.resident = model, vae, vre

    def vre(self, faces: int) -> VRE:
        return self.resident.use(HELD["vre"] * faces)

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        """ComfyUI's own networks see to their memory."""
        return min(batch_size or MOST, faces)

    def one_step(self, faces: int) -> OneStep:
        return OneStep(self.encode, self.predict_noise, self.decode, 1 / (self.sigmas.float() ** 2 + 1))

    @property
    def sigmas(self) -> Tensor:
        """The noise schedule, [1000], as nodes between the loader and this one may have changed it."""
        return self.model.get_model_object("model_sampling").sigmas

    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        if seed is not None:
            raise ImageError(
                "ComfyUI's VAE gives the latent's mode only: turn sample off, or load OSDFace's own model."
            )
        latents = self.vae.encode(sockets.to_image(images / 2 + 0.5))
        return self.model.model.process_latent_in(latents).float()

    def predict_noise(self, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
        sigma = self.sigmas[timestep]
        guider = comfy.samplers.CFGGuider(self.model)
        guider.inner_set_conds({"positive": [[embeds, {}]]})
        step = torch.stack([sigma, torch.zeros_like(sigma)])
        return guider.sample(latents, torch.zeros_like(latents), NoiseOfLatents(), step).to(latents)

    def decode(self, latents: Tensor) -> Tensor:
        images = self.vae.decode(self.model.model.process_latent_out(latents))
        return sockets.from_image(images) * 2 - 1


class OSDFaceModelFromComfy(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OSDFaceModelFromComfy",
            display_name="OSDFace Model from SD 2.1",
            category=sockets.LOADERS,
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
                    options=authors_options(),
                    tooltip="The authors' three files: a folder in models/osdface, or wherever they are found.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model")],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        if weights is None:  # another node will say which
            return True
        try:
            path = weights_path(weights) if needs_base(portable(weights)) else None
        except FileNotFoundError:
            path = None
        if path is None:
            return f"{weights!r} is not the authors' files. {entry_named('osdface').how_to_get}"
        return True

    @classmethod
    def fingerprint_inputs(cls, weights: str | None, **_others: object) -> object:
        return fingerprint(weights_path(weights)) if weights is not None else None

    @classmethod
    def execute(cls, model: Any, vae: Any, weights: str) -> io.NodeOutput:
        if isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.V_PREDICTION):
            raise ImageError("This model predicts v, as SD 2.1 768 does. Load SD 2.1-base (512, epsilon).")
        width = model.model.model_config.unet_config.get("context_dim")
        if width != CONTEXT:
            raise ImageError(f"This model's context is {width} wide, SD 2.1's is {CONTEXT}. Load SD 2.1-base.")
        folder = weights_path(weights)
        if folder is None:
            raise FileNotFoundError(cls.validate_inputs(weights))
        vre = share(("vre", fingerprint(folder)), lambda: Resident(load_authors_vre(folder, ops=COMFYUI)))
        return io.NodeOutput(NativeWeights(with_lora(model, folder / LORA_FILE), vae, vre))


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
