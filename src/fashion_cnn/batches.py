"""The training images, batch by batch: in a new order every epoch, augmented as a recipe says.

Order and augmentation depend only on the seed and on the number of the epoch and step, so a
resumed run sees the images that it would have seen without the interruption.
"""

import math

import tensorflow as tf

from fashion_cnn.images import IMAGE_SHAPE, Split
from fashion_cnn.recipe import Recipe

PREFETCHED_BATCHES = 8
_ERASED_SIDES = (3, 14)  # pixels, shortest and longest


def training_batches(
    split: Split, recipe: Recipe, seed: int, *, first_epoch: int
) -> tf.data.Dataset:
    """Return the batches of all epochs in turn, starting with `first_epoch`, counted from 0.

    They are pairs of float32 images (batch, 28, 28, 1) in [0, 1] and int64 labels (batch,).
    """
    steps = math.ceil(len(split.labels) / recipe.batch_size)

    def order_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(split.labels)), seed=[seed, epoch]
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(recipe.batch_size)

    def batch_of(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, labels = _taken(split, indices)
        step_seed = tf.random.fold_in([seed, 0], step)
        if recipe.flip or recipe.shift:
            batch = _moved(batch, recipe, tf.random.fold_in(step_seed, 1))
        if recipe.erasing:
            batch = _erased(batch, recipe.erasing, tf.random.fold_in(step_seed, 2))
        return batch, labels

    return _prefetched(
        tf.data.Dataset.range(first_epoch, recipe.epochs)
        .flat_map(order_of)
        .enumerate(start=first_epoch * steps)
        .map(batch_of)
    )


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Return every image once, in order, in batches like those of `training_batches`."""
    n = len(split.labels)
    return _prefetched(
        tf.data.Dataset.range(0, n, batch_size).map(
            lambda start: _taken(split, tf.range(start, tf.minimum(start + batch_size, n)))
        )
    )


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prepare a few batches ahead, without autotuning.

    TensorFlow 2.21's autotuner sleeps for up to a minute at a time, and the end of a run often
    waits until it wakes up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(PREFETCHED_BATCHES).with_options(options)


def _taken(split: Split, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Take images and labels from NumPy's arrays: tensors would hold a second copy in memory."""
    images, labels = tf.numpy_function(
        lambda chosen: (split.images[chosen], split.labels[chosen]),
        [indices],
        [split.images.dtype, split.labels.dtype],
        stateful=False,
    )
    images = tf.ensure_shape(images, [None, *IMAGE_SHAPE, 1])
    return tf.cast(images, tf.float32), tf.ensure_shape(labels, [None])


def _moved(images: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Mirror half of the images if asked to, and shift each by up to `recipe.shift` pixels."""
    n = tf.shape(images)[0]
    height, width = IMAGE_SHAPE
    shift = recipe.shift
    offsets = tf.random.stateless_uniform([2, n, 1], seed, 0, 2 * shift + 1, tf.int32)
    rows = offsets[0] + tf.range(height)  # (n, 28), into the padded image
    columns = tf.tile(tf.range(width)[tf.newaxis], [n, 1])
    if recipe.flip:
        is_mirrored = tf.random.stateless_uniform([n, 1], tf.random.fold_in(seed, 1)) < 0.5
        columns = tf.where(is_mirrored, width - 1 - columns, columns)
    columns += offsets[1]
    padded_width = width + 2 * shift
    padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]])
    pixels = rows[:, :, tf.newaxis] * padded_width + columns[:, tf.newaxis, :]  # (n, 28, 28)
    moved = tf.gather(
        tf.reshape(padded, [n, (height + 2 * shift) * padded_width]),
        tf.reshape(pixels, [n, height * width]),
        batch_dims=1,
    )
    return tf.reshape(moved, [n, height, width, 1])


def _erased(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Fill a random rectangle of some images with one random grey (arXiv:1708.04896)."""
    n = tf.shape(images)[0]
    shortest, longest = _ERASED_SIDES
    sides = tf.random.stateless_uniform([2, n, 1], seed, shortest, longest + 1, tf.int32)
    chances = tf.random.stateless_uniform([4, n, 1], tf.random.fold_in(seed, 1))

    def is_inside(axis: int) -> tf.Tensor:
        """Tell which of the 28 rows or columns the rectangle covers: bool (n, 28)."""
        size = IMAGE_SHAPE[axis]
        room = tf.cast(size - sides[axis] + 1, tf.float32)
        start = tf.cast(chances[axis] * room, tf.int32)
        position = tf.range(size)
        return (position >= start) & (position < start + sides[axis])

    is_erased = is_inside(0)[:, :, tf.newaxis] & is_inside(1)[:, tf.newaxis, :]
    is_erased &= chances[2][:, :, tf.newaxis] < probability
    return tf.where(is_erased[..., tf.newaxis], chances[3][:, :, tf.newaxis, tf.newaxis], images)
