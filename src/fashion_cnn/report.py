"""Compare a run with the figures published in the note and the book.

The note is the Korean study note that the tutorial follows; the book is the one it studies.
"""

from collections.abc import Sequence
from math import isnan, nan
from typing import NamedTuple

import keras
import pandas as pd

from fashion_cnn.data import FashionMNIST
from fashion_cnn.language import gettext as _
from fashion_cnn.model import is_trained_on_stand_in
from fashion_cnn.prediction import Evaluation

PARAMETERS = 333_526
STEPS_PER_EPOCH = 1_500


class PublishedRun(NamedTuple):
    """The figures that one published run printed."""

    name: str
    epochs: int
    validation: Evaluation
    test: Evaluation | None


# MinJun Ju, 혼자 공부하는 머신러닝 정리 15.
NOTE = PublishedRun("the note", 11, Evaluation(0.21560, 0.92483), None)
# The author of the book re-ran 8-2.ipynb (github.com/rickiepark/hg-mldl) with each of these.
BOOK_RUNS = (
    PublishedRun("TF 2.4", 9, Evaluation(0.2118, 0.9212), Evaluation(0.2360, 0.9163)),
    PublishedRun("TF 2.5", 7, Evaluation(0.2195, 0.9179), Evaluation(0.2404, 0.9124)),
    PublishedRun("TF 2.6", 9, Evaluation(0.2217, 0.9156), Evaluation(0.2362, 0.9094)),
    PublishedRun("TF 2.8", 11, Evaluation(0.2236, 0.9207), Evaluation(0.2454, 0.9143)),
    PublishedRun("TF 2.9", 8, Evaluation(0.2184, 0.9205), Evaluation(0.2423, 0.9156)),
    PublishedRun("TF 2.11", 9, Evaluation(0.2157, 0.9221), Evaluation(0.2363, 0.9168)),
    PublishedRun("TF 2.12", 9, Evaluation(0.2090, 0.9232), Evaluation(0.2338, 0.9157)),
    PublishedRun("TF 2.14", 9, Evaluation(0.2145, 0.9202), Evaluation(0.2394, 0.9141)),
    PublishedRun("Keras 3.4.1", 8, Evaluation(0.2193, 0.9201), Evaluation(0.2517, 0.9125)),
    PublishedRun("first edition", 11, Evaluation(0.2181, 0.9207), Evaluation(0.2457, 0.9124)),
    # The 2025 edition: 08-2.ipynb and 08-2.pytorch.ipynb (github.com/rickiepark/hg-mldl2).
    PublishedRun("2025, Keras 3", 9, Evaluation(0.2255, 0.9191), Evaluation(0.2488, 0.9160)),
    # With dropout 0.3; its test loss is not given.
    PublishedRun("2025, PyTorch", 10, Evaluation(0.2154, 0.9201), Evaluation(nan, 0.9177)),
)
PUBLISHED_RUNS = (NOTE, *BOOK_RUNS)
# Sample standard deviation over seeds 0 to 4 of the BOOK recipe: benchmarks/results.json.
SEED_STD = {
    "epochs": 1.9,
    "validation loss": 0.0046,
    "validation accuracy": 0.0025,
    "test loss": 0.0035,
    "test accuracy": 0.0023,
}


def reproduction_report(
    model: keras.Model,
    data: FashionMNIST,
    history: keras.callbacks.History | None,
    *,
    validation: Evaluation,
    test: Evaluation | None = None,
) -> pd.DataFrame:
    """Compare a run with the figures of the note and the book, with a verdict on each.

    Parameters
    ----------
    model : keras.Model
        The trained model; its parameters are counted.
    data : FashionMNIST
        The data set that the model was evaluated on.
    history : keras.callbacks.History or None
        What `train` or ``model.fit`` returned. If None, epochs and steps are left out.
    validation : Evaluation
        ``evaluate(model, data.validation)``.
    test : Evaluation, optional
        ``evaluate(model, data.test)``, once all choices are made.

    Returns
    -------
    pandas.DataFrame
        A row for each measure; columns for this run, the note, the book's runs and the verdict, all
        text. On stand-in data, and for a model trained on it, every verdict says that the figures
        mean nothing.
    """
    rows = {_("parameters"): _fixed(model.count_params(), PARAMETERS)}
    if history is not None:
        rows[_("steps per epoch")] = _fixed(history.params["steps"], STEPS_PER_EPOCH)
    rows[_("first validation label")] = _fixed(int(data.validation.labels[0]), 8)
    if history is not None:
        published = [run.epochs for run in PUBLISHED_RUNS]
        rows[_("epochs")] = _measured("epochs", len(history.epoch), published)
    names = {"validation": (_("validation loss"), _("validation accuracy"))}
    if test is not None:
        names["test"] = (_("test loss"), _("test accuracy"))
    for split, split_names in names.items():
        evaluation = validation if split == "validation" else test
        for measure, name in zip(Evaluation._fields, split_names, strict=True):
            runs = [getattr(run, split) for run in PUBLISHED_RUNS]
            published = [run and getattr(run, measure) for run in runs]
            rows[name] = _measured(f"{split} {measure}", getattr(evaluation, measure), published)
    book = _("the book, {n} runs").format(n=len(BOOK_RUNS))
    columns = [_("this run"), _("the note"), book, _("verdict")]
    report = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    if not data.source.is_fashion_mnist:
        report[columns[-1]] = _("stand-in data: means nothing")
    elif is_trained_on_stand_in(model):
        report[columns[-1]] = _("trained on stand-in data: means nothing")
    return report


def _fixed(value: int, published: int) -> list[str]:
    """Return the row of a figure that every faithful run shares."""
    verdict = _("the same") if value == published else _("different")
    return [f"{value:,}", f"{published:,}", f"{published:,}", verdict]


def _measured(measure: str, value: float, published: Sequence[float | None]) -> list[str]:
    """Return the row of a figure that varies; `published` is the note's, then the book's."""
    note = published[0]
    book = [run for run in published[1:] if run is not None and not isnan(run)]
    known = book if note is None else [note, *book]
    return [
        _number(value),
        _("not given") if note is None else _number(note),
        _("{low} to {high}").format(low=_number(min(book)), high=_number(max(book))),
        _verdict(measure, value, min(known), max(known)),
    ]


def _verdict(measure: str, value: float, low: float, high: float) -> str:
    value = round(value, 4)  # as precise as what was published
    if low <= value <= high:
        return _("within the published range")
    is_above, distance = value > high, max(value - high, low - value)
    if measure == "epochs":
        side = _("more epochs") if is_above else _("fewer epochs")
    else:
        side = _("better") if is_above == measure.endswith("accuracy") else _("worse")
    if distance <= SEED_STD[measure]:
        return _("{side}, by no more than seeds differ").format(side=side)
    return _("{side}, by more than seeds differ").format(side=side)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
