"""A model made ready to restore faces: what its parts are stored and computed in, and where they are.

Takes: a model, a device. Gives: the model, ready. Not here: networks, files' formats, stages.
"""

from ..options import Placement
from .load import load_model
from .prepare import networks, prepare

__all__ = ["Placement", "load_model", "networks", "prepare"]
