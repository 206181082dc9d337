"""Measuring what a restoration is worth: sets of photos, methods, measures, tables and pictures.

Takes: photographs, restorers. Gives: figures. Not here: training, files of weights.
"""

from .evaluate import Task, evaluate
from .frechet import frechet
from .measures import ALWAYS, PAPER, Measure, measures
from .methods import Method, denoised, restoration_of, restorer
from .pages import write_page
from .photosets import PhotoSet, pairs, real, synthetic
from .report import write_sheets, write_tables
from .sheets import write_attention
from .tables import DENOISED, Evaluation

__all__ = [
    "ALWAYS",
    "DENOISED",
    "PAPER",
    "Evaluation",
    "Measure",
    "Method",
    "PhotoSet",
    "Task",
    "denoised",
    "evaluate",
    "frechet",
    "measures",
    "pairs",
    "real",
    "restoration_of",
    "restorer",
    "synthetic",
    "write_attention",
    "write_page",
    "write_sheets",
    "write_tables",
]
