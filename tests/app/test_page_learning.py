"""The live page's view of a recorded training run: what was recorded, and what is shown of it."""

import base64
import json
import re

import keras
import numpy as np
import pytest
from conftest import DRAWINGS, PAGE, PHONE, ROOT, scrolls_sideways
from playwright.sync_api import expect

import fashion_cnn as fc

RECORD = json.loads((PAGE / "learning.json").read_text("utf-8"))
POINTS = RECORD["points"]
LOSSES = [point["validation"]["loss"] for point in POINTS]
BEST = int(np.argmin(LOSSES))


# What was recorded.


def test_the_record_begins_with_the_notebooks_first_weights():
    keras.utils.set_random_seed(RECORD["seed"])
    kernels, _biases = fc.build_cnn().get_layer("conv1").get_weights()
    expected = np.moveaxis(kernels[:, :, 0], -1, 0).reshape(32, 9)
    np.testing.assert_allclose(POINTS[0]["kernels"], expected, atol=0.00051)


def test_the_record_is_whole_and_small():
    assert (PAGE / "learning.json").stat().st_size < 60_000
    moments = [(point["epoch"], point["step"]) for point in POINTS]
    steps = [(0, step) for step in (0, 5, 15, 50, 150, 500)]
    assert moments == steps + [(epoch, 0) for epoch in range(1, 11)]
    assert RECORD["steps_per_epoch"] * 32 == RECORD["images"]["trained_on"]
    assert (ROOT / RECORD["command"].split()[-1]).exists()
    for point in POINTS:
        assert np.shape(point["kernels"]) == (32, 9)
        np.testing.assert_allclose(np.sum(point["probabilities"], axis=1), 1, atol=0.006)


def test_the_record_is_such_a_run_as_the_lesson_reports():
    """Another processor rounds otherwise, and after some epochs the same seed leads elsewhere."""
    text = (ROOT / "notebooks" / "01_train.ipynb").read_text("utf-8")
    losses = [float(loss) for loss in re.findall(r"val_loss: ([\d.]+)", text)]
    assert len(losses) > 3
    recorded = [loss for loss, point in zip(LOSSES, POINTS, strict=True) if point["epoch"]]
    np.testing.assert_allclose(recorded[: len(losses)], losses, atol=0.04)


def test_the_drawings_are_ours():
    for example in RECORD["examples"]:
        drawing = DRAWINGS / f"{example['name']}.png"
        pixels = np.frombuffer(base64.b64decode(example["pixels"]), np.uint8)
        prepared = np.rint(fc.prepare_photo(drawing).ravel() * 255)
        assert np.abs(prepared - pixels).max() <= 1


# What is shown of it.


@pytest.fixture
def page(open_view):
    return open_view("learning", **PHONE)


def go_to(page, index):
    page.locator("#position").fill(str(index))


def test_the_slider_shows_every_moment(page):
    expect(page.locator("#position")).to_have_js_property("value", str(BEST))
    page.get_by_text("All numbers as a table").click()
    reading, pictures = page.locator("#reading"), set()
    for index, point in enumerate(POINTS):
        go_to(page, index)
        expect(reading).to_contain_text(f"{point['validation']['accuracy']:.1%}")
        assert ("lowest" in reading.inner_text()) == (index == BEST)
        labels = [example["label"] for example in RECORD["examples"]]
        predicted = np.argmax(point["probabilities"], axis=1)
        names = [fc.CLASS_NAMES[label] for label in predicted]
        expect(page.locator("#drawings strong")).to_have_text(names)
        right = np.sum(predicted == labels)
        expect(page.locator("#drawings-count")).to_have_text(f"{right} of 10 right")
        described = page.locator("#loss").get_attribute("aria-label")
        assert f"validation {point['validation']['loss']:.3f}" in described
        assert not scrolls_sideways(page)
        pictures.add(
            page.locator("#filters canvas").evaluate_all(
                "all => all.map((canvas) => canvas.toDataURL()).join()"
            )
        )
    assert len(pictures) == len(POINTS)
    expect(reading).to_contain_text("overfitting")
    expect(page.locator("tbody tr")).to_have_count(len(POINTS))
    expect(page.locator("tr[aria-current]")).to_contain_text("After epoch 10")


def test_playing_and_stepping(page):
    reading = page.locator("#reading")
    go_to(page, 0)
    expect(page.locator("#back")).to_be_disabled()
    expect(reading).to_contain_text("Before the first step")
    page.locator("#forward").click()
    expect(reading).to_contain_text("After 5 of the 1,500 steps")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(reading).to_contain_text("After 50 of the 1,500 steps")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1200)
    for place in (reading, page.locator("#news")):
        expect(place).to_contain_text("After 50 of the 1,500 steps")
    go_to(page, len(POINTS) - 1)
    expect(page.locator("#forward")).to_be_disabled()
    page.get_by_role("button", name="Play", exact=True).click()  # once more from the start
    expect(reading).to_contain_text("After 5 of the 1,500 steps")


def test_one_filter_through_the_run(page):
    first, last = (np.array(POINTS[index]["kernels"]) for index in (0, -1))
    most = int(np.linalg.norm(last - first, axis=1).argmax())
    expect(page.locator("#path-title")).to_have_text(f"Filter {most + 1} through the run")
    page.locator("#filters button").first.click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#path-title")).to_have_text("Filter 10 through the run")
    weights = ", ".join(f"{w:.2f}".replace("-", "−") for w in POINTS[BEST]["kernels"][9])
    expect(page.locator("#news")).to_contain_text(weights.replace("−0.00", "0.00"))
    page.locator("#path button").nth(2).click()
    expect(page.locator("#reading")).to_contain_text("After 15 of the 1,500 steps")
    width = page.locator("#accuracy").bounding_box()["width"]
    page.locator("#accuracy").click(position={"x": 0.79 * width, "y": 60})
    expect(page.locator("#reading")).to_contain_text("After epoch 10")
