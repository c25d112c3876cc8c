"""Train the small network that tells what is unlike Fashion-MNIST: ``make unlikeness``.

It learns to tell the training images, half of them as a photo would show them, from strange
things: pieces of the images (the upper half of trousers looks like shorts, the lower half of a
dress like a skirt), turned and mixed ones, two shoes side by side, negatives, shapes, strokes and
textures. No digit, letter, cut-out of a photo or real photo is among them.
"""

import math
from dataclasses import replace

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from robust import ROBUST, photo_augmentation

import fashion_cnn as fc
from fashion_cnn.batches import training_batches
from fashion_cnn.images import IMAGE_SHAPE
from fashion_cnn.unlikeness import NETWORK

Images = NDArray[np.float32]
SEED = 0
EPOCHS, BATCH_SIZE = 8, 128
WARNED = 0.01  # of the validation images
SIDE = IMAGE_SHAPE[0]
CANVAS = 4 * SIDE  # pixels a side, on which things are drawn
SHOES = 5  # the lowest label of shoes and bags
BLACK = 0.05


def fitted(picture: Images) -> Images:
    """Scale what is not black until its longer side has 28 pixels, in the middle of a square."""
    left, top, width, height = cv2.boundingRect((picture > BLACK).astype(np.uint8))
    scale = SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    cut = np.ascontiguousarray(picture[top : top + height, left : left + width])
    resized = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    image = np.zeros((*IMAGE_SHAPE, 1), np.float32)
    y, x = (SIDE - size[1] + 1) // 2, (SIDE - size[0] + 1) // 2
    image[y : y + size[1], x : x + size[0], 0] = resized
    return image


def piece(image: Images, random: np.random.Generator) -> Images:
    """Cut an image once or twice, across or along."""
    if random.random() < 0.5:
        image = image.T
    start = int(random.choice(np.array([0, random.integers(3, 19)])))
    end = SIDE if start > 10 else start + random.integers(8, 17)
    kept = image[start:end]
    return kept if (kept > BLACK).sum() > SIDE else image[::-1]


def pair(shoe: Images) -> Images:
    """Put a shoe that stands on its heel beside its mirror image, as two seen from above."""
    upright = fitted(np.rot90(shoe))[..., 0]
    half = upright[:, 6:22]
    return np.hstack([half, half[:, ::-1]])


def mixed(image: Images, random: np.random.Generator) -> Images:
    """Cut an image into 16 squares and mix these."""
    squares = image.reshape(4, 7, 4, 7).swapaxes(1, 2).reshape(16, 7, 7)[random.permutation(16)]
    return squares.reshape(4, 4, 7, 7).swapaxes(1, 2).reshape(SIDE, SIDE)


def shape(random: np.random.Generator) -> Images:
    """Draw an oval, a dome with a brim, a trapezium, a pair of ovals or a polygon, with folds."""
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    middle = CANVAS // 2
    high, wide = (int(random.uniform(0.15, 0.5) * CANVAS) for _ in range(2))
    light, other = random.uniform(0.35, 1, 2)
    kind = random.integers(5)
    if kind == 0:
        cv2.ellipse(canvas, (middle, middle), (wide, high), 0, 0, 360, light, -1)
    elif kind == 1:
        cv2.ellipse(canvas, (middle, middle), (wide, wide), 0, 180, 360, light, -1)
        brim = min(middle, int(1.4 * wide)), max(4, high // 3)
        cv2.ellipse(canvas, (middle, middle), brim, 0, 0, 360, other, -1)
    elif kind == 2:
        top = int(wide * random.uniform(0.4, 1))
        upper, lower = [(middle - top, 0), (middle + top, 0)], 2 * high
        below = [(middle + wide, lower), (middle - wide, lower)]
        cv2.fillPoly(canvas, [np.array(upper + below, np.int32)], light)
    elif kind == 3:
        wide = max(wide // 2, 8)
        for x in (middle - wide - 1, middle + wide + 1):
            cv2.ellipse(canvas, (x, middle), (wide, middle - 6), 0, 0, 360, light, -1)
            cv2.ellipse(canvas, (x, middle + wide), (wide // 2, wide), 0, 0, 360, other, -1)
    else:
        corners = random.integers(0, CANVAS, (random.integers(3, 8), 2), dtype=np.int32)
        cv2.fillPoly(canvas, [corners], light)
    folds = cv2.GaussianBlur(random.normal(0, 1, canvas.shape), (0, 0), random.uniform(4, 12))
    return np.clip(canvas * (1 + folds), 0, 1).astype(np.float32)


def strokes(random: np.random.Generator) -> Images:
    """Draw one to three bent strokes, as of a pen."""
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    for _ in range(random.integers(1, 4)):
        points = random.integers(10, CANVAS - 10, (random.integers(2, 5), 2), dtype=np.int32)
        width = int(random.integers(6, 22))
        cv2.polylines(canvas, [points], isClosed=False, color=1.0, thickness=width)
    return canvas


def texture(random: np.random.Generator) -> Images:
    """Fill the image with coarse or fine noise, or with one shade and a slope."""
    noise = random.normal(0, 1, IMAGE_SHAPE)
    if random.random() < 0.5:
        coarse = cv2.GaussianBlur(noise, (0, 0), random.uniform(0.5, 4))
        return np.asarray((coarse - coarse.min()) / np.ptp(coarse), np.float32)
    slope = np.add.outer(*np.linspace(0, random.uniform(-1, 1, 2), SIDE).T)
    spread = random.choice([0.02, 0.05, 0.3])
    return np.clip(random.random() + slope + spread * noise, 0, 1).astype(np.float32)


def strange_things(split: fc.Split, n: int, seed: int) -> Images:
    """Return `n` strange images (n, 28, 28, 1)."""
    random = np.random.default_rng(seed)
    shoes = np.flatnonzero(split.labels >= SHOES)
    made = []
    for number in range(n):
        image = split.images[random.integers(len(split.images)), ..., 0]
        match number % 16:
            case 0 | 1 | 2 | 3 | 4 | 5:
                made.append(fitted(piece(image, random)))
            case 6 | 7:
                made.append(fitted(np.rot90(image, int(random.integers(1, 4)))))
            case 8 | 9:
                made.append(fitted(pair(split.images[random.choice(shoes), ..., 0])))
            case 10 | 11 | 12:
                made.append(fitted(shape(random)))
            case 13:
                made.append(fitted(strokes(random)))
            case 14:
                made.append(texture(random)[..., np.newaxis])
            case _:
                other = 1 - image if random.random() < 0.5 else mixed(image, random)
                made.append(other[..., np.newaxis])
    return np.array(made, np.float32)


def from_photo(image: Images) -> Images:
    """Make of an image what `prepare_photo` makes of a photo of the same thing, cut out."""
    alpha = (image > BLACK).astype(np.float32)
    negative = 1 - np.clip(image, 0, 1)
    rgba = np.rint(255 * np.dstack([negative, negative, negative, alpha])).astype(np.uint8)
    try:
        return fc.prepare_photo(rgba.repeat(4, axis=0).repeat(4, axis=1))
    except ValueError:  # nearly nothing is left of it
        return image


def half_changed(images: Images, seed: int) -> Images:
    """Change the second half of some images as for `ROBUST` and a photo would be, reordered."""
    half = images[len(images) // 2 :]
    recipe = replace(ROBUST, batch_size=len(half), epochs=1, erasing=0.0)
    split = fc.Split(half, np.zeros(len(half), np.int64))
    batches = training_batches(split, recipe, seed, first_epoch=0, augment=photo_augmentation)
    changed, _ = next(iter(batches))
    photos = [from_photo(image) for image in changed.numpy()]
    return np.concatenate([images[: len(images) // 2], photos])


def examples(split: fc.Split, seed: int) -> tuple[Images, NDArray[np.float32]]:
    """Return as many known images as strange ones, half of each changed, and which are strange."""
    strange = strange_things(split, len(split.images), seed)
    images = np.concatenate([half_changed(x, seed) for x in (split.images, strange)])
    return images, np.repeat(np.array([0, 1], np.float32), len(strange))


def main() -> None:
    """Train, let 1 % of the validation images be above 1, and write the weights."""
    data = fc.load_fashion_mnist()
    assert data.source.is_fashion_mnist, data.source
    keras.utils.set_random_seed(SEED)
    images, is_strange = examples(data.train, SEED)
    model = keras.Sequential(
        [
            keras.Input((*IMAGE_SHAPE, 1)),
            layers.Conv2D(12, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Conv2D(20, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(24, activation="relu"),
            layers.Dense(1),
        ]
    )
    steps = EPOCHS * math.ceil(len(images) / BATCH_SIZE)
    model.compile(
        keras.optimizers.Nadam(
            keras.optimizers.schedules.CosineDecay(3e-3, steps), weight_decay=0.01
        ),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02),
    )
    model.fit(images, is_strange, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=2)
    limit = np.quantile(model.predict(data.validation.images, verbose=0), 1 - WARNED)
    weights = model.get_weights()
    weights[-1] = weights[-1] - limit
    np.savez_compressed(NETWORK, *[array.astype(np.float16) for array in weights])
    print(f"{NETWORK}: {NETWORK.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
