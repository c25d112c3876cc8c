import matplotlib.pyplot as plt
import numpy as np
import pytest

import fashion_cnn as fc

plt.switch_backend("agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def test_plot_filters_has_one_scale_for_both(trained):
    model, *_ = trained
    untrained = fc.build_cnn()
    figure = fc.inside.plot_filters(model, untrained)
    panels = [ax for ax in figure.axes if ax.images]
    assert len(panels) == 64
    assert len({ax.images[0].get_clim() for ax in panels}) == 1
    kernels = [np.asarray(net.get_layer("conv1").kernel)[:, :, 0] for net in (untrained, model)]
    for number, ax in enumerate(panels):
        kernel = kernels[number // 32][..., number % 32]
        np.testing.assert_array_equal(ax.images[0].get_array(), kernel)
    histograms = [ax for ax in figure.axes if ax.patches]
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
        assert ax.images[0].get_clim() == (0, maps.max())


def test_plot_layers_shows_all_of_them(trained, tiny):
    model, *_ = trained
    image = tiny.test.images[0]
    outputs = fc.inside.layer_outputs(model, image)
    figure = fc.inside.plot_layers(image, outputs)
    shapes = [line.split("\n") for line in titles(figure)]
    assert [name for name, _ in shapes] == ["input", *outputs]
    assert shapes[1][1] == "28×28×32"
    # Nothing is lost where maps lie side by side, and gaps are empty.
    for ax, name in zip(figure.axes[1:-1], outputs, strict=False):
        shown = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
        np.testing.assert_allclose(np.nansum(shown), outputs[name].sum(), rtol=1e-4)
    second_map = np.asarray(figure.axes[1].images[0].get_array())[:28, 29:57]
    np.testing.assert_array_equal(second_map, outputs["conv1"][0, ..., 1])
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
