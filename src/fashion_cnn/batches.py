"""The training images, batch by batch: in a new order every epoch, augmented as a recipe says.

Order and augmentation depend only on the seed and on the number of the epoch and step, so a
resumed run sees the images that it would have seen without the interruption.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from fashion_cnn.images import IMAGE_SHAPE, Split
from fashion_cnn.recipe import Recipe

Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # images and a seed; changed images


def training_batches(
    split: Split, recipe: Recipe, seed: int, first_epoch: int, augment: Augmentation | None = None
) -> tf.data.Dataset:
    """Return the batches of all epochs in turn, starting with `first_epoch`, counted from 0.

    They are pairs of float32 images (batch, 28, 28, 1) in [0, 1] and int64 labels (batch,). The
    images are changed by `augment`, as `train` describes it, and then as the recipe says.
    """
    n = len(split.labels)
    seen, steps = epoch_size(split, recipe)
    shuffles = math.ceil(seen / n)

    def order_of(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffle = tf.random.experimental.stateless_shuffle
        order = [shuffle(tf.range(n), [seed, epoch * shuffles + k]) for k in range(shuffles)]
        indices = tf.concat(order, 0)[:seen]
        return tf.data.Dataset.from_tensor_slices(indices).batch(recipe.batch_size)

    def batch_of(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, labels = _taken(split, indices)
        step_seed = tf.random.fold_in([seed, 0], step)
        if augment is not None:
            batch = augment(batch, step_seed)
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


def epoch_size(split: Split, recipe: Recipe) -> tuple[int, int]:
    """Return the numbers of images and of batches in an epoch."""
    images = max(1, round(recipe.passes * len(split.labels)))
    return images, math.ceil(images / recipe.batch_size)


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
    return batches.prefetch(8).with_options(options)


def _taken(split: Split, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Take images and labels from NumPy's arrays: tensors would hold a second copy in memory."""
    images, labels = tf.numpy_function(
        lambda chosen: (split.images[chosen], split.labels[chosen]),
        [indices],
        [split.images.dtype, split.labels.dtype],
        stateful=False,
    )
    images = tf.ensure_shape(images, [None, *IMAGE_SHAPE, 1])
    return images, tf.ensure_shape(labels, [None])


def _moved(images: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Mirror and shift each image at random, as the recipe allows; black comes in at the edges."""
    n, most = tf.shape(images)[0], recipe.shift
    shifts = tf.random.stateless_uniform(
        [2, n, 1], tf.random.fold_in(seed, 1), 0, 2 * most + 1, tf.int32
    )
    rows, columns = (tf.range(size) for size in IMAGE_SHAPE)
    if recipe.flip:
        is_mirrored = tf.random.stateless_uniform([n, 1], seed) < 0.5
        columns = tf.where(is_mirrored, columns[::-1], columns)
    padded = tf.pad(images, [[0, 0], [most, most], [most, most], [0, 0]])
    moved = tf.gather(padded, rows + shifts[1], axis=1, batch_dims=1)
    return tf.gather(moved, columns + shifts[0], axis=2, batch_dims=1)


def _erased(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Fill a random rectangle of some images with one random grey (arXiv:1708.04896)."""
    n = tf.shape(images)[0]
    sides = tf.random.stateless_uniform([2, n, 1], seed, 3, 15, tf.int32)  # pixels
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
