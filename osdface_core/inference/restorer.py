"""A loaded model as a restorer."""

from ..models.diffusion import OneStepModel
from ..models.one_step import OneStep
from ..models.osdface import OSDFaceModel
from ..models.osediff import OSEDiffModel, TextPrompts
from ..models.restorer import OneStepRestorer, OSDFaceRestorer, OSEDiffRestorer, Restorer
from ..models.vre import VRE
from .memory import faces_at_once


class LoadedRestorer(OneStepRestorer):
    """The networks of a model, where it was loaded to."""

    def __init__(self, model: OneStepModel):
        self.model, self.crop_size, self.notice = model, model.config.crop_size, model.notice

    def one_step(self, faces: int) -> OneStep:
        return self.model.one_step

    def at_once(self, faces: int, batch_size: int | None = None) -> int:
        return max(1, min(batch_size or faces_at_once(self.model), faces))


class LoadedOSDFace(LoadedRestorer, OSDFaceRestorer):
    model: OSDFaceModel

    def vre(self, faces: int) -> VRE:
        self.model.check_files()
        return self.model.vre


class LoadedOSEDiff(LoadedRestorer, OSEDiffRestorer):
    model: OSEDiffModel

    @property
    def texts(self) -> TextPrompts:
        return self.model.texts


def as_restorer(model: OneStepModel | Restorer) -> Restorer:
    """The restorer that a model is; any other as it is."""
    if isinstance(model, OSDFaceModel):
        return LoadedOSDFace(model)
    if isinstance(model, OSEDiffModel):
        return LoadedOSEDiff(model)
    assert not isinstance(model, OneStepModel)
    return model
