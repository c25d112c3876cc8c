"""How the network of the package is trained: for photographs of one's own clothes."""

import math
from dataclasses import replace

import keras
import tensorflow as tf

import fashion_cnn as fc
from fashion_cnn.images import IMAGE_SHAPE

ROBUST = replace(
    fc.BEST,
    learning_rate=4e-3,
    epochs=45,  # so many kinds of images take longer to learn
    patience=45,
    weight_decay=0.03,
    label_smoothing=0.05,
    flip=False,  # photo_augmentation mirrors and shifts
    shift=0,
    erasing=0.3,
    precision="float32",  # for the same arithmetic on every processor
)

SHIFT = 1  # pixels, up or down and left or right
# Every second image, on average, is changed by up to:
ZOOM = 0.1  # its size is divided by 1 to 1.1
STRETCH = 0.4  # sleeves are spread on a bed, and hang down in the data set
ROTATION = 6.0  # degrees, either way
TILT = 0.25  # a phone is seldom held straight above
TONE = 0.5  # the probability of another grey: light in a photo may be dark in the data set


def photo_augmentation(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Change images as a photograph of the same garment might; `train` calls it on each batch."""
    return toned(moved(images, tf.random.fold_in(seed, 1)), tf.random.fold_in(seed, 3))


def moved(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror and shift each image at random; shrink, widen, turn and tilt every second one."""
    n = tf.shape(images)[0]
    mirror, half, shrink, widen, turn, lean = tf.unstack(tf.random.stateless_uniform([6, n], seed))
    is_warped = tf.cast(half < 0.5, tf.float32)
    shifts = tf.random.stateless_uniform(
        [2, n], tf.random.fold_in(seed, 1), -SHIFT, SHIFT + 1, tf.int32
    )
    width = tf.exp(is_warped * widen * math.log1p(STRETCH))
    size = tf.exp(-is_warped * shrink * math.log1p(ZOOM)) * scale_to_fit(images, width)
    angle = is_warped * (2 * turn - 1) * math.radians(ROTATION)
    side = tf.where(mirror < 0.5, -1.0, 1.0)
    none, one = tf.zeros(n), tf.ones(n)
    middle = tf.fill([n], (IMAGE_SHAPE[0] - 1) / 2)
    x, y = tf.unstack(middle + tf.cast(shifts, tf.float32))
    cos, sin = tf.cos(angle), tf.sin(angle)
    slope = is_warped * (2 * lean - 1) * TILT / middle

    def matrix(*numbers: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.stack(numbers, axis=1), [n, 3, 3])

    # Maps output pixels to input pixels; apply right to left.
    places = (
        matrix(one, none, x, none, one, y, none, none, one)
        @ matrix(side / (width * size), none, none, none, 1 / size, none, none, none, one)
        @ matrix(cos, sin, none, -sin, cos, none, none, slope, one)
        @ matrix(one, none, -middle, none, one, -middle, none, none, one)
    )
    places = tf.reshape(places, [n, 9])
    return keras.ops.image.affine_transform(images, places[:, :8] / places[:, 8:])


def scale_to_fit(images: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return by how much to shrink images, widened by `width`, to fill the square as before."""
    from_middle = tf.abs(tf.range(IMAGE_SHAPE[0], dtype=tf.float32) - (IMAGE_SHAPE[0] - 1) / 2)
    rows, columns = (
        tf.reduce_max(
            tf.where(tf.reduce_any(garment(images), axis), from_middle + 0.5, 0.5), axis=1
        )
        for axis in (2, 1)
    )
    return tf.maximum(rows, columns) / tf.maximum(rows, columns * width)


def garment(images: tf.Tensor) -> tf.Tensor:
    """Tell where the garment is: what is darker is background; bool (n, 28, 28)."""
    return images[..., 0] > 0.05


def toned(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Give some garments another middle grey and less or more contrast."""
    chance, grey, contrast = tf.unstack(
        tf.random.stateless_uniform([3, tf.shape(images)[0], 1, 1, 1], seed)
    )
    is_garment = tf.cast(garment(images)[..., tf.newaxis], tf.float32)
    area = tf.maximum(tf.reduce_sum(is_garment, [1, 2, 3], keepdims=True), 1)
    mean = tf.reduce_sum(images * is_garment, [1, 2, 3], keepdims=True) / area
    changed = 0.4 + 0.5 * grey + 1.2 * contrast * (images - mean)
    # The outline stays as soft as it was.
    changed = tf.clip_by_value(changed, 0.12, 1) * is_garment * tf.minimum(1.0, 8 * images)
    return tf.where(chance < TONE, changed, images)
