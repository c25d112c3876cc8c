"""What the layers compute, against Keras and against slower ways."""

import keras
import numpy as np
import pytest

import fashion_cnn as fc


def test_layer_outputs_are_the_models(packaged, tiny):
    images = tiny.test.images[:5]
    outputs = fc.inside.layer_outputs(packaged, images)
    assert list(outputs) == [layer.name for layer in packaged.layers]
    kernels, biases = packaged.get_layer("conv1").get_weights()
    for image, maps in zip(images, outputs["conv1"], strict=True):
        np.testing.assert_allclose(
            maps, np.maximum(0, fc.inside.convolve(image, kernels, biases)), atol=1e-5
        )
    np.testing.assert_allclose(outputs["output"], packaged.predict(images, verbose=0), atol=1e-6)
    # Dropout does nothing in prediction, and one image is taken as predict takes it.
    np.testing.assert_array_equal(outputs["dropout"], outputs["hidden"])
    one = fc.inside.layer_outputs(packaged, images[0, ..., 0])
    np.testing.assert_allclose(one["pool2"][0], outputs["pool2"][0], atol=1e-5)


def test_occlusion_map_by_hiding_one_patch_at_a_time(packaged, tiny):
    image = tiny.test.images[3]
    label = int(tiny.test.labels[3])
    drops = fc.inside.occlusion_map(packaged, image, label, patch=5)
    assert drops.shape == (28, 28)
    whole = packaged.predict(image[np.newaxis], verbose=0)[0, label]
    mean_grey = image[image > 0].mean()
    for row, column in [(0, 0), (13, 14), (27, 5)]:
        hidden = image.copy()
        hidden[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = mean_grey
        without = packaged.predict(hidden[np.newaxis], verbose=0)[0, label]
        assert drops[row, column] == pytest.approx(whole - without, abs=1e-5)


@pytest.mark.parametrize(
    ("label", "patch", "message"),
    [(10, 5, "label from 0 to 9, got 10"), (0, 4, "odd patch"), (0, 29, "odd patch")],
)
def test_occlusion_map_refuses(packaged, tiny, label, patch, message):
    with pytest.raises(ValueError, match=message):
        fc.inside.occlusion_map(packaged, tiny.test.images[0], label, patch=patch)


def test_layer_table_is_the_published_one():
    """Outputs and parameters are the tutorial's; receptive fields, found in two ways, agree."""
    table = fc.inside.layer_table(fc.build_cnn())
    assert " ".join(table.index) == "conv1 pool1 conv2 pool2 flatten hidden dropout output"
    shapes = "28×28×32 14×14×32 14×14×64 7×7×64 3136 100 100 10"
    assert " ".join("×".join(map(str, shape)) for shape in table["output"]) == shapes
    assert table["parameters"].tolist() == [320, 0, 18_496, 0, 0, 313_700, 0, 1_010]
    # Dumoulin and Visin's arithmetic: 3; 3 + 1; 4 + 2·2; 8 + 2; then all of the image.
    assert table["receptive field"].tolist() == [3, 4, 8, 10, 10, 28, 28, 28]
    assert (table["parameters"] == table["counted by Keras"]).all()
    assert (table["receptive field"] == table["measured"]).all()


@pytest.mark.parametrize("is_functional", [False, True])
def test_other_networks(tiny, is_functional):
    """The measurement does not know the formula, so the two agree only if both are right."""
    layers = [
        keras.layers.Conv2D(4, 5, strides=2, padding="same", bias_initializer="ones"),
        keras.layers.BatchNormalization(scale=False),
        keras.layers.Activation("tanh"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Conv2D(3, 3, padding="valid", use_bias=False),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    image = output = keras.Input((28, 28, 1))
    for layer in layers:
        output = layer(output)
    model = keras.Model(image, output) if is_functional else keras.Sequential([image, *layers])
    table = fc.inside.layer_table(model)
    assert table["receptive field"].tolist() == table["measured"].tolist()
    assert table["parameters"].tolist() == table["counted by Keras"].tolist()
    outputs = fc.inside.layer_outputs(model, tiny.test.images[:5])
    assert list(outputs) == list(table.index) == [layer.name for layer in layers]
    expected = model.predict(tiny.test.images[:5], verbose=0)
    np.testing.assert_allclose(outputs[layers[-1].name], expected, atol=1e-5)


UNBUILT = r"is built, got .* model\.build\(.*one by one"
MAXIMUM = [keras.Input((28, 28, 1)), keras.layers.GlobalMaxPooling2D()]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Sequential([keras.layers.Flatten()]), UNBUILT),
        (type("Subclassed", (keras.Model,), {})(), UNBUILT),
        (keras.Sequential(MAXIMUM), r"got GlobalMaxPooling2D; model\.summary\(\) describes"),
    ],
)
def test_other_models_are_told_keras_own_way(tiny, model, message):
    with pytest.raises(ValueError, match=message):
        fc.inside.layer_table(model)
    if message == UNBUILT:
        with pytest.raises(ValueError, match=message):
            fc.inside.layer_outputs(model, tiny.test.images)
