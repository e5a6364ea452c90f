"""Baselines that stand beside every trained model: same split, same ranking, tuned on validation.

A table without them convinces nobody, and an untuned one is worse than none. All need NumPy and
SciPy alone; each file holds one method and names its paper. From the simplest on: Popularity,
RecencyPopularity, ItemKNN, BiasedMF, EASE, DecayedEASE; and TextKNN where items have texts.
"""

from tfrec.evaluation.baselines.baseline import Baseline, settings_of
from tfrec.evaluation.baselines.decayed_ease import DecayedEASE
from tfrec.evaluation.baselines.ease import EASE
from tfrec.evaluation.baselines.item_knn import ItemKNN
from tfrec.evaluation.baselines.matrix_factorization import BiasedMF
from tfrec.evaluation.baselines.popularity import Popularity, RecencyPopularity
from tfrec.evaluation.baselines.run import (
    TEXT_BASELINES,
    FittedBaseline,
    all_baselines,
    run_baselines,
)
from tfrec.evaluation.baselines.text_knn import TextKNN
from tfrec.evaluation.baselines.tuning import Trial, Tuned, tune

__all__ = [
    "EASE",
    "TEXT_BASELINES",
    "Baseline",
    "BiasedMF",
    "DecayedEASE",
    "FittedBaseline",
    "ItemKNN",
    "Popularity",
    "RecencyPopularity",
    "TextKNN",
    "Trial",
    "Tuned",
    "all_baselines",
    "run_baselines",
    "settings_of",
    "tune",
]
