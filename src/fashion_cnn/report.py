"""Compare a run with the figures published in the note and the book.

The note is the Korean study note that the tutorial follows; the book is the one it studies.
"""

from math import nan

import keras
import pandas as pd

from fashion_cnn.data import FashionMNIST
from fashion_cnn.language import gettext as _
from fashion_cnn.model import is_trained_on_stand_in
from fashion_cnn.prediction import Evaluation

# What each run printed; NaN is what it does not give.
_RUNS = {
    "the note": (11, 0.21560, 0.92483, nan, nan),  # MinJun Ju, 혼자 공부하는 머신러닝 정리 15
    # The author of the book re-ran 8-2.ipynb (github.com/rickiepark/hg-mldl) with each of these.
    "TF 2.4": (9, 0.2118, 0.9212, 0.2360, 0.9163),
    "TF 2.5": (7, 0.2195, 0.9179, 0.2404, 0.9124),
    "TF 2.6": (9, 0.2217, 0.9156, 0.2362, 0.9094),
    "TF 2.8": (11, 0.2236, 0.9207, 0.2454, 0.9143),
    "TF 2.9": (8, 0.2184, 0.9205, 0.2423, 0.9156),
    "TF 2.11": (9, 0.2157, 0.9221, 0.2363, 0.9168),
    "TF 2.12": (9, 0.2090, 0.9232, 0.2338, 0.9157),
    "TF 2.14": (9, 0.2145, 0.9202, 0.2394, 0.9141),
    "Keras 3.4.1": (8, 0.2193, 0.9201, 0.2517, 0.9125),
    "first edition": (11, 0.2181, 0.9207, 0.2457, 0.9124),
    # The 2025 edition: 08-2.ipynb and 08-2.pytorch.ipynb (github.com/rickiepark/hg-mldl2).
    "2025, Keras 3": (9, 0.2255, 0.9191, 0.2488, 0.9160),
    "2025, PyTorch": (10, 0.2154, 0.9201, nan, 0.9177),  # with dropout 0.3
}
# Mean and sample standard deviation of the book's lines in plain Keras, over seeds 0 to 4 on each
# of two kinds of processor: benchmarks/results.json.
SEEDS = {
    "epochs": (9.1, 1.37),
    "validation loss": (0.2292, 0.0035),
    "validation accuracy": (0.9176, 0.0029),
    "test loss": (0.2558, 0.0070),
    "test accuracy": (0.9111, 0.0028),
}
# In standard deviations: 95 of 100 further runs lie this close to the mean of ten
# (Student's t with 9 degrees of freedom, times the square root of 1 + 1/10).
USUAL = 2.37
PUBLISHED = pd.DataFrame.from_dict(_RUNS, orient="index", columns=list(SEEDS))
# Every faithful run has these.
PUBLISHED[["parameters", "steps per epoch", "first validation label"]] = 333_526, 1_500, 8


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
        text. A figure outside the published range, but as near to the mean of ten runs as 95 of
        100 further ones are, differs "by no more than seeds differ". On stand-in data, and for a
        model trained on it, every verdict says that the figures mean nothing.
    """
    figures = (
        (_("parameters"), "parameters", model.count_params()),
        (_("steps per epoch"), "steps per epoch", history and history.params["steps"]),
        (_("first validation label"), "first validation label", int(data.validation.labels[0])),
        (_("epochs"), "epochs", history and len(history.epoch)),
        (_("validation loss"), "validation loss", validation.loss),
        (_("validation accuracy"), "validation accuracy", validation.accuracy),
        (_("test loss"), "test loss", test and test.loss),
        (_("test accuracy"), "test accuracy", test and test.accuracy),
    )
    rows = {name: _row(measure, value) for name, measure, value in figures if value is not None}
    book = _("the book, {n} runs").format(n=len(PUBLISHED) - 1)
    columns = [_("this run"), _("the note"), book, _("verdict")]
    report = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    if not data.source.is_fashion_mnist:
        report[columns[-1]] = _("stand-in data: means nothing")
    elif is_trained_on_stand_in(model):
        report[columns[-1]] = _("trained on stand-in data: means nothing")
    return report


def _row(measure: str, value: float) -> list[str]:
    """Return a figure of this run, the note's, the range of the book's, and the verdict."""
    published = PUBLISHED[measure]
    numbers = value, published.iloc[0], published.iloc[1:].min(), published.iloc[1:].max()
    spec = ".4f" if published.dtype == float else ","
    this, note, low, high = (format(number, spec) for number in numbers)
    span = low if low == high else _("{low} to {high}").format(low=low, high=high)
    verdict = _verdict(measure, round(value, 4), published.min(), published.max())
    return [this, _("not given") if note == "nan" else note, span, verdict]


def _verdict(measure: str, value: float, low: float, high: float) -> str:
    if measure not in SEEDS:
        return _("the same") if value == low else _("different")
    if low <= value <= high:
        return _("within the published range")
    if measure == "epochs":
        side = _("more epochs") if value > high else _("fewer epochs")
    else:
        side = _("better") if (value > high) == measure.endswith("accuracy") else _("worse")
    mean, std = SEEDS[measure]
    if abs(value - mean) <= USUAL * std:
        return _("{side}, by no more than seeds differ").format(side=side)
    return _("{side}, by more than seeds differ").format(side=side)
