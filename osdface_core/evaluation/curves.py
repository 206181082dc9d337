"""Curves of a verification: what is found, and what is taken for it, as one asks for less likeness."""

import numpy as np

FOLDS = 10
"""Of LFW's protocol."""


def counts(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at every threshold, from the highest score down: [T], [T]. Equal scores go together."""
    order = np.argsort(-scores, kind="stable")
    scores, same = scores[order], same[order].astype(bool)
    last = np.append(scores[1:] != scores[:-1], True)
    return np.cumsum(same)[last], np.cumsum(~same)[last]


def roc(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, from (0,0) to (1,1). There have to be pairs of both kinds."""
    true, false = counts(scores, same)
    return np.append(0, false) / false[-1], np.append(0, true) / true[-1]


def precision_recall(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, recall rising, from (0,1)."""
    true, false = counts(scores, same)
    return np.append(0, true / true[-1]), np.append(1, true / (true + false))


def average_precision(scores: np.ndarray, same: np.ndarray) -> float:
    """The mean precision over the recall that is gained."""
    recall, precision = precision_recall(scores, same)
    return float((np.diff(recall) * precision[1:]).sum())


def area(x: np.ndarray, y: np.ndarray) -> float:
    """Under a curve of straight pieces."""
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def equal_error(false: np.ndarray, true: np.ndarray) -> float:
    """The rate at which as many are wrongly taken as are missed, on the straight pieces of a ROC curve."""
    gap = false - (1 - true)
    place = int(np.argmax(gap >= 0))
    before, after = gap[place - 1], gap[place]
    share = -before / (after - before)
    return float(false[place - 1] + share * (false[place] - false[place - 1]))


def true_at_false(false: np.ndarray, true: np.ndarray, rate: float) -> float:
    """The share that is found where at most `rate` of the others is taken for it."""
    return float(true[false <= rate].max())


def accuracy(scores: np.ndarray, same: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Whether every pair is told right, [P], 0 or 1, as LFW has it: by the threshold that is best for the other folds.

    A fold is every tenth pair of either kind.
    """
    fold = np.empty(len(same), int)
    for kind in (True, False):
        fold[same == kind] = np.arange((same == kind).sum()) % folds
    right = np.zeros(len(same))
    for own in np.unique(fold):
        others = fold != own
        right[~others] = (scores[~others] >= best_threshold(scores[others], same[others])) == same[~others]
    return right


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The score from which on pairs are best taken for one person, half way to the next lower one."""
    if not len(scores):
        return 0.0
    true, false = counts(scores, same)
    steps = np.unique(scores)[::-1]
    place = int(np.argmax(np.append(0, true - false)))
    if place == 0:
        return float(np.nextafter(steps[0], np.inf))
    return float(steps[place - 1] + steps[min(place, len(steps) - 1)]) / 2
