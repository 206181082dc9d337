"""Measuring what a restoration is worth: photographs degraded on purpose, measures, tables and pictures.

Takes: photographs, methods. Gives: figures. Not here: training, files of weights.
"""

from .evaluate import Evaluation, Method, denoised, evaluate, method_of, restorer
from .measures import ALWAYS, Measure, measures

__all__ = ["ALWAYS", "Evaluation", "Measure", "Method", "denoised", "evaluate", "measures", "method_of", "restorer"]
