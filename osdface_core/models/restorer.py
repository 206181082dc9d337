"""What restores faces: a protocol that any network can follow, and what all routes to OSDFace and OSEDiff share."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from ..batches import OnBatch
from ..errors import ImageError
from ..faces import FaceCrops
from ..options import Restore
from .one_step import OneStep, restore_crops
from .osediff import TextPrompts
from .vre import VRE, Prompts, encode_prompts


class Restorer(Protocol):
    """Whatever turns crops of faces into restored crops."""

    @property
    def crop_size(self) -> int:
        """The side of the crops it was made for, in pixels."""

    @property
    def notice(self) -> str:
        """What a user has to be told about it; empty for nothing."""

    @property
    def options(self) -> Collection[str]:
        """The names of the fields of `Restore` that it takes. The others are refused."""

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        """How many of so many faces it restores together: as many as are asked for, or as far as memory goes."""

    def restore(
        self, crops: FaceCrops, options: Restore, *, prompts: Prompts | None = None, on_batch: OnBatch | None = None
    ) -> FaceCrops:
        """The same faces, restored. prompts: where they were made already, by OSDFace's VRE or from a text.

        Raises ImageError for prompts that the restorer does not take.
        """


class OneStepRestorer(ABC):
    """A one-step diffusion model as a restorer, wherever its networks are."""

    options: frozenset[str]

    @abstractmethod
    def one_step(self, faces: int) -> OneStep:
        """The restoration, ready for so many faces at once."""

    @abstractmethod
    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        """How many of so many faces it restores together: as many as are asked for, or as far as memory goes."""

    @abstractmethod
    def prompts_of(self, crops: FaceCrops, options: Restore, batch_size: int, on_batch: OnBatch | None) -> Prompts:
        """What the UNet is told about the crops where nothing else is given."""

    @abstractmethod
    def check_prompts(self, prompts: Prompts) -> None:
        """Raises ImageError for given prompts that the UNet does not understand."""

    def restore(
        self, crops: FaceCrops, options: Restore, *, prompts: Prompts | None = None, on_batch: OnBatch | None = None
    ) -> FaceCrops:
        """Every crop restored. on_batch may end the work while prompts are made, too: then no face is done yet."""
        options.validate()
        size = self.at_once(len(crops), options.batch_size)
        if prompts is None:
            none_yet = on_batch and (lambda _done, count: on_batch(0, count))
            prompts = self.prompts_of(crops, options, size, none_yet)
        else:
            self.check_prompts(prompts)
        one_step = replace(self.one_step(size), latent_strength=options.latent_strength)
        one_step = one_step if options.timestep is None else replace(one_step, timestep=options.timestep)
        return restore_crops(one_step, crops, prompts, batch_size=size, seed=options.seed, on_batch=on_batch)


class OSDFaceRestorer(OneStepRestorer):
    """OSDFace: its VRE looks at every crop."""

    options = frozenset({"timestep", "latent_strength", "seed", "batch_size"})

    @abstractmethod
    def vre(self, faces: int) -> VRE:
        """The embedder, ready for so many faces at once."""

    def prompts_of(self, crops: FaceCrops, options: Restore, batch_size: int, on_batch: OnBatch | None) -> Prompts:
        return encode_prompts(self.vre(batch_size), crops, batch_size=batch_size, on_batch=on_batch)

    def check_prompts(self, prompts: Prompts) -> None:
        if not prompts.token_ids.shape[1]:
            raise ImageError("OSDFace takes no text: leave it out, or load a restorer that does, such as OSEDiff.")


class OSEDiffRestorer(OneStepRestorer):
    """OSEDiff: all crops are told the same text, or what a given CONDITIONING says."""

    options = frozenset({"latent_strength", "seed", "batch_size", "prompt"})

    @property
    @abstractmethod
    def texts(self) -> TextPrompts:
        """The texts whose embeddings it holds."""

    def prompts_of(self, crops: FaceCrops, options: Restore, batch_size: int, on_batch: OnBatch | None) -> Prompts:
        return Prompts.of_text(self.texts.embed(options.prompt), len(crops))

    def check_prompts(self, prompts: Prompts) -> None:
        wide, width = prompts.embeds.shape[-1], self.texts.embeds.shape[-1]
        if prompts.token_ids.shape[1]:
            raise ImageError("These prompts are OSDFace's VRE's; this restorer takes a text. Connect a CONDITIONING.")
        if wide != width:
            problem = f"The text is {wide} wide, this restorer takes {width}."
            raise ImageError(f"{problem} Encode it with SD 2.1's own CLIP.")
