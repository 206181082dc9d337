"""Stage 2: the one-step restorer (paper section 3.3)."""

from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..evaluation.perceptual import load_distance
from ..limits import one_of, within
from ..models.osdface import ModelConfig, OSDFaceModel
from ..models.precision import DTYPES
from ..networks.unet import UNet
from ..recognition.embedders import MobileFaceNet, load_embedder
from ..weights.authors import write_authors_files
from ..weights.bundle import LICENCES, save_bundle
from ..weights.files import Tensors, fill
from ..weights.lora import ALPHA, RANK, TARGETS, merge_lora
from .assemble import Parts, assemble
from .discriminators import LatentDiscriminator, PatchDiscriminator, add_noise, random_timesteps
from .looks import Look, random_look, unlike
from .losses import Losses, binary_discriminator, edge_aware
from .recipe import RecipeError
from .stage import Batch, Stage

BUNDLE = "bundle.safetensors"


@dataclass(frozen=True)
class RestorerConfig:
    """Which weights change, and the weight of every loss; 0 leaves it out. The paper gives no figures for them."""

    parts: Parts = field(default_factory=Parts)
    """What the model is made from."""
    unet: str = "lora"
    """What of the UNet is trained: lora, or full where there is no trained UNet to start from."""
    decoder: bool = False
    """Train the VAE's decoder too: for a VAE that is new itself. OSDFace leaves SD 2.1's as it is."""
    encoder: bool = False
    """Its encoder as well. `latent` then holds what is restored to what the encoder makes of good photographs."""
    mse: float = 1.0
    latent: float = 0.0
    """Squared difference of the latents: with no other loss but this, nothing is decoded."""
    perceptual: float = 1.0
    perceptual_distance: str = "pyiqa:dists"
    """Which distance: see `load_distance`."""
    edges: bool = True
    """Take that distance of the images' edges, too."""
    identity: float = 0.1
    embedder: str = "arcface"
    """Which face embedder: see `load_embedder`."""
    looks: int = 0
    """How many random looks at every face identity is measured by, see `looks.py`; 0: one, straight on."""
    identity_features: float = 0.0
    """The difference of the embedder's feature maps in those looks. Needs a MobileFaceNet and `identity`."""
    adversarial: float = 0.02
    patches: float = 0.0
    """Another discriminator, of patches of the pictures, as the autoencoders have one. Not in the paper."""
    patch_channels: int = 32
    discriminator_from: int = 0
    """The step at which the discriminators start to count."""
    checkpointing: bool = True
    """Compute activations again in the backward pass instead of keeping them: slower, in a fraction of the memory."""
    without_prompt: bool = False
    """Ablation: the prompt MLP says nothing but zeros, in training and in the model that comes of it."""
    licences: str = LICENCES["osdface"]
    notice: str = ""
    """What the bundle says about itself."""
    store: str = "fp32"
    """The precision of the UNet and VAE in the bundle: fp32, fp16 or bf16."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, mse=(0, inf), latent=(0, inf), perceptual=(0, inf), identity=(0, inf), adversarial=(0, inf))
        within(self, patches=(0, inf), patch_channels=(8, 8192), discriminator_from=(0, inf))
        within(self, looks=(0, 64), identity_features=(0, inf))
        one_of(self, unet=("lora", "full"), store=DTYPES)


class RestorerStage(Stage):
    """UNet and prompt MLP learn, and the VAE where that is asked for; VRE encoder and dictionary stay as they are."""

    def __init__(self, sizes: ModelConfig, config: RestorerConfig):
        super().__init__()
        self.config = config
        self.model = model = assemble(sizes, config.parts).requires_grad_(False)
        self.discriminators = nn.ModuleDict()
        if config.adversarial:
            self.discriminators["latents"] = LatentDiscriminator(model.unet)
        if config.patches:
            self.discriminators["patches"] = PatchDiscriminator(config.patch_channels)
        self.discriminator_from = config.discriminator_from
        if config.unet == "lora":
            add_lora(model.unet)
        else:
            model.unet.requires_grad_(True)
        model.vae.decoder.requires_grad_(config.decoder)
        model.vae.encoder.requires_grad_(config.encoder)
        if model.vre.projector is not None:
            model.vre.projector.requires_grad_(not config.without_prompt)
            if config.without_prompt:
                for parameter in model.vre.projector.parameters():
                    parameter.zero_()
        if config.checkpointing:
            model.unet.enable_gradient_checkpointing()
            model.vae.enable_gradient_checkpointing()
        self.distance = load_distance(config.perceptual_distance) if config.perceptual else None
        self.embedder = load_embedder(config.embedder) if config.identity else None
        if config.identity_features and not isinstance(self.embedder, MobileFaceNet):
            raise RecipeError("identity_features needs identity, and a MobileFaceNet as embedder.")
        self.kept: dict[str, tuple[Tensor, ...]] = {}

    @property
    def discriminator(self) -> nn.Module | None:
        return self.discriminators if len(self.discriminators) else None

    def losses(self, batch: Batch, step: int) -> Losses:
        config, target = self.config, batch["hq"]
        latents, embeds = self.restored_latents(batch["lq"])
        good = latents
        if config.latent or self.judged(step):
            with torch.no_grad():
                good = self.model.encode(2 * target - 1, None).float()
        losses: Losses = {}
        if config.latent:
            losses["latent"] = config.latent * F.mse_loss(latents, good)
        self.kept = {}
        if self.judged(step) and "latents" in self.discriminators:
            losses["adversarial"] = config.adversarial * self.adversarial_loss("latents", latents, good, embeds)
        if config.mse or config.perceptual or config.identity or config.patches:
            images = self.model.decode(latents).float() / 2 + 0.5
            losses |= self.image_losses(images, target)
            if self.judged(step) and "patches" in self.discriminators:
                losses["patches"] = config.patches * self.adversarial_loss("patches", images, target)
        return losses

    def image_losses(self, images: Tensor, target: Tensor) -> Losses:
        config = self.config
        losses = {"mse": config.mse * F.mse_loss(images, target)}
        if self.distance is not None:
            distance = partial(edge_aware, self.distance) if config.edges else self.distance
            losses["perceptual"] = config.perceptual * distance(images.clamp(0, 1), target).mean()
        if self.embedder is not None:
            looks = [random_look() for _ in range(config.looks)] or [Look()]
            each = zip(*(unlike(self.embedder, images, target, look) for look in looks), strict=True)
            apart, by_features = (torch.stack(means).mean() for means in each)
            losses["identity"] = config.identity * apart
            if config.identity_features:
                losses["identity features"] = config.identity_features * by_features
        return losses

    def adversarial_loss(self, discriminator: str, fake: Tensor, real: Tensor, *embeds: Tensor) -> Tensor:
        """How far a discriminator is from taking `fake` for real. `discriminator_losses` judges what it was shown."""
        self.discriminators[discriminator].requires_grad_(False)
        self.kept[discriminator] = fake.detach(), real, *(each.detach() for each in embeds)
        return F.softplus(-self.verdict(discriminator, fake, *embeds)).mean()

    def discriminator_losses(self, step: int) -> Losses:
        losses: Losses = {}
        for discriminator, (fake, real, *embeds) in self.kept.items():
            self.discriminators[discriminator].requires_grad_(True)
            verdicts = self.verdict(discriminator, real, *embeds), self.verdict(discriminator, fake, *embeds)
            losses[f"discriminator of {discriminator}"] = binary_discriminator(*verdicts)
        return losses

    def verdict(self, discriminator: str, made: Tensor, *embeds: Tensor) -> Tensor:
        """A discriminator's opinion; of latents, after as much noise as chance has it."""
        if discriminator == "patches":
            return self.discriminators[discriminator](made).float()
        timesteps = random_timesteps(made, self.model.alphas_cumprod)
        noised = add_noise(made, self.model.alphas_cumprod, timesteps, torch.randn_like(made))
        return self.discriminators[discriminator](noised, timesteps, *embeds).float()

    def restored_latents(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Degraded images -> x0 and the prompt, with their gradients."""
        model, vre = self.model, self.model.vre
        with torch.set_grad_enabled(self.config.encoder and torch.is_grad_enabled()):
            latents = model.encode(2 * images - 1, None).float()
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features = vre.encoder(images.float())
        embeds = vre.prompt(features).embeds
        one_step = model.one_step
        noise = one_step.predict_noise(latents, model.config.timestep, embeds)
        return one_step.original(latents, noise), embeds

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        latents = self.restored_latents(batch["lq"])[0]
        images = self.model.decode(latents).float() / 2 + 0.5
        return torch.stack([batch["lq"], images.clamp(0, 1), batch["hq"]])

    def save(self, folder: Path) -> None:
        """The whole model as a bundle, LoRA merged; and where a LoRA was trained, the authors' three files too."""
        model = OSDFaceModel(self.model.config, self.config.notice)
        lora = lora_of(self.model.unet) if self.config.unet == "lora" else {}
        if lora:
            write_authors_files(folder, self.model.vre, lora)
        weights = {key.replace(".base_layer.", "."): tensor for key, tensor in self.model.unet.state_dict().items()}
        weights = {key: tensor for key, tensor in weights.items() if ".lora_" not in key}
        fill(model.unet, merge_lora(weights, lora, folder), folder)
        model.vre, model.vae = self.model.vre, self.model.vae
        save_bundle(model, folder / BUNDLE, dtype=DTYPES[self.config.store], licences=self.config.licences)


def add_lora(unet: UNet) -> None:
    """OSDFace's LoRA: rank 16 on the attention, feed-forward and convolution layers of the UNet's blocks."""
    from peft import LoraConfig, inject_adapter_in_model

    adapter = LoraConfig(r=RANK, lora_alpha=int(ALPHA), init_lora_weights="gaussian", target_modules=TARGETS)
    inject_adapter_in_model(adapter, unet)


def lora_of(unet: UNet) -> Tensors:
    """The trained LoRA, under the names that the authors' program gives it."""
    from peft import get_peft_model_state_dict

    return {f"unet.{key}": tensor.contiguous().cpu() for key, tensor in get_peft_model_state_dict(unet).items()}
