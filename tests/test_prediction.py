import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

import fashion_cnn as fc
from fashion_cnn.unlikeness import unlikeness


def test_evaluate_agrees_with_scikit_learn(trained, tiny):
    model, *_ = trained
    # 199 images: the last batch is not full, and none of it may be dropped or counted double.
    split = fc.Split(tiny.test.images[:199], tiny.test.labels[:199])
    probabilities = model.predict(split.images, batch_size=50, verbose=0).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    loss, accuracy = fc.evaluate(model, split)
    assert loss == pytest.approx(log_loss(split.labels, probabilities), rel=1e-4)
    assert accuracy == accuracy_score(split.labels, probabilities.argmax(axis=1))


def test_evaluate_more_images_than_a_batch(trained, tiny):
    model, *_ = trained
    images, labels = tiny.train
    probabilities = model.predict(images, verbose=0)
    right = np.mean(
        [row.argmax() == label for row, label in zip(probabilities, labels, strict=True)]
    )
    loss = -np.log(probabilities[np.arange(len(labels)), labels].astype(np.float64)).mean()
    assert fc.evaluate(model, tiny.train) == pytest.approx((loss, right), rel=1e-4)


def test_evaluate_does_not_depend_on_compile(tiny):
    model = fc.build_cnn()
    expected = fc.evaluate(model, tiny.test)
    model.compile(optimizer="sgd", loss="mse")
    assert fc.evaluate(model, tiny.test) == expected


@pytest.mark.filterwarnings("ignore::fashion_cnn.UnlikeDataWarning")  # drawn, not photographed
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


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (1, 28, 28, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_predict_takes_these_shapes_and_types(trained, tiny, shape, dtype):
    model, *_ = trained
    image = tiny.test.images[0]
    given = np.rint(image * 255) if dtype in ("uint8", "int64") else image
    prediction = fc.predict(model, given.reshape(shape).astype(dtype))
    np.testing.assert_allclose(
        prediction.probabilities, fc.predict(model, image).probabilities, atol=1e-6
    )


def test_predict_takes_lists(trained, tiny):
    model, *_ = trained
    image = tiny.test.images[0]
    assert fc.predict(model, image.tolist()).label == fc.predict(model, image).label


def test_prediction_prints_as_one_line():
    prediction = fc.Prediction(8, "Bag", 0.98765, np.zeros(10, np.float32), 0.414)
    assert repr(prediction) == (
        "Prediction(label=8, class_name='Bag', probability=0.9877, unlikeness=0.41)"
    )


def test_unlikeness_is_returned_and_the_warning_can_be_left_out(trained):
    model, *_ = trained
    noise = np.random.default_rng(0).random((28, 28, 1)).astype(np.float32)
    prediction = fc.predict(model, noise, warn=False)
    assert prediction.unlikeness == pytest.approx(unlikeness(noise[np.newaxis])[0])
    assert prediction.unlikeness > 1


def test_swapped_arguments_are_one_sentence(trained, tiny):
    model, *_ = trained
    with pytest.raises(
        TypeError, match=r"a Keras model first, got ndarray; call predict\(model, im"
    ):
        fc.predict(tiny.test.images[0], model)
    with pytest.raises(
        TypeError, match=r"a Keras model first, got Split; call evaluate\(model, sp"
    ):
        fc.evaluate(tiny.test, model)


ONE = np.full((28, 28), 0.5, np.float32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ONE * 255, "divide by 255"),
        (ONE / 255, "divided by 255 twice"),
        (ONE - 1, r"in \[0, 1\]"),
        (np.where(np.eye(28) > 0, np.nan, ONE), "NaN"),
        (np.where(np.eye(28) > 0, np.inf, ONE), "infinity"),
        (np.full((28, 28), 256), "integers from 0 to 255"),
        (np.full((28, 28), -1), "integers from 0 to 255"),
        (np.zeros((28, 27)), r"got shape \(28, 27\).*Resize"),
        (np.zeros((1, 28, 28)), "channel axis"),
        (np.zeros((2, 28, 28, 1)), r"one image, images\[0\]"),
        (np.zeros((1, 1, 28, 28)), "channel axis"),
        (np.zeros((28, 28, 3)), "grey"),
        (np.zeros((0, 28, 28, 1)), "empty"),
        ([], "empty"),
        (5, "got shape"),
        ("shoe.jpg", r"prepare_photo\(path\)"),
        (np.full((28, 28), "a"), "dtype"),
        (np.full((28, 28), None), "dtype object"),
        (ONE > 0, "dtype bool"),
    ],
)
def test_predict_refuses(trained, image, message):
    model, *_ = trained
    with pytest.raises(ValueError, match=message):
        fc.predict(model, image)


@pytest.mark.filterwarnings("ignore::fashion_cnn.UnlikeDataWarning")
def test_predict_takes_a_black_image(trained):
    model, *_ = trained
    assert fc.predict(model, np.zeros((28, 28))).probabilities.sum() == pytest.approx(1, abs=1e-5)


IMAGES = np.full((20, 28, 28, 1), 0.5, np.float32)
LABELS = np.arange(20) % 10


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES * 255, LABELS, "divide by 255"),
        ((IMAGES * 255).astype(np.uint8), LABELS, "dtype uint8; divide them by 255"),
        (IMAGES / 255, LABELS, "divided by 255 twice"),
        (IMAGES - 1, LABELS, r"in \[0, 1\]"),
        (IMAGES * np.nan, LABELS, "NaN"),
        (np.full_like(IMAGES, np.inf), LABELS, "infinity"),
        (IMAGES.astype(object), LABELS, "dtype object"),
        (IMAGES[..., 0], LABELS, "newaxis"),
        (np.moveaxis(IMAGES, -1, 1), LABELS, r"moveaxis\(images, -3, -1\)"),
        (IMAGES[0], LABELS[:1], "use predict"),
        (IMAGES[:, :14], LABELS, "28×28"),
        (IMAGES[:0], LABELS[:0], "is empty"),
        (IMAGES, LABELS[:19], r"shape \(20,\), got \(19,\)"),
        (IMAGES, np.eye(10)[LABELS], "argmax"),
        (IMAGES, LABELS.astype(float), "integer dtype"),
        (IMAGES, LABELS + 1, "from 0 to 9, got 1 to 10"),
        (IMAGES, LABELS - 1, "from 0 to 9, got -1 to 8"),
    ],
)
def test_evaluate_and_train_refuse(tiny, tmp_path, images, labels, message):
    split = fc.Split(images, labels)
    model = fc.build_cnn(filters=(2, 3))
    with pytest.raises(ValueError, match=message):
        fc.evaluate(model, split)
    for name in ("train", "validation"):
        checkpoint = tmp_path / "best.keras"
        checkpoint.write_bytes(b"an earlier model")
        weights = model.get_weights()
        with pytest.raises(ValueError, match=f"(?s){name}.*{message}"):
            fc.train(model, tiny._replace(**{name: split}), checkpoint=checkpoint, verbose=0)
        assert checkpoint.read_bytes() == b"an earlier model"
        np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_one_class_only_is_no_mistake(trained, tiny):
    model, *_ = trained
    of_bags = tiny.test.labels == 8
    split = fc.Split(tiny.test.images[of_bags], tiny.test.labels[of_bags])
    assert fc.evaluate(model, split).accuracy > 0.5


def test_evaluate_refuses_a_whole_data_set(trained, tiny):
    model, *_ = trained
    with pytest.raises(ValueError, match=r"such as data\.validation, got 4 parts"):
        fc.evaluate(model, tiny)


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
        (lambda: "best-cnn-model.keras", "expected a Keras model first, got str"),
        (lambda: keras.Sequential, "expected a Keras model first, got type"),
        (lambda: None, "expected a Keras model first, got NoneType"),
        (lambda: network(keras.layers.Dense(7, "softmax")), r"\(n, 10\).* got \(None, 7\)"),
        (lambda: network(keras.layers.Dense(10)), "probabilities, which sum to 1 .* softmax"),
        (
            lambda: network(lambda x: [keras.layers.Dense(10, "softmax")(x) for _ in range(2)]),
            r"one output of shape \(n, 10\).* got \[",
        ),
        (lambda: network(keras.layers.Dense(10, "softmax"), (32, 32, 3)), "one for .*32, 32, 3"),
        (lambda: network(keras.layers.Dense(10, "softmax"), (784,)), "one for .*784"),
        (lambda: with_weights_of(np.nan), "weights must be finite"),
        (lambda: with_weights_of(3e38), "weights must be finite"),
    ],
)
def test_models_that_cannot_answer(tiny, make, message):
    model = make()
    for ask in (
        lambda: fc.evaluate(model, tiny.test),
        lambda: fc.predict(model, tiny.test.images[0], warn=False),
    ):
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_evaluate_takes_lists_and_arrays_of_other_types(trained, tiny):
    expected = fc.evaluate(trained[0], tiny.test)
    images, labels = tiny.test
    for images_, labels_ in [
        (images.tolist(), labels.tolist()),
        (images.astype(">f8"), labels.astype(">i2")),
        (images.astype(np.longdouble), labels.astype(np.uint8)),
    ]:
        assert fc.evaluate(trained[0], (images_, labels_)) == expected


@pytest.mark.parametrize("split", [None, 5, "test", (None, None), ([[1], [1, 2]], [0])])
def test_evaluate_refuses_what_is_no_split(trained, split):
    with pytest.raises(ValueError, match=r"^expected .*(images|pair)"):
        fc.evaluate(trained[0], split)


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
