"""What restores faces: a protocol that any network can follow, and the part that all routes to OSDFace share."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import fields, replace
from typing import Protocol

from ..batches import OnBatch
from ..faces import FaceCrops
from ..options import Restore
from .one_step import OneStep, restore_crops
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

    def at_once(self, faces: int) -> int:
        """How many of so many faces it restores together, as far as memory goes."""

    def restore(
        self, crops: FaceCrops, options: Restore, *, prompts: Prompts | None = None, on_batch: OnBatch | None = None
    ) -> FaceCrops:
        """The same faces, restored. prompts: OSDFace's, where they were made or changed already.

        Raises ImageError for prompts given to a restorer that takes none.
        """


class OneStepRestorer(ABC):
    """OSDFace as a restorer, wherever its networks are."""

    options: frozenset[str] = frozenset(known.name for known in fields(Restore)) - {"fidelity"}

    @abstractmethod
    def vre(self, faces: int) -> VRE:
        """The embedder, ready for so many faces at once."""

    @abstractmethod
    def one_step(self, faces: int) -> OneStep:
        """The restoration, ready for so many faces at once."""

    @abstractmethod
    def at_once(self, faces: int) -> int:
        """How many of so many faces it restores together, as far as memory goes."""

    def together(self, options: Restore, faces: int) -> int:
        """How many of so many faces to restore together."""
        return options.batch_size or self.at_once(faces)

    def restore(
        self, crops: FaceCrops, options: Restore, *, prompts: Prompts | None = None, on_batch: OnBatch | None = None
    ) -> FaceCrops:
        """Every crop restored. on_batch may end the work while prompts are made, too: then no face is done yet."""
        size = self.together(options, len(crops))
        if prompts is None:
            none_yet = on_batch and (lambda _done, count: on_batch(0, count))
            prompts = encode_prompts(self.vre(size), crops, batch_size=size, on_batch=none_yet)
        one_step = replace(self.one_step(size), latent_strength=options.latent_strength)
        one_step = one_step if options.timestep is None else replace(one_step, timestep=options.timestep)
        return restore_crops(one_step, crops, prompts, batch_size=size, seed=options.seed, on_batch=on_batch)
