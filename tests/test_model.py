import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import softmax

import fashion_cnn as fc


def test_layers_are_the_tutorials():
    """Kind, output shape, parameters."""
    model = fc.build_cnn()
    layers = [(type(x).__name__, x.output.shape, x.count_params()) for x in model.layers]
    assert layers == [
        ("Conv2D", (None, 28, 28, 32), 320),
        ("MaxPooling2D", (None, 14, 14, 32), 0),
        ("Conv2D", (None, 14, 14, 64), 18_496),
        ("MaxPooling2D", (None, 7, 7, 64), 0),
        ("Flatten", (None, 3136), 0),
        ("Dense", (None, 100), 313_700),
        ("Dropout", (None, 100), 0),
        ("Dense", (None, 10), 1_010),
    ]
    assert model.get_layer("dropout").rate == 0.4


def convolution(images, kernel, bias):
    """Same padding, stride 1, by hand: every 3×3 window times the kernel, plus the bias."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))  # (n, h, w, in, 3, 3)
    return np.einsum("nhwcij,ijcf->nhwf", windows, kernel) + bias


def max_pooling(maps):
    n, height, width, count = maps.shape
    return maps.reshape(n, height // 2, 2, width // 2, 2, count).max(axis=(2, 4))


def forward_by_hand(weights, images):
    kernel1, bias1, kernel2, bias2, dense1, bias3, dense2, bias4 = (
        w.astype(np.float64) for w in weights
    )
    maps = max_pooling(np.maximum(convolution(images.astype(np.float64), kernel1, bias1), 0))
    maps = max_pooling(np.maximum(convolution(maps, kernel2, bias2), 0))
    hidden = np.maximum(maps.reshape(len(maps), -1) @ dense1 + bias3, 0)
    return softmax(hidden @ dense2 + bias4, axis=1)


def test_output_agrees_with_numpy(trained, tiny):
    model, *_ = trained
    images = tiny.test.images[:20]
    expected = forward_by_hand(model.get_weights(), images)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("filters", [32, {32, 64}, (32,), (32, 64, 96)])
def test_filters_are_a_pair(filters):
    with pytest.raises(ValueError, match="expected filters for two convolutions"):
        fc.build_cnn(filters=filters)


def test_whatever_the_settings_of_keras_say(tmp_path):
    fc.build_cnn(filters=(2, 3)).save(tmp_path / "model.keras")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        models = fc.build_cnn(), fc.load_model(), fc.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_dtype_policy("float32")
    for model in models:
        assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
        assert model.layers[1].output.shape[:3] == (None, 14, 14)
        assert model.layers[2].data_format == "channels_last"


def test_plain_keras_works_on_it(tiny):
    history = fc.build_cnn().fit(*tiny.train, validation_data=tiny.validation, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
