"""Measures of colorized photos, and the report that holds a model against doing nothing.

`figures` has the single measures, `measures` gathers them over a set of photos, `protocol` says how a model is measured
and does it, `results` holds what was found, `page` writes it for people. The names below are what others use.
"""

from rainbownet.evaluation.figures import (
    ab_distance,
    auc,
    ciede2000,
    colorfulness,
    hue_coverage,
    psnr,
    ssim,
)
from rainbownet.evaluation.learned import InceptionFeatures, Lpips, frechet_distance
from rainbownet.evaluation.measures import Measures, diagnose
from rainbownet.evaluation.page import write_page
from rainbownet.evaluation.protocol import evaluate, seen_size
from rainbownet.evaluation.results import ANOTHER, GRAY, MODEL, SINGLE, Evaluation, Example, verdict

__all__ = [
    "ANOTHER",
    "GRAY",
    "MODEL",
    "SINGLE",
    "Evaluation",
    "Example",
    "InceptionFeatures",
    "Lpips",
    "Measures",
    "ab_distance",
    "auc",
    "ciede2000",
    "colorfulness",
    "diagnose",
    "evaluate",
    "frechet_distance",
    "hue_coverage",
    "psnr",
    "seen_size",
    "ssim",
    "verdict",
    "write_page",
]
