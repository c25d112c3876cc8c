"""The garment is found, and becomes an image like the data set's."""

import runpy

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import DRAWINGS, ROOT, written
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from trousers import BLACK, CREAM, NAVY, WHITE, assert_close, drawn_trousers

import fashion_cnn as fc

GREY = 0.6  # the median of every garment


@pytest.fixture(scope="module")
def upright():
    return fc.prepare_photo(drawn_trousers())


def test_it_is_light_on_dark_and_where_it_should_be(upright):
    """At 28 × 14, by hand: legs of 5.6 pixels with a gap of 2.8 between them."""
    expected = np.zeros((28, 28), np.float32)
    expected[:, 7:21] = GREY
    expected[7:, 12:16] = np.nan  # the gap, its edges mixed
    expected[8:, 13:15] = 0
    expected[[0, 27], :] = expected[:, [7, 20]] = np.nan  # the outline, mixed, too
    known = np.isfinite(expected)
    np.testing.assert_allclose(upright[..., 0][known], expected[known], atol=0.12)


def test_the_steps_have_the_shapes_they_should(tmp_path):
    path = tmp_path / "trousers.png"
    drawn_trousers(size=(896, 672), place=(400, 240), scale=1.6).save(path)
    steps = fc.photo_steps(path)
    assert [step.dtype for step in steps] == [np.float32] * 5
    assert all(step.min() >= 0 and step.max() <= 1 for step in steps)
    assert steps.upright.shape == (168, 224, 3)  # reduced by 4
    assert steps.mask.shape == steps.grey.shape == (168, 224)
    expected = np.zeros((168, 224))  # the trousers again, by hand
    expected[60:80, 100:140] = expected[60:140, 100:116] = expected[60:140, 124:140] = 1
    assert np.abs(steps.mask - expected).mean() < 0.01
    np.testing.assert_array_equal(steps.grey > 0, steps.mask == 1)
    assert np.median(steps.grey[steps.mask == 1]) == pytest.approx(GREY)
    assert steps.trimmed.shape == pytest.approx((80, 40), abs=2)
    assert steps.centred.shape == (28, 28, 1)
    np.testing.assert_allclose(steps.centred * 255, np.rint(steps.centred * 255), atol=1e-4)
    np.testing.assert_array_equal(fc.prepare_photo(str(path)), steps.centred)
    sizes = "upright 224×168, mask 224×168, grey 224×168, trimmed "
    assert repr(steps).startswith(f"PhotoSteps({sizes}")


def noisy():
    """A gradient, noise and specks."""
    image = np.asarray(drawn_trousers(CREAM), np.float64)
    image *= 1 - 0.2 * np.linspace(0, 1, 400)[np.newaxis, :, np.newaxis]
    image += np.random.default_rng(0).normal(0, 5, image.shape)
    image[20:23, 20:23] = image[280:282, 350:352] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("photo", "most"),
    [
        *((drawn_trousers(*colours), 0.01) for colours in ((CREAM, NAVY), (NAVY, CREAM))),
        *((drawn_trousers(*colours), 0.01) for colours in ((BLACK, WHITE), (WHITE, BLACK))),
        (drawn_trousers((90, 160, 90), (160, 40, 40)), 0.01),
        *((drawn_trousers(place=place), 0.01) for place in ((0, 0), (290, 90), (150, 99))),
        (drawn_trousers(size=(260, 160), place=(30, 10), scale=0.5), 0.04),
        (drawn_trousers(size=(1260, 910), place=(180, 60), scale=3), 0.04),
        (drawn_trousers(size=(4460, 3310), place=(660, 220), scale=11), 0.04),
        (noisy(), 0.06),
    ],
)
def test_colours_place_size_and_noise_do_not_matter(upright, photo, most):
    assert_close(fc.prepare_photo(photo), upright, most)


def test_cut_off_on_three_sides_it_still_stands_out():
    image = drawn_trousers(CREAM, size=(110, 120), place=(5, -30))
    assert fc.photo_steps(image).trimmed.shape == (120, 100)


def test_the_negative_is_the_same():
    shaded = np.asarray(drawn_trousers(CREAM)).copy()
    shaded[60:120] //= 2
    assert_close(fc.prepare_photo(255 - shaded), fc.prepare_photo(shaded), 1 / 255)


def test_a_pattern_does_not_eat_the_garment():
    """Half of a check in nearly the colour of the background."""
    check = np.asarray(drawn_trousers(CREAM)).copy()
    whole = (check != CREAM).any(axis=2)
    rows, columns = np.indices(whole.shape) // 9 % 2
    check[whole & (rows == columns)] = (225, 215, 190)
    found = fc.photo_steps(check).mask > 0
    expected = np.asarray(Image.fromarray(whole).resize(found.shape[::-1], Image.Resampling.BOX))
    assert np.mean(found == expected) > 0.97


def test_spread_sleeves_leave_room_for_the_body():
    image = Image.new("RGB", (400, 300), CREAM)
    draw = ImageDraw.Draw(image)
    draw.rectangle((150, 60, 250, 240), fill=NAVY)
    draw.rectangle((30, 60, 370, 100), fill=NAVY)  # sleeves: more than twice as wide as the body
    held = (fc.prepare_photo(image)[..., 0] > 0).sum(axis=0)
    is_body = held >= held.max() / 2
    assert 0.5 < is_body.sum() / (held > 0).sum() < 0.7


def cut_out(image, alpha):
    image = image.convert("RGBA")
    image.putalpha(alpha.convert("L"))
    return image


@pytest.mark.parametrize("garment", [NAVY, (250, 250, 250)])
def test_a_cut_out_picture_needs_no_background(upright, garment):
    """What shows through is white, or black where white would swallow the garment."""
    alpha = drawn_trousers(BLACK, WHITE)
    steps = fc.photo_steps(cut_out(drawn_trousers(WHITE, garment), alpha))
    assert_close(steps.centred, upright, 0.01)
    around = np.asarray(alpha.resize((224, 168)).convert("L")) == 0
    assert np.median(steps.upright[around]) == (1 if garment == NAVY else 0)


def test_the_mask_of_a_cut_out_is_what_is_opaque_but_for_specks_threads_and_holes():
    """Even where it has the colour of what shows through: a leg is white."""
    image, alpha = drawn_trousers(), drawn_trousers(BLACK, WHITE)
    ImageDraw.Draw(image).rectangle((140, 40, 179, 239), fill=WHITE)
    expected = np.asarray(alpha.resize((224, 168), Image.Resampling.BOX).convert("L")) > 127
    draw = ImageDraw.Draw(alpha)
    draw.rectangle((150, 100, 161, 111), fill=BLACK)  # less than 2 % of the trousers
    draw.rectangle((20, 20, 59, 49), fill=WHITE)  # less than 15 %
    draw.line((190, 0, 190, 40), fill=WHITE, width=2)
    found = fc.photo_steps(cut_out(image, alpha)).mask > 0
    assert found[59, 87]  # in the hole
    assert np.mean(found != expected) < 0.005


WALL = Image.fromarray(noisy())
EXPECTED_ON_WALL = fc.prepare_photo(WALL)


def masked(shape, **options):
    """A photo that shows only what a shape covers: its corners are transparent."""
    alpha = Image.new("L", WALL.size)
    getattr(ImageDraw.Draw(alpha), shape)((0, 0, 399, 299), fill=255, **options)
    return cut_out(WALL, alpha)


def window():
    """A screenshot of a window, with a soft shadow around it."""
    image = masked("rounded_rectangle", radius=10)
    shadow = Image.new("L", (500, 400))
    shadow.paste(120, (50, 58, 450, 358))
    shadow = shadow.filter(ImageFilter.GaussianBlur(16))
    picture = cut_out(Image.new("RGB", shadow.size), shadow)
    picture.alpha_composite(image, (50, 50))
    return picture


def straightened(degrees):
    """A photo turned upright, on a transparent canvas that it touches with its corners."""
    slanted = cut_out(WALL, Image.new("L", WALL.size, 255)).rotate(degrees)
    return cut_out(WALL, slanted.getchannel("A"))


@pytest.mark.parametrize(
    "photo",
    [
        *(masked("rounded_rectangle", radius=radius) for radius in (8, 30, 90)),
        masked("ellipse"),
        *(masked("rounded_rectangle", radius=30).convert(mode) for mode in ("P", "RGBa")),
        *(straightened(degrees) for degrees in (3, -12)),
        window(),
    ],
)
def test_transparent_corners_do_not_make_a_cut_out(photo):
    assert_close(fc.prepare_photo(photo), EXPECTED_ON_WALL, 0.06)


@pytest.mark.parametrize("colour", [BLACK, WHITE, (180, 40, 90)])
@pytest.mark.parametrize(
    "widths", [(0, 150, 0, 150), (250, 0, 90, 0), (12, 12, 12, 70), (0, 0, 0, 60), (5, 5, 5, 5)]
)
def test_bars_and_frames_are_cut_off_first(widths, colour):
    framed = ImageOps.expand(WALL, widths, colour)
    twice = ImageOps.expand(framed, (90, 0, 90, 0), BLACK if colour != BLACK else WHITE)
    for photo in (framed, twice, written(framed, "JPEG", quality=50)):
        assert_close(fc.prepare_photo(photo), EXPECTED_ON_WALL, 0.07)


@pytest.mark.parametrize("garment", [NAVY, BLACK])
@pytest.mark.parametrize("place", [(140, 40), (0, 0), (300, 50), (150, 100)])
def test_the_background_of_a_garment_is_no_frame(upright, garment, place):
    """Nor is a plain rectangle, a bag, a picture in a frame."""
    photo = drawn_trousers(WHITE, garment, place=place)
    assert fc.photo_steps(photo).upright.shape == (168, 224, 3)
    bag = Image.new("RGB", (400, 300), WHITE)
    bag.paste(garment, (place[0], place[1], place[0] + 100, place[1] + 200))
    steps = fc.photo_steps(bag)
    assert steps.upright.shape == (168, 224, 3)
    assert steps.mask.mean() == pytest.approx(100 * 200 / (400 * 300), rel=0.1)


def test_a_picture_is_cut_out_of_a_plot(tmp_path):
    figure, ax = plt.subplots()
    ax.imshow(WALL)
    ax.set_title("trousers")
    figure.savefig(tmp_path / "plot.png")
    assert_close(fc.prepare_photo(tmp_path / "plot.png"), EXPECTED_ON_WALL, 0.08)


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize(("paper", "pen"), [(WHITE, BLACK), (NAVY, CREAM), ((0, 0, 0, 0), BLACK)])
def test_an_outline_is_filled(upright, paper, pen, width):
    drawing = Image.new("RGBA", (400, 300), paper)
    around = [(140, 40), (239, 40), (239, 239), (200, 239), (200, 90), (179, 90), (179, 239)]
    ImageDraw.Draw(drawing).line([*around, (140, 239), (140, 40)], fill=pen, width=width)
    mask, expected = (fc.photo_steps(x).mask for x in (drawing, drawn_trousers()))
    assert np.mean(mask == expected) > 0.97


def test_a_small_picture_or_its_negative_stays_as_it_is():
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 9:19] = np.random.default_rng(0).integers(50, 256, (20, 10))
    for picture in (image, 255 - image, Image.fromarray(image), image / 255):
        assert_close(fc.prepare_photo(picture), image[..., np.newaxis] / np.float32(255), 1e-6)


@pytest.mark.slow
def test_drawings_are_right_or_remarked_on(packaged, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    drawn = runpy.run_path(str(ROOT / "benchmarks" / "photos.py"))["DRAWN"]
    for name, right in drawn.items():
        image = fc.prepare_photo(DRAWINGS / f"{name}.png")
        for seen in (image, image[:, ::-1]):
            answer = fc.predict(packaged, seen)
            assert answer.class_name in right or answer.remark, name


def test_predict_photos_is_a_table(tmp_path):
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)).save(noise)
    (tmp_path / "text.jpg").write_text("no picture")
    missing, text = tmp_path / "missing.jpg", str(tmp_path / "text.jpg")
    paths = [DRAWINGS / "jeans.png", text, noise, DRAWINGS / "dress.png", missing]
    table = fc.predict_photos(paths)
    assert list(table.columns) == ["class_name", "probability", "unlikeness", "remark"]
    assert list(table.index) == [*map(str, paths)]
    for path in (paths[0], paths[3]):
        alone, row = fc.predict(fc.load_model(), fc.prepare_photo(path)), table.loc[str(path)]
        assert (row.class_name, row.remark) == (alone.class_name, "")
        assert row.probability == pytest.approx(alone.probability)
        assert row.unlikeness == pytest.approx(alone.unlikeness)
    assert "cannot be read" in table.remark[text]
    assert "No such file" in table.remark[str(missing)]
    assert np.isnan(table.probability[text])
    assert table.unlikeness[str(noise)] > 1
    assert table.remark[str(noise)].startswith("This does not look like")
    for no_list in (paths[0], str(paths[0]), None):
        with pytest.raises(TypeError, match=r"call predict_photos\(\[path\]\)"):
            fc.predict_photos(no_list)


@pytest.mark.parametrize(
    ("size", "places", "advice"),
    [
        ((400, 300), [(140, 40)], ""),
        ((600, 300), [(40, 40), (400, 40)], "several things stand out"),
        ((400, 200), [(140, 40)], "it reaches the edge"),
        ((900, 900), [(400, 400)], "it is small in the picture"),
    ],
)
def test_the_advice_is_about_this_picture(size, places, advice):
    picture = Image.new("RGB", size, WHITE)
    garment = drawn_trousers(WHITE, NAVY, place=(0, 0)).crop((0, 0, 100, 200))
    for place in places:
        picture.paste(garment, place)
    assert fc.photo_steps(picture).remark.startswith(advice)
    assert bool(fc.photo_steps(picture).remark) == bool(advice)


def test_plot_photo_steps():
    photo = np.ones((300, 200))
    photo[50:250, 60:160] = 0.2
    steps, given = fc.photo_steps(photo), plt.figure()
    assert fc.plot_photo_steps(steps, figure=given) is given
    for figure in (given, fc.plot_photo_steps(photo)):
        for ax, name, image in zip(figure.axes, steps._fields, steps, strict=True):
            assert ax.get_title() == f"{name}, {image.shape[1]}×{image.shape[0]}"
            np.testing.assert_array_equal(ax.images[0].get_array(), np.squeeze(image))
