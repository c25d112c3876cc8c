import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fashion_cnn as fc


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        (slice(0, 100, 2), range(0, 100, 2)),
        (np.arange(200) % 7 == 0, range(0, 200, 7)),
        (np.array([3, 1, -1]), [3, 1, -1]),
        ([3, 1, -1], [3, 1, -1]),
    ],
)
def test_a_part_of_a_split_is_a_split_of_those_images(tiny, key, numbers):
    part = tiny.test[key]
    assert part.size == len(numbers)
    np.testing.assert_array_equal(part.images, [tiny.test.images[i] for i in numbers])
    np.testing.assert_array_equal(part.labels, [tiny.test.labels[i] for i in numbers])


def test_a_split_stays_a_tuple_of_two_also_in_tensorflow(tiny):
    split = tiny.train[:8]
    images, labels = split
    assert (len(split), split.size) == (2, 8)
    for number, part in enumerate((images, labels)):
        assert split[number] is split[np.int64(number)] is split[number - 2] is part
    dataset = tf.data.Dataset.from_tensor_slices(split)
    assert "Split(images of shape (28, 28, 1), labels of shape ())" in repr(dataset)
    for i, element in enumerate(dataset):
        assert "labels of shape ()" in repr(element)
        assert element.labels == labels[i]


@pytest.mark.parametrize("as_given", [np.asarray, Image.fromarray])
def test_bool_is_black_and_white(trained, as_given):
    answers = [fc.predict(trained[0], image) for image in (np.eye(28), as_given(np.eye(28) > 0))]
    np.testing.assert_array_equal(answers[0].probabilities, answers[1].probabilities)
