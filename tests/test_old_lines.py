"""Check what docs/old-keras.md says about the lines of the note that no longer work."""

import contextlib
import logging
import warnings

import keras
import numpy as np
import pytest

import fashion_cnn as fc


def test_metrics_as_a_word_fail_and_saving_as_h5_warns(tmp_path, caplog):
    def fit(metrics, ending=".keras"):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        model.compile(loss="sparse_categorical_crossentropy", metrics=metrics)
        checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / f"best{ending}")
        model.fit(np.zeros((4, 2)), np.zeros(4), callbacks=[checkpoint], verbose=0)
        return any("legacy" in record.getMessage() for record in caplog.records)

    with pytest.raises(ValueError, match="metrics"):
        fit("accuracy")
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert not fit(["accuracy"])
        with contextlib.suppress(ValueError):  # early Keras 3 even refuses it
            assert fit(["accuracy"], ".h5")


def test_input_shape_in_a_layer_warns_and_an_input_does_not():
    with pytest.warns(UserWarning, match="input_shape"):
        keras.Sequential([keras.layers.Conv2D(2, 3, input_shape=(28, 28, 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.build_cnn()
