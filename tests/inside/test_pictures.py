import itertools

import numpy as np

import fashion_cnn as fc


def test_plot_filters_has_one_scale_for_all(packaged):
    kernels = [
        net.get_layer("conv1").get_weights()[0][:, :, 0] for net in (fc.build_cnn(), packaged)
    ]
    figure = fc.inside.plot_filters(dict(zip(("before", "after"), kernels, strict=True)))
    panels = [ax for ax in figure.axes if ax.images]
    assert len(panels) == 64
    assert len({ax.images[0].get_clim() for ax in panels}) == 1
    low, high = panels[0].images[0].get_clim()
    assert low == -high  # so that 0 is white
    for number, ax in enumerate(panels):
        kernel = kernels[number // 32][..., number % 32]
        np.testing.assert_array_equal(ax.images[0].get_array(), kernel)
        assert ax.get_title() == str(number % 32)
    histograms = [ax for ax in figure.axes if len(ax.patches) == 30]
    assert [ax.get_title() for ax in histograms] == ["before", "after"]
    for ax in histograms:
        assert sum(bar.get_height() for bar in ax.patches) == 9 * 32


def test_plot_feature_maps_numbers_every_map():
    maps = np.random.default_rng(0).random((7, 7, 10))
    figure = fc.inside.plot_feature_maps(maps, columns=4)
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels] == [str(number) for number in range(10)]
    for number, ax in enumerate(panels):
        np.testing.assert_array_equal(ax.images[0].get_array(), maps[..., number])
        assert ax.images[0].get_clim() == (-maps.max(), maps.max())  # white is 0
    chosen = fc.inside.plot_feature_maps(maps[..., [7, 2]], [7, 2])
    assert [ax.get_title() for ax in chosen.axes if ax.images] == ["7", "2"]


def frames(ax):
    """Return left, top, width and height of the frames, in pixels of the image."""
    return [
        (*np.add(patch.get_xy(), 0.5), patch.get_width(), patch.get_height())
        for patch in ax.patches
    ]


def test_receptive_fields_are_nested_squares(packaged, tiny):
    ax = fc.inside.plot_receptive_fields(packaged, tiny.test.images[0], 3, 2)
    sides = [width for *_, width, height in frames(ax) if width == height]
    assert sides == [3, 4, 8, 10]  # as in the published arithmetic, see layer_table
    for (x, y, width, height), (x2, y2, width2, height2) in itertools.pairwise(frames(ax)):
        assert x2 <= x
        assert y2 <= y
        assert x2 + width2 >= x + width
        assert y2 + height2 >= y + height
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["conv1: 3×3", "pool1: 4×4", "conv2: 8×8", "pool2: 10×10"]


def test_patches_are_what_lies_in_the_frames(tiny):
    fields = [(slice(3, 11), slice(0, 6)), (slice(20, 28), slice(9, 17))]
    figure = fc.inside.plot_patches(tiny.test.images[:2], fields, ["one", "two"])
    image_axes, part_axes = figure.axes[:2], figure.axes[2:]
    assert [ax.get_title() for ax in image_axes] == ["one", "two"]
    assert [frames(ax) for ax in image_axes] == [[(0, 3, 6, 8)], [(9, 20, 8, 8)]]
    for ax, image, field in zip(part_axes, tiny.test.images, fields, strict=False):
        np.testing.assert_array_equal(ax.images[0].get_array(), image[..., 0][field])


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


def test_plot_occlusion_has_zero_in_the_middle_of_its_scale(tiny):
    drops = np.zeros((28, 28))
    drops[3, 4] = -0.2
    drops[5, 6] = 0.5
    figure = fc.inside.plot_occlusion(tiny.test.images[0], drops)
    shown = figure.axes[1].images[0]
    np.testing.assert_array_equal(shown.get_array(), drops)
    assert shown.get_clim() == (-0.5, 0.5)


def test_integers_are_drawn_as_predict_reads_them(packaged, tiny):
    image = tiny.test.images[0]
    integers = np.rint(255 * image[..., 0]).astype(np.uint8)
    for figure in (
        fc.inside.plot_receptive_fields(packaged, integers, 3, 2).figure,
        fc.inside.plot_patches([integers], [(slice(0, 8), slice(0, 8))], ["one"]),
        fc.inside.plot_layers(integers, fc.inside.layer_outputs(packaged, image)),
        fc.inside.plot_occlusion(integers, np.zeros((28, 28))),
    ):
        shown = figure.axes[0].images[0].get_array()
        np.testing.assert_allclose(shown, image[..., 0], atol=1e-6)
