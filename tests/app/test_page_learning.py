"""The live page's view of a recorded training run: what was recorded, and what is shown of it."""

import base64
import json
import re

import keras
import numpy as np
import pytest
from conftest import ROOT
from live_page import PAGE, scrolls_sideways, without_a_name
from playwright.sync_api import expect

import fashion_cnn as fc

pytest_plugins = ["live_page"]

RECORD = json.loads((PAGE / "learning.json").read_text("utf-8"))
POINTS = RECORD["points"]
LOSSES = [point["validation"]["loss"] for point in POINTS]
BEST = int(np.argmin(LOSSES))


# What was recorded.


def test_the_record_begins_with_the_notebooks_first_weights():
    keras.utils.set_random_seed(RECORD["seed"])
    kernels, biases = fc.build_cnn().get_layer("conv1").get_weights()
    expected = np.moveaxis(kernels[:, :, 0], -1, 0).reshape(32, 9)
    np.testing.assert_allclose(POINTS[0]["kernels"], expected, atol=0.00051)
    np.testing.assert_array_equal(POINTS[0]["biases"], biases)


def test_the_record_is_whole_and_small():
    assert (PAGE / "learning.json").stat().st_size < 60_000
    moments = [(point["epoch"], point["step"]) for point in POINTS]
    steps = [(0, step) for step in (0, 5, 15, 50, 150, 500)]
    assert moments == steps + [(epoch, 0) for epoch in range(1, 11)]
    assert RECORD["steps_per_epoch"] * RECORD["batch_size"] == RECORD["images"]["trained_on"]
    assert set(RECORD["made_with"]) == {"python", "tensorflow", "keras", "numpy"}
    assert (ROOT / RECORD["command"].split()[-1]).exists()
    for point in POINTS:
        assert np.shape(point["kernels"]) == (32, 9)
        np.testing.assert_allclose(np.sum(point["probabilities"], axis=1), 1, atol=0.006)


def test_the_record_is_the_run_that_the_notebook_reports():
    """Its epochs agree with what Keras printed there, but for the rounding of another machine."""
    notebook = json.loads((ROOT / "notebooks" / "fashion_cnn.ipynb").read_text("utf-8"))
    printed = "".join(
        "".join(output.get("text", ""))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    )
    losses = [float(loss) for loss in re.findall(r"val_loss: ([\d.]+)", printed)]
    assert len(losses) > 3
    recorded = [loss for loss, point in zip(LOSSES, POINTS, strict=True) if point["epoch"]]
    np.testing.assert_allclose(recorded[: len(losses)], losses, atol=0.02)


def test_the_drawings_are_ours():
    for example in RECORD["examples"]:
        drawing = ROOT / "notebooks" / "drawings" / f"{example['name']}.png"
        pixels = np.frombuffer(base64.b64decode(example["pixels"]), np.uint8)
        prepared = np.rint(fc.prepare_photo(drawing).ravel() * 255)
        assert np.abs(prepared - pixels).max() <= 1


# What is shown of it.


def go_to(page, index):
    page.locator("#position").fill(str(index))


@pytest.mark.browser
def test_the_slider_shows_every_moment(open_view):
    page = open_view("learning")
    expect(page.locator("#position")).to_have_js_property("value", str(BEST))
    pictures = set()
    for index, point in enumerate(POINTS):
        go_to(page, index)
        reading = page.locator("#reading").inner_text()
        assert f"{point['validation']['accuracy']:.1%}" in reading
        assert ("lowest" in reading) == (index == BEST)
        right = sum(
            int(np.argmax(said)) == example["label"]
            for said, example in zip(point["probabilities"], RECORD["examples"], strict=True)
        )
        expect(page.locator("#drawings-count")).to_have_text(f"{right} of 10 right")
        pictures.add(
            page.locator("#filters canvas").evaluate_all(
                "all => all.map((canvas) => canvas.toDataURL()).join()"
            )
        )
        described = page.locator("#loss").get_attribute("aria-label")
        assert f"validation {point['validation']['loss']:.3f}" in described
    assert len(pictures) == len(POINTS)
    assert "overfitting" in page.locator("#reading").inner_text()
    page.get_by_text("All numbers as a table").click()
    expect(page.locator("tbody tr")).to_have_count(len(POINTS))
    expect(page.locator("tr[aria-current]")).to_contain_text("After epoch 10")


@pytest.mark.browser
def test_playing_and_stepping(open_view):
    page = open_view("learning")
    go_to(page, 0)
    expect(page.locator("#back")).to_be_disabled()
    expect(page.locator("#reading")).to_contain_text("Before the first step")
    page.locator("#forward").click()
    expect(page.locator("#reading")).to_contain_text("After 5 of the 1,500 steps")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("#reading")).to_contain_text("After 50 of the 1,500 steps")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1200)
    expect(page.locator("#reading")).to_contain_text("After 50 of the 1,500 steps")
    expect(page.locator("#news")).to_contain_text("After 50 of the 1,500 steps")
    go_to(page, len(POINTS) - 1)
    expect(page.locator("#forward")).to_be_disabled()
    page.get_by_role("button", name="Play", exact=True).click()  # once more from the start
    expect(page.locator("#reading")).to_contain_text("After 5 of the 1,500 steps")


@pytest.mark.browser
def test_one_filter_through_the_run(open_view):
    page = open_view("learning")
    first, last = (np.array(POINTS[index]["kernels"]) for index in (0, -1))
    most = int(np.linalg.norm(last - first, axis=1).argmax())
    expect(page.locator("#path-title")).to_have_text(f"Filter {most} through the run")
    page.locator("#filters button").first.click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#path-title")).to_have_text("Filter 9 through the run")
    weights = ", ".join(f"{w:.2f}".replace("-", "−") for w in POINTS[BEST]["kernels"][9])
    expect(page.locator("#news")).to_contain_text(weights.replace("−0.00", "0.00"))
    page.locator("#path button").nth(2).click()
    expect(page.locator("#reading")).to_contain_text("After 15 of the 1,500 steps")
    chart = page.locator("#accuracy").bounding_box()
    page.locator("#accuracy").click(position={"x": chart["width"] - 86, "y": 60})
    expect(page.locator("#reading")).to_contain_text("After epoch 10")


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_and_speaks_korean(open_view, theme):
    phone = {"viewport": {"width": 390, "height": 844}}
    page = open_view("learning", f"lang=ko&theme={theme}", **phone)
    expect(page.get_by_role("heading", level=1)).to_have_text("필터가 만들어지는 과정")
    page.locator("summary").click()
    for index in range(len(POINTS)):
        go_to(page, index)
        assert not scrolls_sideways(page)
    assert without_a_name(page) == []
    seen = page.locator("main").inner_text().replace(RECORD["command"], "")
    assert not re.search(r"[A-Za-z]{3,}", seen)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How the filters took shape")
    assert not re.search("[가-힣]", page.locator("main").inner_text())
    assert not scrolls_sideways(page)


@pytest.mark.browser
def test_the_classes_have_the_packages_names(open_view):
    page = open_view("learning")
    words = page.evaluate("async () => (await import('/words/learning.js')).default")
    for language in ("en", "ko"):
        fc.use_language(language)
        assert [words[f"class {k}"][language] for k in range(10)] == list(fc.class_names())
