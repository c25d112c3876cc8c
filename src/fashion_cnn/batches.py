"""The training images, batch by batch: in a new order every epoch, augmented as a recipe says.

Order and augmentation depend only on the seed and on the number of the epoch and step, so a
resumed run sees the images that it would have seen without the interruption.
"""

import math

import keras
import tensorflow as tf

from fashion_cnn.images import IMAGE_SHAPE, Split
from fashion_cnn.recipe import Recipe

PREFETCHED_BATCHES = 8
LEAST_GREY = 0.05  # of a garment: what is darker is background
_ERASED_SIDES = (3, 14)  # pixels, shortest and longest


def training_batches(
    split: Split, recipe: Recipe, seed: int, *, first_epoch: int
) -> tf.data.Dataset:
    """Return the batches of all epochs in turn, starting with `first_epoch`, counted from 0.

    They are pairs of float32 images (batch, 28, 28, 1) in [0, 1] and int64 labels (batch,).
    """
    n = len(split.labels)
    seen = _images_per_epoch(split, recipe)
    shuffles = math.ceil(seen / n)

    def order_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = [
            tf.random.experimental.stateless_shuffle(tf.range(n), seed=[seed, epoch * shuffles + k])
            for k in range(shuffles)
        ]
        return tf.data.Dataset.from_tensor_slices(tf.concat(order, 0)[:seen]).batch(
            recipe.batch_size
        )

    def batch_of(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, labels = _taken(split, indices)
        step_seed = tf.random.fold_in([seed, 0], step)
        warps = recipe.zoom, recipe.stretch, recipe.rotation, recipe.tilt
        if recipe.flip or recipe.shift or any(warps):
            batch = _moved(batch, recipe, tf.random.fold_in(step_seed, 1))
        if recipe.tone:
            batch = _toned(batch, recipe.tone, tf.random.fold_in(step_seed, 3))
        if recipe.erasing:
            batch = _erased(batch, recipe.erasing, tf.random.fold_in(step_seed, 2))
        return batch, labels

    return _prefetched(
        tf.data.Dataset.range(first_epoch, recipe.epochs)
        .flat_map(order_of)
        .enumerate(start=first_epoch * steps_per_epoch(split, recipe))
        .map(batch_of)
    )


def steps_per_epoch(split: Split, recipe: Recipe) -> int:
    """Return the number of batches of an epoch."""
    return math.ceil(_images_per_epoch(split, recipe) / recipe.batch_size)


def _images_per_epoch(split: Split, recipe: Recipe) -> int:
    return max(1, round(recipe.passes * len(split.labels)))


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
    """Mirror, shift, shrink, widen, turn and tilt each image at random, as the recipe allows.

    Every second one, on average, is only mirrored and shifted.
    """
    n = tf.shape(images)[0]
    mirror, half, shrink, widen, turn, tilt = tf.unstack(tf.random.stateless_uniform([6, n], seed))
    is_warped = tf.cast(half < 0.5, tf.float32)
    shifts = tf.random.stateless_uniform(
        [2, n], tf.random.fold_in(seed, 1), -recipe.shift, recipe.shift + 1, tf.int32
    )
    size = tf.exp(-is_warped * shrink * math.log1p(recipe.zoom))
    width = tf.exp(is_warped * widen * math.log1p(recipe.stretch))
    if recipe.stretch:  # what becomes too wide for the square shrinks until it fits
        size *= _room(images, width)
    angle = is_warped * (2 * turn - 1) * math.radians(recipe.rotation)
    side = tf.where(mirror < 0.5, -1.0, 1.0) if recipe.flip else tf.ones(n)
    none, one = tf.zeros(n), tf.ones(n)
    middle = tf.fill([n], (IMAGE_SHAPE[0] - 1) / 2)
    x, y = tf.unstack(middle + tf.cast(shifts, tf.float32))
    cos, sin = tf.cos(angle), tf.sin(angle)
    slope = is_warped * (2 * tilt - 1) * recipe.tilt / middle

    def matrix(*numbers: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.stack(numbers, axis=1), [n, 3, 3])

    # From each pixel of the new image, right to left, to the place in the old one that it shows.
    places = (
        matrix(one, none, x, none, one, y, none, none, one)
        @ matrix(side / (width * size), none, none, none, 1 / size, none, none, none, one)
        @ matrix(cos, sin, none, -sin, cos, none, none, slope, one)
        @ matrix(one, none, -middle, none, one, -middle, none, none, one)
    )
    places = tf.reshape(places, [n, 9])
    return keras.ops.image.affine_transform(images, places[:, :8] / places[:, 8:])


def _room(images: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return by how much to shrink images, widened by `width`, to fill the square as before."""
    is_garment = images[..., 0] > LEAST_GREY
    from_middle = tf.abs(tf.range(IMAGE_SHAPE[0], dtype=tf.float32) - (IMAGE_SHAPE[0] - 1) / 2)
    rows, columns = (
        tf.reduce_max(tf.where(tf.reduce_any(is_garment, axis), from_middle + 0.5, 0.5), axis=1)
        for axis in (2, 1)
    )
    return tf.maximum(rows, columns) / tf.maximum(rows, columns * width)


def _toned(images: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Give some garments another middle grey and less or more contrast."""
    chance, grey, contrast = tf.unstack(
        tf.random.stateless_uniform([3, tf.shape(images)[0], 1, 1, 1], seed)
    )
    is_garment = tf.cast(images > LEAST_GREY, tf.float32)
    area = tf.maximum(tf.reduce_sum(is_garment, [1, 2, 3], keepdims=True), 1)
    mean = tf.reduce_sum(images * is_garment, [1, 2, 3], keepdims=True) / area
    toned = 0.4 + 0.5 * grey + 1.2 * contrast * (images - mean)
    # The outline stays as soft as it was.
    toned = tf.clip_by_value(toned, 0.12, 1) * is_garment * tf.minimum(1.0, 8 * images)
    return tf.where(chance < probability, toned, images)


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
