"""A loaded OSDFaceModel as a restorer."""

from ..models.one_step import OneStep
from ..models.osdface import OSDFaceModel
from ..models.restorer import OneStepRestorer, Restorer
from ..models.vre import VRE
from .memory import faces_at_once


class ModelRestorer(OneStepRestorer):
    """The networks of a model, where it was loaded to."""

    def __init__(self, model: OSDFaceModel):
        self.model, self.crop_size, self.notice = model, model.config.crop_size, model.notice

    def vre(self, faces: int) -> VRE:
        self.model.check_files()
        return self.model.vre

    def one_step(self, faces: int) -> OneStep:
        return self.model.one_step

    def at_once(self, faces: int) -> int:
        return max(1, min(faces_at_once(self.model), faces))


def as_restorer(model: OSDFaceModel | Restorer) -> Restorer:
    """The restorer that a model is; any other as it is."""
    return ModelRestorer(model) if isinstance(model, OSDFaceModel) else model
