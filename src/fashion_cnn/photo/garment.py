"""Tell a garment from its background, and make it look like the images of the data set."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashion_cnn.images import IMAGE_SHAPE
from fashion_cnn.language import gettext as _
from fashion_cnn.photo.reading import PhotoError


def _nothing_found(why: str) -> PhotoError:
    message = _("expected something that stands out from its background, found nothing: {why}")
    return PhotoError(message.format(why=why), "nothing")


def flattened(image: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a picture in RGB (h, w, 3), and where it is opaque (h, w).

    What shows through a cut-out is white, or black if the rest is light. A photo with transparent
    corners is opaque: what shows through there continues the photo.
    """
    rgba = np.divide(np.asarray(image.convert("RGBA")), 255, dtype=np.float32)
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    is_opaque = alpha > 0.5
    is_light = (_grey(rgb) * alpha).sum() > 0.8 * alpha.sum()  # it would vanish on white
    visible = alpha[..., np.newaxis]
    rgb = rgb * visible + (0 if is_light else 1) * (1 - visible)
    has_shadow = np.mean((alpha > 0) & ~is_opaque) > 0.05  # around a window
    reaches_edges = min(np.divide(is_opaque[box(is_opaque)].shape, alpha.shape)) > 0.97
    if not is_opaque.all() and (has_shadow or reaches_edges):
        photo = _photo_in(rgb, is_opaque)
        if photo is not None:
            return photo, np.ones(photo.shape[:2], bool)
    return rgb, is_opaque


def without_frame(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off bars and frames of one colour, even with some words in them, as around a plot."""
    for line in (rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]):
        away = np.abs(rgb - np.median(line, axis=0)).max(axis=2)
        labels, areas = _components(_enclosed(away >= 0.08))
        inside = labels == areas[1:].argmax() + 1 if len(areas) > 1 else labels < 0
        inner = inside[box(inside)]
        is_part = inner.shape != inside.shape and min(np.divide(inner.shape, inside.shape)) > 0.25
        if is_part and inner.mean() > 0.9 and areas[1:].sum() < 1.15 * inner.size:
            # No background of a photo is as even as a frame.
            photo = _photo_in(rgb, inside) if np.median(away[~inside]) < 0.006 else None
            if photo is not None:
                return without_frame(photo)
    return rgb


def _photo_in(rgb: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Return the photo that a mask shows, unless the mask is the outline of a garment.

    A photo is a rectangle, rounded or turned, or an oval, with something in it that stands out.
    """
    square = np.ones((5, 5))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square) > 0  # without ticks
    part = opened[box(opened)]
    if _solidity(part) < 0.97 or np.mean(part == part[::-1, ::-1]) < 0.96:
        return None
    clean = cv2.erode(opened.astype(np.uint8), square)  # without mixed pixels
    inside = box(clean > 0)
    pixels = np.rint(rgb[inside] * 255).astype(np.uint8)
    filled = cv2.inpaint(pixels, 1 - clean[inside], 3, cv2.INPAINT_TELEA)
    photo = np.divide(filled, 255, dtype=np.float32)
    return photo if _standing_out(photo).mean() > 0.02 else None


def light_on_dark(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a small picture (28, 28, 3), or its negative if its border is light, as grey."""
    grey = _grey(rgb)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    light = grey if np.median(border) < 0.5 else 1 - grey
    if np.ptp(grey) < 1.5 / 255:  # `predict` would take it for divided twice
        raise _nothing_found(_("it has one colour"))
    return light


def find_garment(rgb: NDArray[np.float32], is_opaque: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask (h, w) of the garment: what is opaque in a cut-out, else what stands out."""
    mask = _drawn_shape(rgb, is_opaque)
    if not mask.any():
        mask = _standing_out(rgb) if is_opaque.all() else is_opaque
    # Drop what is thin, such as the hook of a hanger, and what is small; fill small holes.
    size = 2 * round(0.008 * max(mask.shape)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    labels, areas = _components(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc))
    whole = (labels > 0) & (areas >= 0.15 * areas[1:].max(initial=0))[labels]
    labels, areas = _components(~whole)
    whole |= (areas < 0.02 * whole.sum())[labels]
    if max(whole[box(whole)].shape) < max(mask.shape) / 20:
        why = _("what differs from it is small or thin; photograph it from nearer")
        if not mask.any():
            why = _("all has nearly the same colour; choose a plain background of another colour")
        raise _nothing_found(why if is_opaque.any() else _("the whole picture is transparent"))
    return whole


def fault_of(mask: NDArray[np.bool_]) -> str:
    """Say what is unusual in a photo, by the mask (h, w) of what stands out, and what to do."""
    if len(_components(mask)[1]) > 2:  # of the background and one garment
        return _("several things stand out: photograph one alone")
    if max(mask[0].mean(), mask[-1].mean(), mask[:, 0].mean(), mask[:, -1].mean()) > 0.1:
        return _("it reaches the edge of the picture: photograph it from farther away")
    if max(mask[box(mask)].shape) < 0.35 * max(mask.shape):
        return _("it is small in the picture: photograph it from nearer")
    return ""


def grey_on_black(rgb: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the garment (h, w) in greys around 0.6, on black; its negative if it lay on light.

    It is blurred, but not across its outline, where the background shines through: in 28 pixels,
    the folds and prints of a garment that lies on a bed look like nothing in the data set.
    """
    grey = _grey(rgb)
    if mask.all() or np.median(grey[~mask]) >= 0.25:  # else it is light on black, as the data is
        grey = 1 - grey
    within = cv2.erode(np.pad(mask.astype(np.uint8), 1), np.ones((3, 3)))[1:-1, 1:-1]
    within = (within if within.any() else mask).astype(np.float32)
    sigma = 0.02 * float(mask.sum()) ** 0.5
    weights = np.maximum(cv2.GaussianBlur(within, (0, 0), sigma), 1e-6)
    blurred = cv2.GaussianBlur(grey * within, (0, 0), sigma) / weights
    return np.where(mask, np.clip(0.6 + blurred - np.median(blurred[mask]), 0.12, 1), 0)


def _grey(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    return rgb @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's L


def _standing_out(rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find what differs from the picture's border, by GrabCut (Rother et al., 2004)."""
    lab = cv2.medianBlur(cv2.cvtColor(np.rint(rgb * 255).astype(np.uint8), cv2.COLOR_RGB2LAB), 3)
    height, width = lab.shape[:2]
    if np.ptp(lab, axis=(0, 1)).max() < 10:  # of 255, in lightness or colour
        return np.zeros((height, width), bool)
    # Without noise, a background may not vary at all; whatever differs a bit would be garment.
    noise = np.random.default_rng(0).normal(0, 3, lab.shape)
    lab = np.clip(lab + noise, 0, 255).astype(np.uint8)
    border = max(1, round(0.03 * max(height, width)))
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[border:-border, border:-border] = cv2.GC_PR_FGD
    at_border = labels == cv2.GC_BGD
    from_median = np.linalg.norm(lab - np.median(lab[at_border], axis=0), axis=2)
    usual = max(3, float(np.median(from_median[at_border])))
    labels[from_median > 6 * usual] = cv2.GC_PR_FGD  # a garment may reach the edge
    mask = _cut(lab, labels)
    is_plain = np.linalg.norm(lab[labels == cv2.GC_BGD].std(axis=0)) < 22
    if not is_plain and (mask.mean() < 0.06 or _solidity(mask) < 0.55):
        # Only a print or some stripes differ. Garments are mostly in the middle.
        labels[height // 3 : -(height // 3), width // 3 : -(width // 3)] = cv2.GC_FGD
        other = _cut(lab, labels)
        is_more = other.sum() * _solidity(other) > mask.sum() * _solidity(mask)
        if is_more and other.sum() > 1.3 * (labels == cv2.GC_FGD).sum():
            return other
    return mask


def _cut(lab: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Separate the garment, given what is certain (FGD, BGD) and what is assumed (PR_FGD)."""
    labels = labels.copy()
    cv2.setRNGSeed(0)  # of this thread: the same photo gives the same image
    # From empty models, GC_EVAL makes each side one Gaussian in place of five: half as much work,
    # and a print stays with its shirt.
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(lab, labels, (0, 0, 0, 0), *models, 4, cv2.GC_EVAL)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _drawn_shape(rgb: NDArray[np.float32], is_opaque: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what the lines of an outline drawing enclose (h, w): in other pictures nothing."""
    grey = _grey(rgb)
    grey = grey if np.median(grey) > 0.5 else 1 - grey
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
    paper = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, disc)  # thin dark lines are gone
    lines = paper - grey > 0.1 if is_opaque.all() else is_opaque
    closed = cv2.morphologyEx(lines.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    shape = _enclosed(closed > 0)
    inside, outside = shape & ~lines, ~shape
    if inside.sum() < max(0.5 * shape.sum(), 0.02 * shape.size) or not outside.any():
        return np.zeros_like(shape)
    is_paper = np.mean(np.abs(paper - np.median(paper)) < 0.12) > 0.95
    is_same = abs(np.median(paper[inside]) - np.median(paper[outside])) < 0.05
    return shape & bool((is_same and is_paper) or not is_opaque.all())


def _enclosed(walls: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return walls (h, w) and whatever they keep from the border of the picture."""
    labels, _ = _components(~walls)
    at_border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return (labels == 0) | ~np.isin(labels, at_border)


def _solidity(mask: NDArray[np.bool_]) -> float:
    """Return how much of its convex hull a mask fills: much for a shirt, little for its print."""
    if not mask.any():
        return 0.0
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
    return mask.sum() / max(1.0, cv2.contourArea(hull))


def _components(mask: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the connected parts of a mask, numbered from 1, and the area of each number."""
    found = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray(found[1], np.int32), np.asarray(found[2][:, cv2.CC_STAT_AREA], np.int32)


def sleeves_drawn_in(grey: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Narrow sleeves that are spread, which would leave few pixels to the body.

    In the data set sleeves hang down, and the body, from the first to the last column that is at
    least half as full as the fullest one, takes at least 60 % of the width.
    """
    held = mask.sum(axis=0)
    body = np.flatnonzero(held >= 0.5 * held.max())
    left, right = body[0], len(held) - 1 - body[-1]
    if min(left, right) < 0.3 * max(left, right):  # a shoe has no sleeves
        return grey
    wide = (len(held) - left - right) * (1 - 0.6) / 0.6  # for both sleeves, if the body takes 60 %
    widths = np.full(len(held), min(1.0, wide / max(1, left + right)))
    widths[left : len(held) - right] = 1
    edges = np.concatenate([[0], np.cumsum(widths)])
    width = max(1, round(edges[-1]))
    middles = (np.arange(width) + 0.5) * edges[-1] / width
    columns = np.interp(middles, edges, np.arange(len(edges))) - 0.5
    x, y = np.meshgrid(columns.astype(np.float32), np.arange(len(grey), dtype=np.float32))
    narrowed = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(narrowed, np.float32)


def box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest box around the true pixels."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def centred(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the longer side to 28 pixels, in the middle of a black square."""
    side = IMAGE_SHAPE[0]
    scale = side / max(grey.shape)
    height, width = (max(1, round(n * scale)) for n in grey.shape)
    resized = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))
    around = [((side - n + 1) // 2, (side - n) // 2) for n in (height, width)]
    return np.pad(np.rint(resized * 255) / 255, around)[..., np.newaxis]
