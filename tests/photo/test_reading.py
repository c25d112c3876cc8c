"""Pictures in every form that is accepted, and in forms that are refused."""

import importlib.util
import io
import pickle
import re
import unicodedata

import cv2
import numpy as np
import pytest
from conftest import written
from PIL import Image, ImageDraw
from trousers import BLACK, CREAM, NAVY, WHITE, assert_close, drawn_trousers

import fashion_cnn as fc
from fashion_cnn.photo import PhotoError


def small_trousers(size=(120, 90)):
    return drawn_trousers(size=size, place=(40, 10), scale=0.3)


@pytest.fixture(scope="module")
def expected():
    return fc.prepare_photo(small_trousers())


def pictures():
    """The same trousers as every kind of PIL image and array."""
    rgb = small_trousers()
    grey = rgb.convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 257
    masked = rgb.convert("RGBA")
    masked.putalpha(grey.point(lambda value: 255 * (value < 200)))
    grey_masked = grey.convert("LA")
    grey_masked.putalpha(masked.getchannel("A"))
    return {
        "grey": grey,
        "1 bit": grey.convert("1", dither=Image.Dither.NONE),
        "palette": rgb.convert("P"),
        "CMYK": rgb.convert("CMYK"),
        "LAB": Image.merge("LAB", (grey, *[Image.new("L", grey.size, 0)] * 2)),
        "I": grey.convert("I"),
        "I;16": Image.fromarray(deep),
        "10 of 16 bits": Image.fromarray(deep // 257 * 4),
        "12 of 32 bits": Image.fromarray((deep // 257 * 16).astype(np.int32)),
        "F of 12 bits": Image.fromarray((deep // 257 * 16).astype(np.float32)),
        "premultiplied": grey_masked.convert("La"),
        "array bool": np.asarray(grey) > 127,
        "array RGBA of 12 bits": np.dstack([np.asarray(rgb) * np.uint16(16), deep * 0 + 65535]),
        "F": grey.convert("F"),
        "F to 1": Image.fromarray(np.asarray(grey, np.float32) / 255),
        "RGBA": masked,
        "LA": grey_masked,
        "transparent palette": masked.quantize(16),
        "array": np.asarray(rgb),
        "array h w": np.asarray(grey),
        "array h w 1": np.asarray(grey)[..., np.newaxis],
        "array RGBA": np.asarray(masked),
        "array uint16": deep,
        "array uint16 of 8 bits": np.asarray(grey).astype(np.uint16),
        "array float": np.asarray(rgb) / 255,
        "array float32 RGBA": np.asarray(masked, np.float32) / 255,
        "list": (np.asarray(grey) / 255).tolist(),
        "not contiguous": np.asfortranarray(np.asarray(rgb)),
    }


@pytest.mark.parametrize("kind", pictures())
def test_every_kind_of_picture_gives_the_same(expected, kind):
    assert_close(fc.prepare_photo(pictures()[kind]), expected, 0.02)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("grey", "a.jpg"),
        ("CMYK", "a.jpg"),
        ("I;16", "a.png"),
        ("I;16", "a.tif"),
        ("10 of 16 bits", "a.png"),
        ("F", "a.tif"),
        ("RGBA", "a.webp"),
        ("transparent palette", "a.png"),
        ("transparent palette", "a.gif"),
        ("palette", "a.bmp"),
        ("array", "a.avif"),
        ("array", "a.ppm"),
        ("array", "a.heic"),
    ],
)
def test_every_kind_of_file_and_its_bytes_give_the_same(tmp_path, expected, kind, name):
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    image, path = pictures()[kind], tmp_path / name
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path)
    prepared = fc.prepare_photo(path)
    assert_close(prepared, expected, 0.02)
    np.testing.assert_array_equal(fc.prepare_photo(path.read_bytes()), prepared)


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("scale", [16, 257])
def test_colours_of_16_bits_are_scaled_by_the_bits_they_use(expected, ending, scale):
    deep = np.asarray(small_trousers()).astype(np.uint16) * scale
    assert_close(fc.prepare_photo(cv2.imencode(ending, deep)[1].tobytes()), expected, 0.02)
    dark = Image.fromarray(np.asarray(small_trousers()) // 8)  # but 8 bits are not
    assert fc.photo_steps(dark).upright.max() == np.float32(31 / 255)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_korean_names_are_found_in_either_form(tmp_path, expected, forms):
    on_disk, given = (unicodedata.normalize(form, "사진/셔츠.png") for form in forms)
    (tmp_path / on_disk).parent.mkdir()
    small_trousers().save(tmp_path / on_disk)
    np.testing.assert_array_equal(fc.prepare_photo(tmp_path / given), expected)


def test_a_phone_of_50_megapixels():
    photo = written(drawn_trousers(size=(8160, 6144), place=(2856, 819), scale=20), "JPEG")
    assert fc.photo_steps(photo).upright.shape == (169, 224, 3)


def test_refusals_are_in_the_language_in_use():
    fc.use_language("ko")
    with pytest.raises(PhotoError, match="비어 있습니다"):
        fc.prepare_photo(b"")


@pytest.mark.parametrize(
    ("kind", "orientation", "undo"),
    [
        *((kind, 6, Image.Transpose.ROTATE_90) for kind in ("jpg", "png", "tif", "PIL")),
        ("webp", 7, Image.Transpose.TRANSVERSE),
    ],
)
def test_a_picture_is_turned_upright_as_its_exif_data_says(tmp_path, kind, orientation, undo):
    image = small_trousers(size=(120, 100))
    ImageDraw.Draw(image).rectangle((40, 10, 52, 16), fill=(150, 150, 160))  # no symmetry
    stored, exif = image.transpose(undo), Image.Exif()
    exif[0x0112] = orientation
    photo = tmp_path / f"photo.{kind}"
    if kind == "PIL":
        photo = stored
        photo.getexif()[0x0112] = orientation
    else:
        stored.save(photo, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    assert_close(fc.prepare_photo(photo), fc.prepare_photo(image), 0.02)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.mpo"])
def test_of_an_animation_the_first_frame(tmp_path, expected, name):
    others = [Image.new("RGB", (120, 90), colour) for colour in (WHITE, BLACK)]
    small_trousers().save(tmp_path / name, save_all=True, append_images=others)
    assert_close(fc.prepare_photo(tmp_path / name), expected, 0.02)


def test_nothing_that_is_given_is_changed():
    image = pictures()["RGBA"]
    image.getexif()[0x0112] = 6
    before = image.tobytes(), dict(image.getexif()), image.size
    fc.prepare_photo(image)
    assert (image.tobytes(), dict(image.getexif()), image.size) == before
    photo = written(drawn_trousers(size=(1600, 1200)), "JPEG")
    with Image.open(io.BytesIO(photo)) as opened:  # not loaded yet
        fc.prepare_photo(opened)
        assert opened.size == (1600, 1200)
    array = np.asarray(image).copy()
    fc.prepare_photo(array)
    np.testing.assert_array_equal(array, np.asarray(image))


HAS_HEIC = importlib.util.find_spec("pillow_heif") is not None
HEIC = "cannot be read: it is " + (r"damaged" if HAS_HEIC else r"HEIC, .*\"fashion-cnn\[heic\]\"")
DEEP_TIFF = written(Image.fromarray(np.full((40, 40), np.nan, np.float32)), "TIFF")


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (b"", "unreadable", "cannot be read: it is empty; copy or download"),
        (b"hello", "unreadable", "of another kind"),
        (b"\xff\xd8\xff", "unreadable", "intact picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unreadable", HEIC),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "unreadable", "of another kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable", "of another kind"),
        (DEEP_TIFF, "unreadable", "NaN"),
        (b"P6 7000 7000 255\n", "unreadable", "cannot be read"),
        (b"P6 9000 9000 255\n", "large", "80,000,000 pixels, got 9,000 × 9,000"),
        (b"P6 60000 60000 255\n", "large", "at most 80,000,000 pixels, got more"),
        (b"P6 27 27 255\n", "small", "at least 28 pixels on the longer side, got 27 × 27"),
    ],
)
def test_files_that_are_refused(tmp_path, content, reason, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for photo in (path, content):
        with pytest.raises(PhotoError, match=message) as caught:
            fc.prepare_photo(photo)
        assert caught.value.reason == reason
    again = pickle.loads(pickle.dumps(caught.value))  # between the processes of the web page
    assert (str(again), again.reason) == (str(caught.value), reason)


def test_a_missing_file_and_a_directory_are_what_the_system_calls_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        fc.prepare_photo(tmp_path / "nowhere.jpg")
    with pytest.raises(OSError, match=re.escape(tmp_path.name)):
        fc.prepare_photo(str(tmp_path))


ONE = np.full((40, 40), 0.5)
ONE[10:30, 10:30] = 0.1


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.where(ONE > 0.3, np.nan, ONE), "NaN"),
        (ONE * 255, "divide by 255"),
        (ONE / 255, "divided by 255 twice"),
        ((ONE * 2).astype(np.uint8), "use bool for 0 and 1"),
        (-ONE, r"floats in \[0, 1\]"),
        (ONE.astype(str), "got dtype <U"),
        (ONE[np.newaxis, np.newaxis], "shape"),
        (np.zeros((40, 40, 2)), "shape"),
        (np.zeros((3, 40, 40)), "colours in the last axis"),
        (np.zeros((27, 27)), "at least 28 pixels on the longer side, got 27 × 27"),
        (np.broadcast_to(np.uint8(0), (10_000, 8_001)), "at most 80,000,000 pixels"),
        (5, "shape"),
        (None, "shape"),
        (Image.new("RGB", (20, 20)), "at least 28 pixels"),
        (Image.fromarray(np.full((40, 40), np.nan, np.float32)), "NaN"),
        (Image.fromarray(np.full((40, 40), -70_000, np.int32)), "from 0 to 255, got int32 from -7"),
        (Image.fromarray(np.full((40, 40), np.inf, np.float32)), "infinity"),
        (Image.new("RGB", (300, 300), CREAM), "stands out from its background, found nothing"),
        (Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "stands out"),
        (np.random.default_rng(0).integers(100, 110, (300, 300, 3), np.uint8), "stands out"),
        (drawn_trousers(CREAM, NAVY, scale=0.04), "stands out"),
        (np.full((1, 40), 200, np.uint8), "stands out"),
        (np.zeros((28, 28)), "stands out"),
        (np.pad(np.full((20, 20), 254, np.uint8), 4, constant_values=255), "stands out"),
    ],
)
def test_pictures_that_are_refused(photo, message):
    with pytest.raises(ValueError, match=message) as caught:
        fc.prepare_photo(photo)
    if message.startswith("stands out"):
        assert caught.value.reason == "nothing"
