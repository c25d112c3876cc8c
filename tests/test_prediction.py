import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

import fashion_cnn as fc
from fashion_cnn.images import as_images
from fashion_cnn.unlikeness import unlikeness


@pytest.mark.parametrize("n", [199, 600])  # the last batch is not full; more than one batch
def test_evaluate_agrees_with_scikit_learn(trained, tiny, n):
    images, labels = tiny.train.images[:n], tiny.train.labels[:n]
    probabilities = trained[0].predict(images, verbose=0).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    loss, accuracy = fc.evaluate(trained[0], fc.Split(images, labels))
    assert loss == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-4)
    assert accuracy == accuracy_score(labels, probabilities.argmax(axis=1))


def test_evaluate_does_not_depend_on_compile(tiny):
    model = fc.build_cnn()
    expected = fc.evaluate(model, tiny.test)
    model.compile(optimizer="sgd", loss="mse")
    assert fc.evaluate(model, tiny.test) == expected


def test_predict_agrees_with_keras(trained, tiny):
    model, *_ = trained
    for image in tiny.test.images[:5]:
        expected = model.predict(image[np.newaxis], verbose=0)[0]
        prediction = fc.predict(model, image)
        np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
        assert prediction.label == expected.argmax()
        assert prediction.class_name == fc.CLASS_NAMES[expected.argmax()]
        assert prediction.probability == pytest.approx(expected.max(), abs=1e-6)
        assert prediction.probabilities.shape == (10,)
        assert prediction.probabilities.dtype == np.float32


def test_what_predict_takes_every_picture_takes(trained, tiny):
    """And draws alike; `evaluate` takes several of them."""
    image = np.rint(tiny.test.images[0] * 255) / np.float32(255)
    expected = fc.predict(trained[0], image)
    for shape in ((28, 28), (28, 28, 1), (1, 28, 28, 1), (1, 28, 28)):
        for dtype in ("uint8", ">i2", "int64", "float32", "float64", "longdouble", "list"):
            given = np.rint(image * 255) if "i" in dtype[:2] and dtype != "list" else image
            given = given.reshape(shape)
            given = given.tolist() if dtype == "list" else given.astype(dtype)
            answer = fc.predict(trained[0], given)
            np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-5)
            evaluation = fc.evaluate(trained[0], (given, [expected.label]))
            assert evaluation == pytest.approx((-np.log(expected.probability), 1), abs=1e-4)
            for figure in (fc.plot_images(given), fc.plot_prediction(given, answer)):
                drawn = figure.axes[0].images[0]
                assert drawn.get_clim() == (0, 1)
                np.testing.assert_allclose(drawn.get_array(), image[..., 0], atol=1e-6)
                plt.close(figure)
    np.testing.assert_array_equal(as_images(image), image[np.newaxis])
    assert np.shares_memory(as_images(tiny.test.images), tiny.test.images)


def test_what_prepare_photo_returns_is_taken(trained):
    """Pictures of 28×28 pixels are the hard ones: they stay as they are."""
    for values in ((0, 2), (0, 255), (100, 103), (250, 255)):
        photo = np.full((28, 28), values[1], np.uint8)
        photo[9:19, 9:19] = values[0]
        for given in (photo, 255 - photo):
            assert fc.predict(trained[0], fc.prepare_photo(given)).probabilities.shape == (10,)


def test_prediction_prints_as_one_line(trained):
    probabilities = np.eye(10, dtype=np.float32)[8]
    prediction = fc.Prediction(8, "Bag", 0.98765, probabilities, 0.414)
    assert repr(prediction) == (
        "Prediction(label=8, class_name='Bag', probability=0.9877, unlikeness=0.41)"
    )
    noise = np.random.default_rng(0).random((28, 28, 1)).astype(np.float32)
    prediction = fc.predict(trained[0], noise)
    assert prediction.unlikeness == pytest.approx(unlikeness(noise[np.newaxis])[0])
    assert prediction.unlikeness > 1
    assert f"remark={prediction.remark!r}" in repr(prediction)
    assert "does not look like the clothes" in repr(prediction)


def test_swapped_arguments_are_one_sentence(trained, tiny):
    first = "expected a Keras model first, got"
    with pytest.raises(TypeError, match=rf"{first} ndarray; call predict\(model, image\)"):
        fc.predict(tiny.test.images[0], trained[0])
    with pytest.raises(TypeError, match=rf"{first} Split; call evaluate\(model, split\)"):
        fc.evaluate(tiny.test, trained[0])


ONE = np.full((28, 28), 0.5, np.float32)
NO_IMAGES = [
    (ONE * 255, "divide by 255"),
    (ONE / 255, "divided by 255 twice"),
    (np.eye(28).astype(int), "got int64 up to 1; use bool for 0 and 1"),
    (ONE - 1, r"in \[0, 1\]"),
    (np.where(np.eye(28) > 0, np.nan, ONE), "NaN"),
    (np.full((28, 28), 256), "integers from 0 to 255"),
    (np.full((28, 28), -1), "integers from 0 to 255"),
    (np.zeros((28, 27)), r"got \(28, 27\).*Resize"),
    (np.zeros((1, 1, 28, 28)), r"moveaxis\(images, -3, -1\)"),
    (np.zeros((28, 28, 3)), r"grey pixels, as prepare_photo\(image\)"),
    (np.zeros((5, 784)), r"Reshape rows of 784 pixels: np\.reshape"),
    (np.zeros((0, 28, 28, 1)), "empty"),
    ([[1], [1, 2]], r"of shape \(n, 28, 28, 1\)"),
    (5, r"got \(\)"),
    ("shoe.jpg", r"prepare_photo\(path\)"),
    (np.full((28, 28), None), "dtype object"),
]


@pytest.mark.parametrize(("images", "message"), NO_IMAGES)
def test_what_predict_refuses_every_door_refuses(trained, images, message):
    answer = fc.Prediction(0, "", 1, np.eye(10, dtype=np.float32)[0], 0)
    for call in (
        lambda: fc.predict(trained[0], images),
        lambda: fc.evaluate(trained[0], (images, [0])),
        lambda: fc.plot_images(images),
        lambda: fc.plot_prediction(images, answer),
    ):
        with pytest.raises(ValueError, match=f"^expected .*{message}") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_predict_refuses_several_images(trained, tiny):
    advice = r"images\[0\], or .* of many, .* model\.predict\(images\)"
    with pytest.raises(ValueError, match=f"expected one image, got 200; pass {advice}"):
        fc.predict(trained[0], tiny.test.images[:200])


IMAGES = np.full((20, 28, 28, 1), 0.5, np.float32)
LABELS = np.arange(20) % 10


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:19], r"shape \(20,\), got \(19,\)"),
        (np.eye(10)[LABELS], r"labels.argmax\(axis=1\)"),
        (LABELS.astype(float), "dtype float64"),
        (LABELS + 1, "got 1 to 10"),
        (LABELS - 1, "got -1 to 8"),
    ],
)
def test_labels_are_refused_at_every_door(trained, labels, message):
    for call in (
        lambda: fc.evaluate(trained[0], (IMAGES, labels)),
        lambda: fc.plot_images(IMAGES, labels),
        lambda: fc.plot_images(IMAGES, LABELS, labels),
    ):
        with pytest.raises(ValueError, match=f"^expected .*labels .*{message}"):
            call()


@pytest.mark.parametrize("name", ["train", "validation"])
def test_what_evaluate_refuses_train_refuses_before_it_trains(tiny, tmp_path, name):
    model, checkpoint = fc.build_cnn(filters=(2, 3)), tmp_path / "best.keras"
    checkpoint.write_bytes(b"an earlier model")
    weights = model.get_weights()
    for images, labels, message in (
        (IMAGES * 255, LABELS, "images .*divide by 255"),
        (IMAGES[:, :14], LABELS, "images .*28×28"),
        (IMAGES, LABELS[:19], r"labels .*\(20,\), got \(19,\)"),
        (IMAGES, np.eye(10)[LABELS], "labels .*argmax"),
    ):
        data = tiny._replace(**{name: fc.Split(images, labels)})
        with pytest.raises(ValueError, match=f"{name} {message}"):
            fc.train(model, data, checkpoint=checkpoint, verbose=0)
    assert checkpoint.read_bytes() == b"an earlier model"
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def network(output, inputs=(28, 28, 1)):
    image = keras.Input(inputs)
    return keras.Model(image, output(keras.layers.Flatten()(image)))


def with_weights_of(value):
    model = fc.build_cnn(filters=(2, 3), dense_units=5)
    model.set_weights([np.full_like(weights, value) for weights in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(keras.layers.Dense(7, "softmax")), r"\(n, 10\).* got \(None, 7\)"),
        (
            lambda: network(keras.layers.Dense(10, "sigmoid")),
            "probabilities, which sum to 1 .* softmax",
        ),
        (
            lambda: network(keras.layers.Dense(10)),
            r"model.add\(keras.layers.Softmax\(\)\)",
        ),
        (lambda: network(lambda x: {"a": keras.layers.Dense(10, "softmax")(x)}), "one output of"),
        (
            lambda: network(lambda x: [keras.layers.Dense(10, "softmax")(x) for _ in range(2)]),
            r"one output of shape \(n, 10\).* got \[",
        ),
        (lambda: network(keras.layers.Dense(10, "softmax"), (32, 32, 3)), "one for .*32, 32, 3"),
        (lambda: with_weights_of(3e38), "weights must be finite"),
    ],
)
def test_models_that_cannot_answer(tiny, make, message):
    model = make()
    for ask in (
        lambda: fc.evaluate(model, tiny.test),
        lambda: fc.predict(model, tiny.test.images[0]),
    ):
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_network_that_takes_images_without_the_last_axis(tiny):
    """The book's own dense network does; Keras drops the axis."""
    layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model, image = keras.Sequential(layers), tiny.test.images[0]
    expected = model.predict(image.reshape(1, 28, 28), verbose=0)[0]
    np.testing.assert_allclose(fc.predict(model, image).probabilities, expected, rtol=1e-5)
    never_called = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    assert fc.predict(never_called, image).probability > 0.1


@pytest.mark.parametrize(
    "split", [None, 5, "test", ONE, (None, None), (1, 2, 3), ([[1], [1, 2]], [0])]
)
def test_evaluate_refuses_what_is_no_split(trained, tiny, split):
    with pytest.raises(ValueError, match=r"^expected .*(images|pair)"):
        fc.evaluate(trained[0], split)
    with pytest.raises(ValueError, match=r"such as data\.validation, got 4 parts"):
        fc.evaluate(trained[0], tiny)


@pytest.mark.parametrize(
    ("largest", "unlikeness", "language", "expected"),
    [
        (0.6, 1.0, "en", ""),
        (0.59, 0.2, "en", "I am not sure: it could also be Coat"),
        (0.59, 0.2, "ko", "확실하지 않습니다. 코트일 수도 있습니다"),
        (0.99, 1.01, "en", "This does not look like the clothes I learned from: "),
        (0.2, 1.01, "ko", "학습한 옷과 비슷하지 않습니다."),
    ],
)
def test_remark(largest, unlikeness, language, expected):
    """Label 6 is a shirt, 4 a coat."""
    probabilities = np.zeros(10, np.float32)
    probabilities[[6, 4, 0]] = largest, (1 - largest) * 0.6, (1 - largest) * 0.4
    fc.use_language(language)
    remark = fc.Prediction(6, "Shirt", largest, probabilities, unlikeness).remark
    assert remark.startswith(expected)
    assert bool(remark) == bool(expected)
