import numpy as np
import pytest
from scipy.signal import correlate2d

import fashion_cnn as fc

EDGE = np.array([[1, 0, -1]] * 3)


def frames(ax):
    """Return row, column, height and width of the green frames, whose lines are the thickest."""
    boxes = [patch for patch in ax.patches if patch.get_linewidth() > 2]
    return [tuple(np.round([b.get_y(), b.get_x(), b.get_height(), b.get_width()])) for b in boxes]


def test_plot_grids_draws_images_grey_and_numbers_around_white(tiny):
    image = tiny.test.images[0]
    feature_map = correlate2d(image[..., 0], EDGE, "valid")
    window = image[9:12, 3:6]
    figure = fc.inside.plot_grids(
        [image, window, EDGE, feature_map], ["one", "two", "three", "four"], images=2
    )
    image_ax, window_ax, edge_ax, map_ax = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["one", "two", "three", "four"]
    np.testing.assert_allclose(image_ax.images[0].get_array(), image[..., 0], atol=1e-6)
    assert image_ax.images[0].get_clim() == (0, 1)
    largest = np.abs(feature_map).max()
    assert map_ax.images[0].get_clim() == pytest.approx((-largest, largest))
    written = [float(text.get_text().replace("−", "-")) for text in edge_ax.texts]
    assert written == EDGE.ravel().tolist()
    written = [float(text.get_text()) for text in window_ax.texts]
    np.testing.assert_allclose(written, window.ravel(), atol=0.005)
    assert not map_ax.texts  # too many to read
    assert figure.get_label().endswith("one, two, three, four")


def test_plot_grids_frames_parts_hatches_padding_and_shares_a_scale():
    padded = np.pad(np.arange(9.0).reshape(3, 3), 1, constant_values=np.nan)
    grids = [padded, EDGE, 5 * EDGE]
    options = {"shared_scale": True, "frames": [None, (0, 1, 3, 2)], "columns": 2}
    figure = fc.inside.plot_grids(grids, **options)
    assert len(figure.axes) == 4  # two rows; the last place is empty
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 16
    assert [ax.images[0].get_clim() for ax in figure.axes[:3]] == [(-8, 8)] * 3
    assert [len(frames(ax)) for ax in figure.axes[:3]] == [0, 1, 0]
    *_corner, height, width = frames(figure.axes[1])[0]
    assert (height, width) == (3, 2)
    without = fc.inside.plot_grids(grids, numbers=False)
    assert not any(ax.texts for ax in without.axes)


@pytest.mark.parametrize("grids", [[], [np.zeros((28, 28, 32))], [np.zeros(9)]])
def test_plot_grids_refuses_other_shapes(grids):
    with pytest.raises(ValueError, match=r"arrays of shape \(height, width\)"):
        fc.inside.plot_grids(grids)


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
        *_, (last_row, last_column, size, _width) = frames(ax)
        assert size == 3
        assert last_row == last_column
        assert ax.patches[-1].get_linestyle() == "--"


def test_plot_layers_shows_all_of_them(packaged, tiny):
    image = tiny.test.images[0]
    outputs = fc.inside.layer_outputs(packaged, image)
    figure = fc.inside.plot_layers(image, outputs)
    shapes = [ax.get_title().split("\n") for ax in figure.axes]
    assert [name for name, _ in shapes] == ["input", *outputs]
    assert shapes[1][1] == "28×28×32"
    # Nothing is lost where maps lie side by side, and gaps are empty.
    for ax, name in zip(figure.axes[1:-1], outputs, strict=False):
        shown = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
        np.testing.assert_allclose(np.nansum(shown), outputs[name].sum(), rtol=1e-4)
    second_map = np.asarray(figure.axes[1].images[0].get_array())[:28, 29:57]
    np.testing.assert_array_equal(second_map, outputs["conv1"][0, ..., 1])
    # Each map has a frame; the four places without one have none.
    assert len(figure.axes[1].patches) == 32
    bars = [bar.get_width() for bar in figure.axes[-1].patches]
    np.testing.assert_allclose(bars, outputs["output"][0])
    integers = np.rint(255 * image[..., 0]).astype(np.uint8)  # drawn as predict reads them
    shown = fc.inside.plot_layers(integers, outputs).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, image[..., 0], atol=1e-6)
