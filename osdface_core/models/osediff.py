"""OSEDiff's face model: the same step as OSDFace's at the last timestep, told a text instead of what a VRE sees.

Wu et al., "One-Step Effective Diffusion Network for Real-World Image Super-Resolution" (arXiv 2406.08177).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..networks.operations import TORCH, Operations
from .diffusion import STEPS, DiffusionConfig, OneStepModel

TOKENS = 77
"""What a text is cut or padded to: CLIP's context."""
MOST_PROMPTS, LONGEST_PROMPT = 1000, 10_000
"""No bundle needs more texts, or longer ones."""


@dataclass(frozen=True)
class OSEDiffConfig(DiffusionConfig):
    """Sizes and constants of a model. The defaults are OSEDiff's own. Raises ValueError for what cannot be."""

    timestep: int = field(default=STEPS - 1, kw_only=True)
    prompts: tuple[str, ...] = ()
    """The texts whose embeddings are in the model, the usual one first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        texts = self.prompts
        if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"prompts = {texts!r:.60} must be a list of texts")
        if len(texts) > MOST_PROMPTS or any(len(text) > LONGEST_PROMPT for text in texts):
            raise ValueError(f"prompts must be at most {MOST_PROMPTS}, of at most {LONGEST_PROMPT} characters")
        if len(set(texts)) < len(texts):
            raise ValueError("prompts holds the same text twice")


class TextPrompts(nn.Module):
    """What the text encoder made of fixed texts: a table, so that no text encoder is needed to restore."""

    def __init__(self, texts: tuple[str, ...], width: int):
        super().__init__()
        self.texts = texts
        self.embeds = nn.Parameter(torch.empty(len(texts), TOKENS, width))

    def embed(self, text: str | None) -> Tensor:
        """A text's embeddings [1,77,D]; without one, those of the first text. Raises OptionError for others."""
        known = f"it knows {', '.join(map(repr, self.texts)) or 'none'}"
        advice = f"connect a CONDITIONING, or have it made when the weights are loaded or converted; {known}"
        if text is None and not self.texts:
            raise OptionError("prompt", "is not given", f"these weights come without a text: {advice}")
        if text is not None and text not in self.texts:
            raise OptionError("prompt", repr(text), f"these weights hold no embeddings of this text: {advice}")
        row = 0 if text is None else self.texts.index(text)
        return self.embeds[row : row + 1]


class OSEDiffModel(OneStepModel):
    """UNet and VAE, and embeddings of texts."""

    config: OSEDiffConfig

    def __init__(self, config: OSEDiffConfig, notice: str = "", ops: Operations = TORCH):
        super().__init__(config, notice, ops)
        self.texts = TextPrompts(config.prompts, config.unet.cross_attention_dim).requires_grad_(False)

    @property
    def conditioner(self) -> TextPrompts:
        return self.texts

    @property
    def device(self) -> torch.device:
        return self.texts.embeds.device

    def context(self, images: Tensor) -> Tensor:
        return self.texts.embed(None).expand(len(images), -1, -1)


def prompt_text(caption: str, wish: str = "") -> str:
    """The text that OSEDiff's program makes of a picture's tags and the user's wish."""
    return f"{caption}, {wish},"
