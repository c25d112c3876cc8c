"""The live page's view of one window: its numbers against Keras, and what a reader can do."""

import itertools
import re

import keras
import numpy as np
import pytest
from playwright.sync_api import expect

import fashion_cnn as fc

CASES = list(itertools.product([(5, 5), (6, 7), (8, 8), (9, 9)], (1, 2, 3, 5), (1, 2, 3)))
COMPUTE = """async ({image, kernel, bias, sliding}) => {
    const { cellsUnder, convolve, outputSize, paddedCells, pool } = await import("./arithmetic.js");
    const sides = [image.length, image[0].length];
    const { window, stride, padding } = sliding;
    const sizes = sides.map((side) => outputSize(side, window, stride, padding));
    const corner = { row: sizes[0] - 1, column: sizes[1] - 1 };
    return {
        sizes,
        padded: sides.map((side) => paddedCells(side, window, stride, padding)),
        corner: cellsUnder(image, corner, sliding).map(({ value }) => value),
        convolved: convolve(image, kernel, bias, sliding),
        max: pool(image, "max", sliding),
        average: pool(image, "average", sliding),
    };
}"""


@pytest.fixture
def page(open_view):
    return open_view("convolution")


def choose(page, **values):
    """Press buttons of groups, such as stride=2."""
    for group, value in values.items():
        page.locator(f"#{group} [data-value='{value}']").click()


def as_number(text):
    """Read a number with a true minus sign; NaN if it is none."""
    return float(text.replace("−", "-")) if re.fullmatch(r"−?[\d.]+", text) else np.nan


def numbers_of(page, grid):
    """Return the numbers of a grid, as a screen reader says them; NaN where there is none yet."""
    cells = page.locator(f"#{grid} [role=gridcell]")
    labels = cells.evaluate_all("cells => cells.map((cell) => cell.ariaLabel)")
    side = round(len(labels) ** 0.5)
    numbers = [as_number(label.partition(": ")[2]) for label in labels]
    return np.array(numbers).reshape(side, side)


def place_of_window(page):
    """Return the row and column, from 1, that the window's name says."""
    label = page.locator("#frame").get_attribute("aria-label")
    return tuple(map(int, re.findall(r"\d+", label)))


def pixel(page, row, column, cells):
    """Return where the middle of a cell of the picture is, which has so many with its padding."""
    page.locator("#picture").scroll_into_view_if_needed()
    box = page.locator("#picture").bounding_box()
    side = box["width"] / cells
    return box["x"] + (column + 0.5) * side, box["y"] + (row + 0.5) * side


def assert_close(actual, expected, case=""):
    """Compare what is shown, with two decimals."""
    np.testing.assert_allclose(actual, expected, atol=0.0051, err_msg=case)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_numbers_are_keras_and_the_packages(page, padding):
    rng = np.random.default_rng(0)
    for shape, window, stride in CASES:
        case = f"{shape}, window {window}, stride {stride}"
        image = rng.normal(size=shape).round(3)
        kernel = rng.normal(size=(window, window)).round(3)
        options = {"stride": stride, "padding": padding}
        sliding = {"window": window, **options}
        values = {"image": image.tolist(), "kernel": kernel.ravel().tolist(), "bias": 0.25}
        actual = page.evaluate(COMPUTE, values | {"sliding": sliding})
        assert actual["sizes"] == [fc.inside.output_size(n, window, **options) for n in shape], case
        padded = [list(fc.inside.padded_cells(n, window, **options)) for n in shape]
        assert actual["padded"] == padded, case
        last = fc.inside.windows(image, window, **options)[-1, -1, ..., 0]
        np.testing.assert_array_equal(actual["corner"], last.ravel(), err_msg=case)
        convolved = fc.inside.convolve(image, kernel[..., None, None], [0.25], **options)[..., 0]
        np.testing.assert_allclose(actual["convolved"], convolved, atol=1e-12, err_msg=case)
        for kind in ("max", "average"):
            layer_class = getattr(keras.layers, f"{kind.title()}Pooling2D")
            layer = layer_class(window, strides=stride, padding=padding)
            pooled = np.asarray(layer(image[None, ..., None].astype(np.float32)))[0, ..., 0]
            np.testing.assert_allclose(actual[kind], pooled, atol=1e-6, err_msg=f"{case}, {kind}")


def test_the_learned_filters_are_the_packages(page, models):
    kernels, biases = models["model"].get_layer("conv1").get_weights()
    learned = page.evaluate("async () => (await import('./samples.js')).LEARNED")
    assert len(learned) >= 3
    for number, weights in learned.items():
        assert_close(weights["kernel"], kernels[:, :, 0, int(number) - 1].ravel())
        assert_close(weights["bias"], biases[int(number) - 1])


def test_what_is_shown_is_what_is_computed(page):
    choose(page, pictures="trousers", filters=15, padding="valid", stride=2)
    page.locator("#bias").fill("0.3")
    page.locator("#last").click()
    weights = [as_number(field.input_value()) for field in page.locator("#weights input").all()]
    picture, kernel = numbers_of(page, "picture"), np.reshape(weights, (3, 3, 1, 1))
    expected = fc.inside.convolve(picture, kernel, [0.3], stride=2, padding="valid")[..., 0]
    assert_close(numbers_of(page, "map"), expected)
    page.get_by_label("ReLU").check()
    assert_close(numbers_of(page, "map"), np.maximum(0, expected))
    choose(page, operation="max")  # of that map
    page.locator("#last").click()
    windows = fc.inside.windows(np.maximum(0, expected), 2, stride=2)
    assert_close(numbers_of(page, "map"), windows.max((2, 3, 4)))
    choose(page, operation="average")
    assert_close(numbers_of(page, "map"), windows.mean((2, 3, 4)))
    expect(page.locator("#weights")).to_be_hidden()


def test_sizes_by_the_formula(page):
    for window, stride, padding, formula, note in [
        (3, 1, "same", "⌈n/s⌉=⌈8/1⌉=8", "Hatched: padding, 1 before and 1 after."),
        (3, 2, "same", "⌈n/s⌉=⌈8/2⌉=4", "Hatched: padding, 0 before and 1 after."),
        (3, 1, "valid", "⌊(n−k)/s⌋+1=⌊(8−3)/1⌋+1=6", "No padding."),
        (3, 2, "valid", "⌊(n−k)/s⌋+1=⌊(8−3)/2⌋+1=3", "The last column and the last row are"),
        (5, 3, "valid", "⌊(n−k)/s⌋+1=⌊(8−5)/3⌋+1=2", "No padding."),
    ]:
        choose(page, window=window, stride=stride, padding=padding)
        assert "".join(page.locator("#formula").text_content().split()) == formula
        expect(page.locator("#input-note")).to_contain_text(note)
        side = int(formula.rpartition("=")[2])
        expect(page.locator("#output-size")).to_have_text(f"{side}×{side}")
        assert numbers_of(page, "map").shape == (side, side)


def test_playing_pausing_and_stepping(page):
    page.get_by_label("ReLU").check()
    tops, output = set(), page.locator("#formula").bounding_box()
    for button, column in (("first", 1), ("forward", 2), ("back", 1), ("back", 1)):
        page.locator(f"#{button}").click()
        assert place_of_window(page) == (1, column)
        tops.add(page.locator(".transport").bounding_box()["y"])
    assert len(tops) == 1  # the player stands still, below everything
    assert output["y"] + output["height"] <= tops.pop()
    assert np.isfinite(numbers_of(page, "map")).sum() == 2
    page.get_by_role("button", name="Play", exact=True).click()
    here = page.locator("#map [aria-selected=true]")
    expect(here).to_have_attribute("aria-label", re.compile("row 1, column [4-7]: "))
    page.get_by_role("button", name="Pause").click()
    place = place_of_window(page)
    page.wait_for_timeout(900)
    assert place_of_window(page) == place
    assert np.isfinite(numbers_of(page, "map")).sum() == place[1]
    page.locator("#last").click()
    assert np.isfinite(numbers_of(page, "map")).all()
    expect(page.locator("#news")).to_contain_text("Row 8, column 8")
    page.get_by_role("button", name="Play", exact=True).click()  # once more from the start
    expect(page.locator("#frame")).to_have_attribute("aria-label", re.compile("row 1, column 2"))


def test_the_pointer_drags_the_window_and_draws(page):
    choose(page, padding="valid", stride=2)
    page.locator("#first").click()
    page.wait_for_timeout(400)  # the window glides
    page.mouse.move(*pixel(page, 1, 1, 8))
    page.mouse.down()
    for row, column, place in ((0.9, 3.1, (1, 2)), (20, 20, (3, 3))):  # not beyond the last
        page.mouse.move(*pixel(page, row, column, 8), steps=4)
        assert place_of_window(page) == place
    page.mouse.up()
    page.mouse.click(*pixel(page, 0, 0, 8))
    assert place_of_window(page) == (1, 1)

    choose(page, padding="same", stride=1, pictures="empty")  # 7 × 7, and the padding
    expect(page.locator("#hand [data-value=draw]")).to_have_attribute("aria-pressed", "true")
    assert not numbers_of(page, "picture").any()
    page.mouse.move(*pixel(page, 2, 1, 9))
    page.mouse.down()
    page.mouse.move(*pixel(page, 2, 3, 9), steps=6)
    page.mouse.up()
    expected = np.zeros((7, 7))
    expected[1, :3] = 1
    np.testing.assert_array_equal(numbers_of(page, "picture"), expected)
    page.mouse.click(*pixel(page, 2, 1, 9))  # drawn again, it is erased
    choose(page, brushes=0.5)
    page.mouse.click(*pixel(page, 2, 2, 9))
    expected[1, :2] = 0, 0.5
    np.testing.assert_array_equal(numbers_of(page, "picture"), expected)


def test_everything_by_keyboard(page):
    page.locator("#frame").focus()
    for key in ("Control+Home", "ArrowDown", "End", "ArrowRight"):  # there is no ninth
        page.keyboard.press(key)
    assert place_of_window(page) == (2, 8)

    page.locator("#picture [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "4", "ArrowRight", " ", "ArrowRight", "-"):
        page.keyboard.press(key)
    np.testing.assert_array_equal(numbers_of(page, "picture")[1, 1:4], [0.4, 0, 0.7])
    assert page.locator("#picture [tabindex='0']").count() == 1
    expect(page.locator("#picture [tabindex='0']")).to_be_focused()

    page.locator("#map [tabindex='0']").focus()
    page.keyboard.press("ArrowLeft")
    assert place_of_window(page) == (2, 7)
    expect(page.locator("#map [aria-selected=true]")).to_be_focused()

    field = page.get_by_label("weight, row 1, column 1")
    field.press("Control+a")
    page.keyboard.type("99999")
    assert field.input_value() == "9"  # what is used is what one sees
    field.press("Control+a")
    page.keyboard.type("-2.6")
    field.press("ArrowUp")
    assert field.input_value() == "−2.5"
    expect(page.locator("#hint")).to_have_text("Your own filter.")
    kernel = np.array([-2.5, 0, -1, 1, 0, -1, 1, 0, -1]).reshape(3, 3, 1, 1)
    page.locator("#last").click()
    expected = fc.inside.convolve(numbers_of(page, "picture"), kernel, [0])[..., 0]
    assert_close(numbers_of(page, "map"), expected)
