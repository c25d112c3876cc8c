"""Compare a run with the figures that the note and the book published."""

import json
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fashion_cnn.data import FashionMNIST, Source
from fashion_cnn.prediction import Evaluation

if TYPE_CHECKING:
    import keras

PARAMETERS = 333_526
STEPS_PER_EPOCH = 1_500
FIRST_VALIDATION_LABEL = 8
_HISTORY_SUFFIX = ".history.json"


class PublishedRun(NamedTuple):
    """The figures that one published run printed."""

    name: str
    epochs: int
    validation: Evaluation
    test: Evaluation | None


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
)
PUBLISHED_RUNS = (NOTE, *BOOK_RUNS)
# Sample standard deviation over seeds 0 to 4 of the BOOK recipe: benchmarks/results/runs.json.
SEED_STD = {
    "epochs": 1.5,
    "validation loss": 0.0054,
    "validation accuracy": 0.0039,
    "test loss": 0.0051,
    "test accuracy": 0.0030,
}


class Row(NamedTuple):
    """One line of the report, as text."""

    measure: str
    this_run: str
    note: str
    book: str
    verdict: str


@dataclass(frozen=True, repr=False)
class ReproductionReport:
    """A run beside the published ones: a table in a notebook, aligned text in a terminal.

    Attributes
    ----------
    rows : tuple of Row
        A row for each measure.
    source : Source
        Where the run's data came from.
    """

    rows: tuple[Row, ...]
    source: Source

    def __repr__(self) -> str:
        """Return the report as aligned text."""
        lines = [_HEADER, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        text.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(["Reproduction report", self._caption(), "", *text])

    def _repr_html_(self) -> str:
        header = "".join(f"<th style='text-align:left'>{escape(cell)}</th>" for cell in _HEADER)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row in self.rows
        )
        caption = f"<b>Reproduction report.</b> {escape(self._caption())}"
        return (
            f"<p>{caption}</p><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _caption(self) -> str:
        return f"Data: {self.source}."


_HEADER = Row("measure", "this run", "the note", f"the book, {len(BOOK_RUNS)} runs", "verdict")


def reproduction_report(
    model: "keras.Model",
    data: FashionMNIST,
    history: "keras.callbacks.History | None",
    *,
    validation: Evaluation,
    test: Evaluation | None = None,
) -> ReproductionReport:
    """Put a run beside the figures of the note and of the book, each with a verdict in words.

    Parameters
    ----------
    model : keras.Model
        The trained model; its parameters are counted.
    data : FashionMNIST
        The data it was trained on.
    history : keras.callbacks.History or None
        What `train` or ``model.fit`` returned. With None, epochs and steps are left out.
    validation : Evaluation
        ``evaluate(model, data.validation)``.
    test : Evaluation, optional
        ``evaluate(model, data.test)``, once the choices are made.

    Returns
    -------
    ReproductionReport
        Prints as aligned text and shows as a table in a notebook. On stand-in data the verdicts
        say only that the figures mean nothing.
    """
    first_label = int(data.validation.labels[0])
    rows = [_fixed_row("parameters", model.count_params(), PARAMETERS)]
    if history is not None:
        rows.append(_fixed_row("steps per epoch", history.params["steps"], STEPS_PER_EPOCH))
    rows.append(_fixed_row("first validation label", first_label, FIRST_VALIDATION_LABEL))
    if history is not None:
        rows.append(
            _measured_row("epochs", len(history.epoch), [run.epochs for run in PUBLISHED_RUNS])
        )
    rows += _evaluation_rows("validation", validation, [run.validation for run in PUBLISHED_RUNS])
    if test is not None:
        rows += _evaluation_rows("test", test, [run.test for run in PUBLISHED_RUNS])
    if not data.source.is_fashion_mnist:
        rows = [row._replace(verdict="stand-in data: means nothing") for row in rows]
    return ReproductionReport(tuple(rows), data.source)


def _fixed_row(measure: str, value: int, published: int) -> Row:
    """Return the row of a figure that every faithful run shares."""
    verdict = "the same" if value == published else "different"
    return Row(measure, f"{value:,}", f"{published:,}", f"{published:,}", verdict)


def _evaluation_rows(
    split_name: str, evaluation: Evaluation, published: list[Evaluation | None]
) -> list[Row]:
    return [
        _measured_row(
            f"{split_name} {measure}",
            getattr(evaluation, measure),
            [run and getattr(run, measure) for run in published],
        )
        for measure in Evaluation._fields
    ]


def _measured_row(measure: str, value: float, published: list[float | None]) -> Row:
    """Return the row of a figure that varies; `published` is the note's, then the book's."""
    note, *_ = published
    known = [run for run in published if run is not None]
    book = known if note is None else known[1:]
    return Row(
        measure,
        _number(value),
        "not given" if note is None else _number(note),
        f"{_number(min(book))} to {_number(max(book))}",
        _verdict(measure, value, known),
    )


def _verdict(measure: str, value: float, published: list[float]) -> str:
    value = round(value, 4)  # as precise as what was published
    low, high = min(published), max(published)
    if low <= value <= high:
        return "within what the published runs span"
    side, distance = ("above", value - high) if value > high else ("below", low - value)
    good_side = {"loss": "below", "accuracy": "above"}.get(measure.split()[-1])
    quality = "" if good_side is None else " (better)" if side == good_side else " (worse)"
    usual = "no more" if distance <= SEED_STD[measure] else "more"
    return f"{side} the published runs{quality}, by {usual} than seeds usually differ"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def save_history(history: "keras.callbacks.History", checkpoint: str | os.PathLike[str]) -> None:
    """Keep a run's history beside its finished checkpoint, as ``….history.json``.

    Parameters
    ----------
    history : keras.callbacks.History
        What `train` returned.
    checkpoint : path
        The file that `train` saved.
    """
    from fashion_cnn.checkpoint import replacing, sha256_of

    checkpoint = Path(checkpoint).expanduser()
    content = {
        "checkpoint SHA-256": sha256_of(checkpoint),
        "steps per epoch": history.params["steps"],
        "history": history.history,
    }
    with replacing(checkpoint.with_suffix(_HISTORY_SUFFIX)) as new_path:
        new_path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def load_history(checkpoint: str | os.PathLike[str]) -> "keras.callbacks.History | None":
    """Read the history that `save_history` kept beside a checkpoint.

    Parameters
    ----------
    checkpoint : path
        A file that `train` saved.

    Returns
    -------
    keras.callbacks.History or None
        None if there is none, or only one of another run, which the checkpoint is no longer of.
    """
    import keras

    from fashion_cnn.checkpoint import sha256_of

    checkpoint = Path(checkpoint).expanduser()
    history = keras.callbacks.History()
    try:
        content = json.loads(checkpoint.with_suffix(_HISTORY_SUFFIX).read_text(encoding="utf-8"))
        if content["checkpoint SHA-256"] != sha256_of(checkpoint):
            return None
        history.history = dict(content["history"])
        history.epoch = list(range(len(history.history["loss"])))
        history.set_params({"steps": int(content["steps per epoch"])})
    except (OSError, ValueError, TypeError, KeyError):  # not there, or damaged
        return None
    return history
