import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

import fashion_cnn as fc
from fashion_cnn.report import PUBLISHED, SEEDS, USUAL

# Epochs, validation loss and accuracy, test loss and accuracy: of the note, then of the book.
FIGURES = """
    11 .21560 .92483 nan nan
    9  .2118 .9212 .2360 .9163
    7  .2195 .9179 .2404 .9124
    9  .2217 .9156 .2362 .9094
    11 .2236 .9207 .2454 .9143
    8  .2184 .9205 .2423 .9156
    9  .2157 .9221 .2363 .9168
    9  .2090 .9232 .2338 .9157
    9  .2145 .9202 .2394 .9141
    8  .2193 .9201 .2517 .9125
    11 .2181 .9207 .2457 .9124
    9  .2255 .9191 .2488 .9160
    10 .2154 .9201 nan   .9177
"""


def make_report(tiny, *, model=None, label=8, is_real=True, epochs=9, test=(0.24, 0.914), **splits):
    labels = np.array([label, *tiny.validation.labels[1:]])
    return fc.reproduction_report(
        model or fc.build_cnn(),
        tiny._replace(
            validation=fc.Split(tiny.validation.images, labels),
            source=tiny.source._replace(is_fashion_mnist=is_real),
        ),
        SimpleNamespace(epoch=range(epochs), params={"steps": 1_500}),  # as a Keras History
        validation=fc.Evaluation(*splits.get("validation", (0.215, 0.92))),
        test=test and fc.Evaluation(*test),
    )


def verdicts(report):
    return report["verdict"].to_dict()


def test_published_figures_are_those_of_the_note_and_the_book():
    rows = [[float(cell) for cell in line.split()] for line in FIGURES.strip().splitlines()]
    np.testing.assert_array_equal(PUBLISHED[list(SEEDS)], rows)


def test_a_faithful_run(tiny):
    within, measures = "within the published range", ("loss", "accuracy")
    measured = ["epochs", *(f"{s} {m}" for s in ("validation", "test") for m in measures)]
    exact = ["parameters", "steps per epoch", "first validation label"]
    found = verdicts(make_report(tiny))
    assert found == dict.fromkeys(exact, "the same") | dict.fromkeys(measured, within)
    assert verdicts(make_report(tiny, label=3))["first validation label"] == "different"
    without_test = verdicts(make_report(tiny, test=None))
    assert list(without_test) == [*exact, *measured[:3]]


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        (0.9156, "within the published range"),  # the book's lowest
        (0.92483, "within the published range"),  # the note's
        (0.91558, "within the published range"),  # shown as 0.9156
        (0.9120, "worse, by no more than seeds differ"),
        (0.9000, "worse, by more than seeds differ"),
        (0.9080, "worse, by more than seeds differ"),
        (0.9260, "better, by more than seeds differ"),
    ],
)
def test_verdict_in_words(tiny, accuracy, verdict):
    report = make_report(tiny, validation=(0.2150, accuracy))
    assert verdicts(report)["validation accuracy"] == verdict


def test_a_lower_loss_is_better_and_fewer_epochs_are_neither(tiny):
    found = verdicts(make_report(tiny, validation=(0.2, 0.92), epochs=6))
    assert found["validation loss"].startswith("better")
    assert found["epochs"] == "fewer epochs, by no more than seeds differ"


def test_the_table_shows_every_figure(tiny):
    report = make_report(tiny)
    for cell in ("333,526", "1,500", "0.2156", "0.9248", "0.9156 to 0.9232", "0.9094 to 0.9177"):
        assert cell in report.to_numpy()
    assert (report.map(len) < 50).all(axis=None)  # pandas cuts off what is longer


def test_stand_in_data_and_a_model_trained_on_it_mean_nothing(trained, tiny):
    """Even on the real data, and after it was saved and loaded."""
    report = make_report(tiny, is_real=False)
    assert set(verdicts(report).values()) == {"stand-in data: means nothing"}
    report = make_report(tiny, model=fc.load_model(trained[-1]))
    assert set(verdicts(report).values()) == {"trained on stand-in data: means nothing"}


def test_seeds_are_those_of_plain_keras_and_cover_a_further_one():
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())["trainings"]
    runs = [run for part in results.values() for run in part["runs"]["plain Keras"]]
    for measure, (mean, std) in SEEDS.items():
        values = [run[measure.replace(" ", "_")] for run in runs]
        assert mean == pytest.approx(np.mean(values), rel=1e-3)
        assert std == pytest.approx(np.std(values, ddof=1), rel=0.05)
    n = len(runs)
    assert pytest.approx(stats.t.ppf(0.975, df=n - 1) * np.sqrt(1 + 1 / n), abs=0.005) == USUAL
