import base64
import itertools

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from scipy.signal import correlate2d

import fashion_cnn as fc

GRID = np.eye(3)
KERNEL = np.array([[0.0, 1, 0], [0, 2, 0], [0, -1, 0]])


def numbers(ax):
    return [float(text.get_text()) for text in ax.texts]


def outlines(ax):
    """Return position and size of the green frames, whose lines are the thickest."""
    return [
        (patch.get_y() + 0.5, patch.get_x() + 0.5, patch.get_width())
        for patch in ax.patches
        if patch.get_linewidth() > 2
    ]


def test_convolution_step_shows_the_products_and_the_cell(tiny):
    image = tiny.test.images[0]
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3))
    row, column = 9, 20
    figure = fc.inside.plot_convolution_step(image, kernel, -0.25, row, column)
    image_ax, window_ax, kernel_ax, product_ax, map_ax = figure.axes
    window = image[row - 1 : row + 2, column - 1 : column + 2, 0]
    np.testing.assert_allclose(numbers(window_ax), window.ravel(), atol=0.005)
    np.testing.assert_allclose(numbers(kernel_ax), kernel.ravel(), atol=0.005)
    np.testing.assert_allclose(numbers(product_ax), (window * kernel).ravel(), atol=0.005)
    assert outlines(image_ax) == [(row - 1, column - 1, 3)]
    assert outlines(map_ax) == [(row, column, 1)]
    expected = np.maximum(0, correlate2d(image[..., 0], kernel, mode="same") - 0.25)
    np.testing.assert_allclose(map_ax.images[0].get_array(), expected, atol=1e-6)
    total = (window * kernel).sum()
    text = figure.get_supxlabel()
    assert f"sum {total:.3f}" in text
    assert text.endswith(f"= {max(0, total - 0.25):.3f}")


def test_channel_sums_are_those_of_a_convolution_with_each_map():
    rng = np.random.default_rng(0)
    maps, kernel = rng.normal(size=(7, 7, 5)), rng.normal(size=(3, 3, 5))
    row, column, bias = 2, 6, 0.25
    sums = [correlate2d(maps[..., c], kernel[..., c], mode="same")[row, column] for c in range(5)]
    figure = fc.inside.plot_channel_sums(maps, kernel, bias, row, column)
    sum_ax, window_ax, kernel_ax, product_ax = figure.axes
    bars = [bar.get_height() for bar in sum_ax.patches]
    np.testing.assert_allclose(bars, sums)
    colors = [bar.get_facecolor() for bar in sum_ax.patches]
    assert all(
        (red > blue) == (total < 0) for (red, _, blue, _), total in zip(colors, sums, strict=True)
    )
    largest = int(np.abs(sums).argmax())
    assert window_ax.get_title() == f"map {largest}: window ×"
    window = np.pad(maps[..., largest], 1)[row : row + 3, column : column + 3]
    np.testing.assert_allclose(numbers(window_ax), window.ravel(), atol=0.005)
    np.testing.assert_allclose(numbers(kernel_ax), kernel[..., largest].ravel(), atol=0.005)
    np.testing.assert_allclose(
        numbers(product_ax), (window * kernel[..., largest]).ravel(), atol=0.005
    )
    text = figure.get_supxlabel()
    assert f"sum {sum(sums):.3f}" in text
    assert text.endswith(f"= {max(0, sum(sums) + bias):.3f}")


def test_kernels_have_their_weights_written_in_and_one_scale():
    kernels = {"first": KERNEL, "second": -2 * KERNEL}
    figure = fc.inside.plot_kernels(kernels)
    assert [ax.get_title() for ax in figure.axes] == list(kernels)
    for ax, kernel in zip(figure.axes, kernels.values(), strict=True):
        assert numbers(ax) == kernel.ravel().tolist()
        assert ax.images[0].get_clim() == (-4, 4)


@pytest.mark.slow
def test_animation_fills_the_map_and_plays_in_a_saved_notebook(tmp_path):
    """What IPython saves is a PNG, which every viewer shows, with all frames in it."""
    animation = fc.inside.animate_convolution(GRID, KERNEL)
    # Each frame differs from the last: the window moves on.
    pictures = [np.asarray(frame.convert("RGB")) for frame in animation.frames]
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))
    data, _ = DisplayFormatter().format(animation)
    content = data["image/png"]
    content = content if isinstance(content, bytes) else base64.b64decode(content)
    for path in ("moving.gif", "moving.png"):
        animation.save(tmp_path / path)
    assert (tmp_path / "moving.png").read_bytes() == content
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert (picture.n_frames, picture.info["loop"]) == (GRID.size, 0)
            assert picture.info["duration"] == 1500


def test_strides_show_keras_sizes_and_every_place():
    figure = fc.inside.plot_strides(size=7, window=3)
    # Sizes as Keras's layers give them (test_arithmetic.py compares all cases).
    expected = {"same": (7, 4, 3), "valid": (5, 3, 2)}
    for number, ax in enumerate(figure.axes):
        padding, stride = ("same", "valid")[number // 3], number % 3 + 1
        places = expected[padding][stride - 1]
        assert ax.get_title() == f"{padding} padding, stride {stride}\n7×7 → {places}×{places}"
        dots = sum(len(line.get_xdata()) for line in ax.get_lines())
        assert dots == places**2
        hatched = sum(patch.get_hatch() is not None for patch in ax.patches)
        cells = sum(patch.get_width() == 1 for patch in ax.patches)
        assert cells - hatched == 49
        # The last window is outlined too, by a dashed line, on the diagonal.
        *_, (last_row, last_column, size) = outlines(ax)
        assert size == 3
        assert last_row == last_column
        assert ax.patches[-1].get_linestyle() == "--"


def test_pooling_shows_largest_and_mean():
    cells = np.array([[0.0, 7, 3, 10], [6, 2, 9, 5], [1, 8, 4, 0], [7, 3, 10, 6]])
    figure = fc.inside.plot_pooling(cells)
    map_ax, max_ax, mean_ax = figure.axes
    assert numbers(map_ax) == cells.ravel().tolist()
    assert numbers(max_ax) == [7, 10, 8, 10]
    assert numbers(mean_ax) == [3.75, 6.75, 4.75, 5]
    large = fc.inside.plot_pooling(np.random.default_rng(0).normal(size=(28, 28)))
    assert large.axes[1].images[0].get_array().shape == (14, 14)
    assert numbers(large.axes[0]) == []
