"""The live page's view of one window: its numbers against Keras, and what a reader can do."""

import re

import keras
import numpy as np
import pytest
from live_page import PAGE, scrolls_sideways, without_a_name
from playwright.sync_api import expect

import fashion_cnn as fc

pytest_plugins = ["live_page"]
pytestmark = pytest.mark.browser

CASES = [
    (shape, window, stride)
    for shape in ((5, 5), (6, 7), (8, 8), (9, 9))
    for window in (1, 2, 3, 5)
    for stride in (1, 2, 3)
]


COMPUTE = """async ({image, kernel, bias, sliding}) => {
    const { cellsUnder, convolve, outputSize, paddedCells, pool } = await import("/arithmetic.js");
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


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_numbers_are_keras_and_the_packages(open_view, padding):
    page = open_view("convolution")
    rng = np.random.default_rng(0)
    for shape, window, stride in CASES:
        case = f"{shape}, window {window}, stride {stride}"
        image = rng.normal(size=shape).round(3)
        kernel = rng.normal(size=(window, window)).round(3)
        options = {"stride": stride, "padding": padding}
        ours = page.evaluate(
            COMPUTE,
            {
                "image": image.tolist(),
                "kernel": kernel.ravel().tolist(),
                "bias": 0.25,
                "sliding": {"window": window, **options},
            },
        )
        assert ours["sizes"] == [fc.inside.output_size(n, window, **options) for n in shape], case
        padded = [list(fc.inside.padded_cells(n, window, **options)) for n in shape]
        assert ours["padded"] == padded, case
        last = fc.inside.windows(image, window, **options)[-1, -1, ..., 0]
        np.testing.assert_array_equal(ours["corner"], last.ravel(), err_msg=case)
        convolved = fc.inside.convolve(image, kernel[..., None, None], [0.25], **options)[..., 0]
        np.testing.assert_allclose(ours["convolved"], convolved, atol=1e-12, err_msg=case)
        for kind, layer in (
            ("max", keras.layers.MaxPooling2D(window, strides=stride, padding=padding)),
            ("average", keras.layers.AveragePooling2D(window, strides=stride, padding=padding)),
        ):
            pooled = np.asarray(layer(image[None, ..., None].astype(np.float32)))[0, ..., 0]
            np.testing.assert_allclose(ours[kind], pooled, atol=1e-6, err_msg=f"{case}, {kind}")


def test_the_learned_filters_are_the_packages(open_view):
    kernels, biases = fc.load_model().get_layer("conv1").get_weights()
    page = open_view("convolution")
    learned = page.evaluate("async () => (await import('/samples.js')).LEARNED")
    assert len(learned) >= 3
    for number, weights in learned.items():
        expected = kernels[:, :, 0, int(number)].ravel()
        np.testing.assert_allclose(weights["kernel"], expected, atol=0.0051)
        assert weights["bias"] == pytest.approx(biases[int(number)], abs=0.0051)


def numbers_of(page, grid):
    """Return the numbers of a grid, as a screen reader says them; NaN where there is none yet."""
    said = page.locator(f"#{grid} [role=gridcell]").evaluate_all(
        "cells => cells.map((cell) => cell.ariaLabel)"
    )
    values = [label.partition(": ")[2].replace("−", "-") for label in said]
    side = round(len(values) ** 0.5)
    numbers = [float(value) if re.fullmatch(r"-?[\d.]+", value) else np.nan for value in values]
    return np.array(numbers).reshape(side, side)


def test_what_is_shown_is_what_is_computed(open_view):
    page = open_view("convolution")
    page.locator("#pictures [data-value=trousers]").click()
    page.locator("#filters [data-value='14']").click()
    page.locator("#padding [data-value=valid]").click()
    page.locator("#stride [data-value='2']").click()
    page.locator("#bias").fill("0.3")
    page.locator("#last").click()
    picture, shown = numbers_of(page, "picture"), numbers_of(page, "map")
    weights = [float(field.input_value()) for field in page.locator("#weights input").all()]
    kernel = np.reshape(weights, (3, 3, 1, 1))
    expected = fc.inside.convolve(picture, kernel, [0.3], stride=2, padding="valid")[..., 0]
    np.testing.assert_allclose(shown, expected, atol=0.0051)
    page.get_by_label("ReLU").check()
    np.testing.assert_allclose(numbers_of(page, "map"), np.maximum(0, expected), atol=0.0051)

    page.get_by_role("button", name="Max pooling").click()  # of that map
    page.locator("#last").click()
    windows = fc.inside.windows(np.maximum(0, expected), 2, stride=2)
    np.testing.assert_allclose(numbers_of(page, "map"), windows.max((2, 3, 4)), atol=0.0051)
    page.get_by_role("button", name="Average pooling").click()
    np.testing.assert_allclose(numbers_of(page, "map"), windows.mean((2, 3, 4)), atol=0.0051)
    expect(page.locator("#weights")).to_be_hidden()


@pytest.mark.parametrize(
    ("window", "stride", "padding", "formula", "note"),
    [
        (3, 1, "same", "⌈n/s⌉=⌈8/1⌉=8", "Hatched: padding, 1 before and 1 after."),
        (3, 2, "same", "⌈n/s⌉=⌈8/2⌉=4", "Hatched: padding, 0 before and 1 after."),
        (3, 1, "valid", "⌊(n−k)/s⌋+1=⌊(8−3)/1⌋+1=6", "No padding."),
        (
            *(3, 2, "valid", "⌊(n−k)/s⌋+1=⌊(8−3)/2⌋+1=3"),
            "The last column and the last row are never under the window.",
        ),
        (5, 3, "valid", "⌊(n−k)/s⌋+1=⌊(8−5)/3⌋+1=2", "No padding."),
    ],
)
def test_sizes_by_the_formula(open_view, window, stride, padding, formula, note):
    page = open_view("convolution")
    for group, value in (("window", window), ("stride", stride), ("padding", padding)):
        page.locator(f"#{group} [data-value='{value}']").click()
    assert "".join(page.locator("#formula").text_content().split()) == formula
    expect(page.locator("#input-note")).to_have_text(note)
    side = formula.rpartition("=")[2]
    expect(page.locator("#output-size")).to_have_text(f"{side}×{side}")
    assert numbers_of(page, "map").shape == (int(side), int(side))


def place_of_window(page):
    """Return the row and column, from 1, that the window's name says."""
    label = page.locator("#frame").get_attribute("aria-label")
    return tuple(map(int, re.findall(r"\d+", label)))


def test_playing_pausing_and_stepping(open_view):
    page = open_view("convolution")
    page.locator("#first").click()
    assert place_of_window(page) == (1, 1)
    assert np.isfinite(numbers_of(page, "map")).sum() == 1
    page.locator("#forward").click()
    assert place_of_window(page) == (1, 2)
    page.locator("#back").click()
    page.locator("#back").click()  # there is nothing before the first
    assert place_of_window(page) == (1, 1)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("#map [aria-selected=true]")).to_have_attribute(
        "aria-label", re.compile("row 1, column 4: ")
    )
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


def test_dragging_the_window(open_view):
    page = open_view("convolution")
    page.locator("#padding [data-value=valid]").click()
    page.locator("#stride [data-value='2']").click()
    page.locator("#first").click()
    page.wait_for_timeout(400)  # the window glides
    box = page.locator("#picture").bounding_box()
    cell = box["width"] / 8
    page.mouse.move(box["x"] + 1.5 * cell, box["y"] + 1.5 * cell)
    page.mouse.down()
    page.mouse.move(box["x"] + 3.6 * cell, box["y"] + 1.4 * cell, steps=4)
    assert place_of_window(page) == (1, 2)
    page.mouse.move(box["x"] + 20 * cell, box["y"] + 20 * cell, steps=4)
    assert place_of_window(page) == (3, 3)  # not beyond the last
    page.mouse.up()
    page.mouse.click(box["x"] + 0.5 * cell, box["y"] + 0.5 * cell)
    assert place_of_window(page) == (1, 1)


def test_drawing_with_the_pointer(open_view):
    page = open_view("convolution")
    page.locator("#pictures [data-value=empty]").click()
    expect(page.locator("#hand [data-value=draw]")).to_have_attribute("aria-pressed", "true")
    assert not numbers_of(page, "picture").any()

    def at(row, column):
        page.locator("#picture").scroll_into_view_if_needed()
        box = page.locator("#picture").bounding_box()
        cell = box["width"] / 9  # 7 and the padding
        return box["x"] + (column + 1.5) * cell, box["y"] + (row + 1.5) * cell

    page.mouse.move(*at(1, 0))
    page.mouse.down()
    page.mouse.move(*at(1, 2), steps=6)
    page.mouse.up()
    expected = np.zeros((7, 7))
    expected[1, :3] = 1
    np.testing.assert_array_equal(numbers_of(page, "picture"), expected)
    page.mouse.click(*at(1, 0))  # drawn again, it is erased
    page.locator("#brushes [data-value='0.5']").click()
    page.mouse.click(*at(1, 1))
    expected[1, :2] = 0, 0.5
    np.testing.assert_array_equal(numbers_of(page, "picture"), expected)


def test_everything_by_keyboard(open_view):
    page = open_view("convolution")
    page.locator("#frame").focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert place_of_window(page) == (2, 8)
    page.keyboard.press("ArrowRight")  # there is no ninth
    assert place_of_window(page) == (2, 8)

    page.locator("#picture [tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    for key in ("4", "ArrowRight", " ", "ArrowRight", "-"):
        page.keyboard.press(key)
    np.testing.assert_array_equal(numbers_of(page, "picture")[1, 1:4], [0.4, 0, 0.7])
    assert page.locator("#picture [tabindex='0']").count() == 1
    expect(page.locator("#picture [tabindex='0']")).to_be_focused()

    page.locator("#map [tabindex='0']").focus()
    page.keyboard.press("ArrowLeft")
    assert place_of_window(page) == (2, 7)
    expect(page.locator("#map [aria-selected=true]")).to_be_focused()

    before = page.locator("#reading").inner_text()
    field = page.get_by_label("weight, row 1, column 1")
    field.focus()
    field.press("Control+a")
    page.keyboard.type("-2.5")
    assert field.input_value() == "-2.5"
    assert page.locator("#reading").inner_text() != before
    expect(page.locator("#hint")).to_have_text("Your own filter.")
    kernel = np.array([-2.5, 0, -1, 1, 0, -1, 1, 0, -1]).reshape(3, 3, 1, 1)
    page.locator("#last").click()
    expected = fc.inside.convolve(numbers_of(page, "picture"), kernel, [0])[..., 0]
    np.testing.assert_allclose(numbers_of(page, "map"), expected, atol=0.0051)


def test_a_window_always_fits(open_view):
    """Whatever is chosen, in whatever order, some window fits and nothing is logged."""
    page = open_view("convolution")
    rng = np.random.default_rng(0)
    groups = ("operation", "window", "stride", "padding", "pictures", "filters")
    for _ in range(50):
        buttons = page.locator(f"#{rng.choice(groups)} button:enabled:visible")
        if buttons.count():
            buttons.nth(int(rng.integers(buttons.count()))).click()
        page.locator("#last").click()
        assert np.isfinite(numbers_of(page, "map")).all()
        assert "NaN" not in page.locator("main").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_and_speaks_korean(open_view, theme):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    page = open_view("convolution", f"lang=ko&theme={theme}", **phone)
    expect(page.get_by_role("heading", level=1)).to_have_text("합성곱, 한 칸씩 계산하기")
    assert page.locator("html").get_attribute("lang") == "ko"
    for operation in ("convolution", "max", "average"):
        page.locator(f"#operation [data-value={operation}]").click()
        for window in (2, 3, 5):
            page.locator(f"#window [data-value='{window}']").click()
            assert not scrolls_sideways(page)
        assert without_a_name(page) == []
    page.locator("#operation [data-value=convolution]").click()
    page.locator("#picture").tap(position={"x": 310, "y": 310})
    expect(page.locator("#frame")).to_have_attribute("aria-label", re.compile("^8행 8열"))
    assert not re.search(r"[A-Za-z]{3,}", page.locator("main").inner_text())
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A convolution, cell by cell")
    assert not re.search("[가-힣]", page.locator("main").inner_text())
    assert not scrolls_sideways(page)


def test_it_can_be_embedded(open_view):
    page = open_view("convolution", "lang=en&embed=1")
    expect(page.locator("header.shell")).to_be_hidden()
    expect(page.locator("#play")).to_be_visible()


@pytest.mark.parametrize("view", ["convolution", "learning"])
def test_nothing_is_inline(view):
    text = (PAGE / f"{view}.html").read_text("utf-8")
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"https?://", text)
