import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

import fashion_cnn as fc
from fashion_cnn.batches import evaluation_batches, training_batches

PLAIN = fc.Recipe(learning_rate=1e-3, batch_size=4, epochs=50, patience=2)
STEPS = 3  # of 10 images in batches of 4


@pytest.fixture
def ten(tiny):
    """One image of each class, so that a label identifies its image."""
    chosen = [int(np.flatnonzero(tiny.train.labels == label)[0]) for label in range(10)]
    return fc.Split(tiny.train.images[chosen], tiny.train.labels[chosen])


def batches(split, recipe, *, seed=3, first_epoch=0):
    dataset = training_batches(split, recipe, seed, first_epoch=first_epoch)
    return [(images, labels) for images, labels in dataset.as_numpy_iterator()]


def epochs(split, recipe):
    """All images and labels of every epoch."""
    all_batches = batches(split, recipe)
    return [
        [np.concatenate(parts) for parts in zip(*all_batches[n : n + STEPS], strict=True)]
        for n in range(0, len(all_batches), STEPS)
    ]


def test_each_epoch_has_every_image_once_in_another_order(ten):
    orders = []
    for images, labels in epochs(ten, PLAIN):
        assert sorted(labels) == list(range(10))
        np.testing.assert_array_equal(images, ten.images[labels])
        orders.append(tuple(labels))
    assert len(set(orders)) == len(orders) == PLAIN.epochs
    assert [len(labels) for _, labels in batches(ten, PLAIN)[:STEPS]] == [4, 4, 2]


@pytest.mark.parametrize(
    ("passes", "sizes"), [(1.4, [4, 4, 4, 2]), (0.5, [4, 1]), (2, [4] * 5), (0.01, [1])]
)
def test_passes_are_how_often_an_epoch_sees_the_images(ten, passes, sizes):
    recipe = PLAIN.replace(passes=passes, epochs=20)
    parts = [labels for _, labels in batches(ten, recipe)]
    assert [len(labels) for labels in parts] == 20 * sizes
    seen = np.concatenate(parts).reshape(20, sum(sizes))
    for epoch in seen:
        counts = np.bincount(epoch[: 10 * int(passes)], minlength=10)
        assert (counts == int(passes)).all()  # the whole passes, then a part of another one
        assert np.bincount(epoch[10 * int(passes) :], minlength=1).max() <= 1
    assert len(set(map(tuple, seen))) > 1
    later = [labels for _, labels in batches(ten, recipe, first_epoch=7)]
    np.testing.assert_array_equal(np.concatenate(later), seen[7:].ravel())


def test_later_epochs_are_the_same_when_earlier_ones_are_left_out(ten):
    recipe = PLAIN.replace(flip=True, shift=2, erasing=0.5, epochs=4)
    for (images, labels), (later_images, later_labels) in zip(
        batches(ten, recipe)[2 * STEPS :], batches(ten, recipe, first_epoch=2), strict=True
    ):
        np.testing.assert_array_equal(images, later_images)
        np.testing.assert_array_equal(labels, later_labels)
        assert (images.dtype, images.shape[1:]) == (np.float32, (28, 28, 1))
        assert 0 <= images.min() <= images.max() <= 1
    for (images, _), (other_images, _) in zip(
        batches(ten, recipe), batches(ten, recipe, seed=4), strict=True
    ):
        assert (images != other_images).any()


def test_flips_and_shifts_are_all_there_equally_often(ten):
    """SciPy moves the images; every way must occur about equally often."""
    ways = list(itertools.product((False, True), (-1, 0, 1), (-1, 0, 1)))

    def moved(image, way):
        mirrored, down, right = way
        image = image[:, ::-1] if mirrored else image
        return ndimage.shift(image[..., 0], (down, right), order=0)[..., np.newaxis]

    expected = {
        (label, way): moved(ten.images[label], way).tobytes() for label in range(10) for way in ways
    }
    recipe = PLAIN.replace(flip=True, shift=1, epochs=20 * len(ways))
    found = dict.fromkeys(ways, 0.0)
    for images, labels in batches(ten, recipe):
        for image, label in zip(images, labels, strict=True):
            # An image may be its own mirror image, and look the same in two ways.
            same = [way for way in ways if expected[label, way] == image.tobytes()]
            assert same
            for way in same:
                found[way] += 1 / len(same)
    # Each way is expected 200 times, with a standard deviation below 15.
    assert all(130 < count < 270 for count in found.values())


def test_erasing_paints_one_grey_rectangle_over_some_images(ten):
    recipe = PLAIN.replace(erasing=0.3, epochs=400)
    erased, greys, covered = 0, [], np.zeros((28, 28))
    for images, labels in epochs(ten, recipe):
        for image, label in zip(images[..., 0], labels, strict=True):
            different = image != ten.images[label, ..., 0]
            if not different.any():
                continue
            erased += 1
            rows, columns = np.flatnonzero(different.any(1)), np.flatnonzero(different.any(0))
            assert rows[-1] - rows[0] < 14
            assert columns[-1] - columns[0] < 14
            greys.append(image[different][0])
            assert (image[different] == greys[-1]).all()
            covered += different
    # 4,000 images: 1,200 ± 29.
    assert 1_050 < erased < 1_350
    assert 0 <= min(greys) < 0.05
    assert 0.95 < max(greys) < 1
    assert covered.all()


def test_evaluation_batches_are_the_split_in_order(ten):
    images, labels = zip(*evaluation_batches(ten, 4).as_numpy_iterator(), strict=True)
    assert [len(batch) for batch in labels] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(images), ten.images)
    np.testing.assert_array_equal(np.concatenate(labels), ten.labels)


def test_an_augmentation_of_ones_own_comes_first_and_is_given_a_seed(ten):
    def darken(images, seed):
        return images * tf.random.stateless_uniform([], seed)

    recipe = PLAIN.replace(flip=True, epochs=2)

    def factors(seed):
        dataset = training_batches(ten, recipe, seed, first_epoch=0, augment=darken)
        for images, labels in dataset.as_numpy_iterator():
            assert images.shape == (len(labels), 28, 28, 1)
            yield float(np.max(images.max(axis=(1, 2, 3)) / ten.images[labels].max(axis=(1, 2, 3))))

    first = list(factors(3))
    assert len(set(first)) == 2 * STEPS  # another one in every step
    assert first == list(factors(3)) != list(factors(4))
