import keras
import numpy as np
import pytest

from fashion_cnn.unlikeness import NETWORK, unlikeness


def test_unlikeness_is_what_keras_computes(tiny):
    """The same weights in a Keras network."""
    with np.load(NETWORK) as file:
        weights = [file[name].astype(np.float32) for name in file.files]
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(weights[1].size, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Conv2D(weights[3].size, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(weights[5].size, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.set_weights(weights)
    noise = np.random.default_rng(0).random((600, 28, 28, 1), np.float32)
    images = np.concatenate([tiny.test.images[:100], noise, np.zeros((1, 28, 28, 1), np.float32)])
    expected = 2 * network.predict(images, verbose=0)[:, 0]
    np.testing.assert_allclose(unlikeness(images), expected, atol=1e-4)
    assert NETWORK.stat().st_size < 60_000


@pytest.mark.real_data
def test_about_one_in_a_hundred_real_images_is_unlike_the_others(real):
    assert np.mean(unlikeness(real.test.images) > 1) == pytest.approx(0.01, abs=0.003)
