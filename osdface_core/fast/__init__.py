"""A model made ready for inference: exact rewrites of its networks, a precision for every part."""

from .placement import Placement
from .precision import DTYPES, Precision, is_quick
from .prepare import FastModel, load_prepared, networks, prepare

__all__ = ["DTYPES", "FastModel", "Placement", "Precision", "is_quick", "load_prepared", "networks", "prepare"]
