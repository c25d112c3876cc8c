"""The live page in a real browser: the network, and what holds for each of the three views."""

import base64
import json
import re

import keras
import numpy as np
import pytest
from conftest import DIGITS, DRAWINGS, PAGE, PHONE, ROOT, scrolls_sideways, without_a_name
from PIL import Image
from playwright.sync_api import expect

import fashion_cnn as fc
from fashion_cnn.unlikeness import unlikeness

TOLERANCE = 1e-4
EXAMPLES = [
    (drawing["label"], np.frombuffer(base64.b64decode(drawing["pixels"]), np.uint8) / 255)
    for drawing in json.loads((PAGE / "examples.json").read_text("utf-8"))
]
DRAWING = DRAWINGS / "sneaker.png"
LOAD = """async directory => {
    window.engine = await import("./engine.js");
    const manifest = await (await fetch(`${directory}/model.json`)).json();
    const weights = await (await fetch(`${directory}/weights.bin`)).arrayBuffer();
    window.model = engine.readModel(manifest, weights);
    if (!manifest.unlikeness) return;
    const judge = await (await fetch(`${directory}/unlikeness.bin`)).arrayBuffer();
    window.judge = engine.readModel(manifest.unlikeness, judge);
}"""
RUN = """image => { // what every layer makes of it, and its logits
    const { layers, logits } = engine.run(model, new Float32Array(image));
    return [...layers.map(({ output }) => output), logits].map((values) => Array.from(values));
}"""
OCCLUDE = """([image, label]) => {
    const result = engine.run(model, image), rows = [...Array(28).keys()];
    return rows.flatMap((row) => Array.from(engine.occludedRow(model, result, label, row)));
}"""
UNLIKE = "(image) => engine.unlikenessOf(judge, image)"
EXPLAIN = """image => { // every cell of every layer from its terms; return those that differ
    const result = engine.run(model, image), wrong = [];
    model.layers.forEach(({kind, shape}, index) => {
        const {output} = result.layers[index], isLast = index === model.layers.length - 1;
        output.forEach((expected, n) => {
            const cell = Math.floor(n / shape[2]);
            const place = [Math.floor(cell / shape[1]), cell % shape[1], n % shape[2]];
            const at = [model, result, index, ...place];
            let value = expected, error = 0;
            if (kind === "conv") value = engine.convolutionTerms(...at).output;
            if (kind === "pool") value = engine.poolingTerms(...at).output;
            if (kind === "dense") {
                const {total, terms, bias} = engine.denseTerms(model, result, index, n);
                error = Math.abs(terms.reduce((a, {product}) => a + product, bias) - total);
                value = isLast ? expected + total - result.logits[n] : Math.max(total, 0);
            }
            if (Math.abs(value - expected) > 1e-5 || error > 1e-5) wrong.push([index, n]);
        });
    });
    return wrong;
}"""


@pytest.fixture
def page(open_view):
    return open_view("network")


@pytest.fixture
def load(page):
    """Load a model beside the page, without showing it; return what evaluates JavaScript."""
    return lambda name: page.evaluate(LOAD, f"{name}/model".replace("model/", "")) or page.evaluate


def probabilities_of(page):
    return page.locator("#bars .value").all_inner_texts()


def assert_shown(texts, probabilities):
    for text, probability in zip(texts, probabilities, strict=True):
        rounding = 0.11 if "." in text else 0.51
        assert abs(float(text.strip("<>%")) - 100 * probability) < rounding


def example(page, number):
    page.locator("#examples button").nth(number).click()


# The numbers


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model", "tiny"),
        ("small", "tiny"),
        pytest.param("model", "real", marks=pytest.mark.real_data),
    ],
)
def test_every_layer_is_as_keras_computes_it(request, load, models, name, data):
    evaluate, images = load(name), request.getfixturevalue(data).test.images[:20]
    outputs = fc.inside.layer_outputs(models[name], images)
    assert len(outputs) == 8
    for number, image in enumerate(images):
        *layers, logits = evaluate(RUN, image.ravel().tolist())
        for found, expected in zip(layers, outputs.values(), strict=True):
            assert np.abs(found - expected[number].ravel()).max() < TOLERANCE
        np.testing.assert_allclose(layers[-1], keras.ops.softmax(np.array(logits)), atol=1e-5)


def test_unlikeness_is_that_of_the_package(load, tiny):
    images = np.concatenate([tiny.test.images[:10], [x.reshape(28, 28, 1) for _, x in EXAMPLES]])
    evaluate = load("model")
    found = [evaluate(UNLIKE, image.ravel().tolist()) for image in images]
    np.testing.assert_allclose(found, unlikeness(images.astype(np.float32)), atol=5e-4)


def test_the_sums_behind_a_cell_are_its_value(load, tiny):
    assert load("small")(EXPLAIN, tiny.test.images[4].ravel().tolist()) == []


@pytest.mark.parametrize("name", ["model", "small"])
def test_the_map_of_where_it_looked_is_occlusion_map(load, models, tiny, name):
    evaluate = load(name)
    for image in tiny.test.images[:3]:
        label = int(np.argmax(models[name](image[None])))
        drops = np.reshape(evaluate(OCCLUDE, [image.ravel().tolist(), label]), (28, 28))
        expected = fc.inside.occlusion_map(models[name], image, label)
        assert np.abs(drops - expected).max() < TOLERANCE


def test_receptive_fields_are_those_of_the_layer_table(load, models):
    evaluate = load("model")
    expected = fc.inside.layer_table(models["model"])["receptive field"]
    for index, name in enumerate(["conv1", "pool1", "conv2", "pool2"]):
        middle = models["model"].get_layer(name).output.shape[1] // 2
        field = evaluate(f"engine.receptiveField(model, {index}, {middle}, {middle})")
        assert field["bottom"] - field["top"] == field["right"] - field["left"] == expected[name]


# The network


def test_every_example_is_answered_as_the_network_answers(page, models):
    assert 25 <= len(EXAMPLES) <= 40
    answers = np.asarray(models["model"](np.reshape([x for _, x in EXAMPLES], (-1, 28, 28, 1))))
    verdicts = set()
    page.get_by_role("button", name="More").click()
    for number, ((label, _), probabilities) in enumerate(zip(EXAMPLES, answers, strict=True)):
        example(page, number)
        predicted = int(probabilities.argmax())
        name = fc.CLASS_NAMES[predicted] + "?" * bool(probabilities.max() < 0.6)
        expect(page.locator("#answer-heading")).to_have_text(name)
        verdict = "right" if label == predicted else "wrong"
        expect(page.locator("#verdict")).to_have_class(verdict)
        verdicts.add((verdict, label is None))
    assert len(verdicts) == 3  # right, wrong, and what has no name


def test_own_drawing_by_mouse_and_keyboard_stays_for_the_next_visit(page):
    heading, values = page.locator("#answer-heading"), page.locator("#bars .value")
    pad = page.locator("#pad")
    page.get_by_role("button", name="Clear").click()
    expect(heading).to_have_text("What will it be?")
    blank = probabilities_of(page)
    pad.focus()
    page.keyboard.press("Space")
    for key in ["ArrowDown"] * 8 + ["ArrowRight"] * 6:
        page.keyboard.press(f"Shift+{key}")
    expect(heading).not_to_have_text("What will it be?")
    by_key = probabilities_of(page)
    assert by_key != blank
    expect(page.get_by_role("status").first).to_contain_text("Row 22, column 20: 90% white")
    expect(page.locator("#cursor")).to_be_visible()
    pad.drag_to(pad, source_position={"x": 40, "y": 40}, target_position={"x": 150, "y": 40})
    expect(values).not_to_have_text(by_key)
    by_mouse = probabilities_of(page)
    page.get_by_role("button", name="Erase").click()
    pad.click(position={"x": 60, "y": 40})
    expect(values).not_to_have_text(by_mouse)
    drawn = probabilities_of(page)
    page.reload()
    expect(values).to_have_text(drawn)
    page.get_by_role("button", name="Clear").click()
    expect(values).to_have_text(blank)
    page.get_by_role("button", name="Undo").click()
    expect(values).to_have_text(drawn)
    example(page, 1)
    page.wait_for_url("**#example=2")
    page.reload()
    expect(page.locator("#examples [aria-current]")).to_have_count(1)  # not the drawing again


def test_covering_changes_the_probabilities_and_shows_those_before(page, models):
    before = probabilities_of(page)
    page.get_by_role("button", name="Cover").click()
    page.locator("#pad").focus()
    page.keyboard.press("ArrowUp")  # up from the middle
    expect(page.locator("#patch")).to_be_visible()
    expect(page.locator("#bars .before").first).to_be_visible()
    image = EXAMPLES[0][1].reshape(1, 28, 28, 1).copy()
    image[:, 9:16, 10:17] = image[image > 0].mean()
    expected = np.asarray(models["model"](image))[0]
    after = probabilities_of(page)
    assert after != before
    assert_shown(after, expected)
    sentence = f"Covered: {fc.CLASS_NAMES[0]} goes from {before[0]} to {after[0]}"
    expect(page.locator("#verdict")).to_have_text(sentence)
    page.keyboard.press("Escape")
    expect(page.locator("#patch")).to_be_hidden()
    assert probabilities_of(page) == before


def test_where_it_looked(page):
    example(page, 1)
    button = page.get_by_role("button", name="Where did it look?")
    button.click()
    expect(page.locator("#look-note")).to_contain_text("Ankle boot loses up to", timeout=30_000)
    expect(page.locator("#looked")).to_be_visible()
    button.click()
    expect(page.locator("#looked")).to_be_hidden()


NAMES = ["conv1", "pool1", "conv2", "pool2", "flatten", "hidden", "dropout"]
NUMBER = r"[−\d.]+"
TERMS = re.compile(rf"({NUMBER}) × ({NUMBER}) ≈ ({NUMBER})")


def numbers(text):
    return [float(number.replace("−", "-")) for number in re.findall(rf"(?<!\w){NUMBER}", text)]


def test_every_layer_explains_a_cell_by_mouse_and_keyboard(page):
    canvases = page.locator(".layer > canvas")
    heading, live = page.locator("#detail-heading"), page.get_by_role("status").first
    expect(page.locator("#trail")).to_contain_text("Strongest path: T-shirt/top")
    for number, name in enumerate(NAMES):  # what is explained before covers some of them
        canvases.nth(number).hover(position={"x": 12, "y": 12})
        expect(heading).to_contain_text(f"{name} · ")
    page.mouse.move(5, 5)
    for _ in range(11):
        page.keyboard.press("Tab")
    expect(canvases.first).to_be_focused()
    for number, name in enumerate(NAMES):
        canvases.nth(number).focus()
        page.keyboard.press("ArrowRight")
        expect(heading).to_contain_text(f"{name} · ")
        first = heading.inner_text()
        page.keyboard.press("PageDown")
        expect(heading).not_to_have_text(first)
        expect(live).to_contain_text(name)
        expect(page.locator("#wires .own")).to_be_visible()
    canvases.nth(1).focus()
    page.keyboard.press("Enter")  # leads into the panel
    expect(page.locator("#working button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(canvases.nth(1)).to_be_focused()
    page.locator("#bars button").nth(3).focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_text("Dress: for and against")


def test_a_chosen_cell_stays_and_its_sums_are_chosen_by_keyboard(page):
    canvases, heading = page.locator(".layer > canvas"), page.locator("#detail-heading")
    canvases.nth(2).click(position={"x": 12, "y": 12})
    expect(heading).to_have_text("conv2 · map 1")
    canvases.nth(0).hover(position={"x": 12, "y": 12})
    expect(heading).to_have_text("conv2 · map 1")
    slider = page.get_by_role("slider", name="Map of the layer before")
    slider.focus()
    for key, chosen in (("Home", "1"), ("ArrowRight", "2"), ("End", "32"), ("ArrowUp", "32")):
        page.keyboard.press(key)
        expect(slider).to_have_value(chosen)
    expect(page.locator("#working figcaption").first).to_have_text("window, map 32")
    page.keyboard.press("Escape")
    expect(heading).to_be_hidden()


def test_what_is_shown_adds_up_and_leads_back_to_the_picture(page):
    equation, working = page.locator("#equation b"), page.locator("#working")
    page.locator("#bars button").first.click()
    for name in ["hidden", "flatten", "pool2", "conv2", "pool1", "conv1"]:
        sums = numbers(" ".join(equation.all_inner_texts()))
        for a, b, product in (
            numbers(" ".join(term)) for term in TERMS.findall(working.inner_text())
        ):
            assert abs(a * b - product) < 0.002 * (1 + abs(a) + abs(b))
        if name in ("hidden", "flatten"):
            *terms, total = sums if name == "hidden" else sums[:-1]
            assert abs(sum(terms) - total) < 1e-9
        if name == "hidden":
            rows = [numbers(row)[-3:] for row in page.locator(".ledger tr").all_inner_texts()[1:-1]]
            logits, powers, shares = np.transpose(rows)
            np.testing.assert_allclose(powers, np.exp(logits), rtol=0.001, atol=0.0015)
            np.testing.assert_allclose(shares, 100 * powers / sum(powers), atol=0.11)
        page.locator("#working button, #equation button").first.click()
        expect(page.locator("#detail-heading")).to_contain_text(name)
    grids = (grid.locator("> *").all_inner_texts() for grid in working.locator(".matrix").all())
    *_, products = (numbers(" ".join(grid)) for grid in grids)
    shown = numbers(working.locator("figcaption").last.inner_text())[0]
    assert shown == pytest.approx(sum(products))
    assert shown == numbers(equation.first.inner_text())[0]
    expect(page.locator("#trail button")).to_have_count(6)


def test_the_address_says_what_is_seen(open_view):
    page = open_view("network", "lang=en&theme=light#example=2&cell=conv2.14.5.8&relu=before")
    expect(page.locator("#answer-heading")).to_have_text("Ankle boot")
    expect(page.locator("#detail-text")).to_contain_text("Row 5, column 8 of 14×14")
    expect(page.get_by_role("button", name="before ReLU")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".layer .scale").first).to_contain_text("−")
    page.keyboard.press("Escape")
    page.locator("#bars button").nth(2).click()
    page.wait_for_url("**#example=2&cell=output.3.1.1&relu=before")
    expect(page.locator("#coach")).to_contain_text("1 of 4")
    page.get_by_role("button", name="Skip").click()
    expect(page.locator("#coach")).to_contain_text("Draw something to wear.")


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_network_fits_every_screen(open_view, lang):
    page = open_view("network", f"lang={lang}", has_touch=True, reduced_motion="reduce")
    panel = page.locator("#detail")
    for width, height in ((360, 800), (820, 1100), (1180, 720), (1280, 720), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        if width >= 1180:
            for part in page.locator(".scale, #bars button, #look, #trail").all():
                assert part.bounding_box()["y"] + part.bounding_box()["height"] <= height
        for number in range(7):
            canvas = page.locator(".layer > canvas").nth(number)
            canvas.tap(position={"x": 8, "y": 10})
            expect(panel).to_be_visible()
            assert not scrolls_sideways(page), width
            assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), (width, number)
            outer, own = panel.bounding_box(), page.locator("#wires .own").bounding_box()
            apart = max(
                outer["x"] - own["x"] - own["width"], own["x"] - outer["x"] - outer["width"]
            )
            assert max(apart, outer["y"] - own["y"] - own["height"]) >= 0
            page.get_by_role("button", name={"en": "Close", "ko": "닫기"}[lang]).first.click()
            expect(panel).to_be_hidden()


# A person's own picture, with no server behind the page; test_demo.py tests it with one.


@pytest.mark.parametrize("path", sorted(DRAWINGS.glob("*.png")), ids=lambda path: path.stem)
def test_a_drawing_is_answered_as_by_the_package(page, models, path):
    expected = fc.predict(models["model"], fc.prepare_photo(path))
    page.locator("#file").set_input_files(path)
    expect(page.locator("#steps li")).to_have_count(5)
    expect(page.locator("#answer-heading")).to_contain_text(expected.class_name)


def test_a_picture_is_prepared_without_a_server(page, tmp_path):
    page.locator("#file").set_input_files(DRAWING)
    expect(page.locator("#answer-heading")).to_have_text("Sneaker")
    expect(page.locator("#remark")).to_contain_text("Prepared in this browser")
    expect(page.locator("#unlike")).to_be_hidden()
    mug = tmp_path / "mug.png"
    Image.fromarray((255 * EXAMPLES[7][1]).astype(np.uint8).reshape(28, 28)).save(mug)
    page.locator("#file").set_input_files(mug)
    expect(page.locator("#headline")).to_contain_text("Unlike what it learned from")
    expect(page.locator("#remark")).to_contain_text("This does not look like the clothes")
    page.locator("#file").set_input_files(ROOT / "README.md")
    expect(page.locator("#remark")).to_contain_text("This file cannot be read as a picture.")
    for kind, name in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        example(page, 0)
        expect(page.locator("#answer-heading")).to_have_text("T-shirt/top")
        page.evaluate(
            """([content, kind, name]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(content)], "a.png", {type: "image/png"}));
                const event = kind === "drop" ? new DragEvent(kind, {[name]: data, bubbles: true})
                    : new ClipboardEvent(kind, {[name]: data, bubbles: true});
                document.body.dispatchEvent(event);
            }""",
            [list(DRAWING.read_bytes()), kind, name],
        )
        expect(page.locator("#answer-heading")).to_have_text("Sneaker")


def test_the_network_of_a_server_is_named_and_a_server_that_has_gone(open_view, play):
    manifest = json.loads((play / "model" / "model.json").read_text("utf-8"))
    manifest |= {"name": "mine.keras", "server": True, "trained_on": "stand-in"}
    routes = {
        "**/model.json": lambda route: route.fulfill(json=manifest),
        "**/prepare*": lambda route: route.fulfill(status=200, body="no JSON"),
    }
    page = open_view("network", routes=routes)
    expect(page.locator("#model")).to_contain_text("mine.keras answers")
    expect(page.locator("#model")).to_contain_text("trained on stand-in data")
    page.locator("#file").set_input_files(DRAWING)
    expect(page.locator("#remark")).to_contain_text("The server does not answer.")


def test_a_page_of_ones_own_has_its_network_names_and_numbers(open_view, models, tiny):
    small = models["small"]
    outputs = fc.inside.layer_outputs(small, tiny.test.images[3])
    maps = outputs["conv2"][0]
    row, column, channel = np.unravel_index(maps.argmax(), maps.shape)
    cell = f"conv2.{channel + 1}.{row + 1}.{column + 1}"
    page = open_view("small/index", f"lang=en#example=4&cell={cell}")
    assert page.locator("#bars .words").all_inner_texts() == DIGITS
    assert_shown(probabilities_of(page), outputs["output"][0])
    expect(page.locator("#detail-heading")).to_have_text(f"conv2 · map {channel + 1}")
    shown = numbers(page.locator("#equation").inner_text())[-1]
    assert shown == pytest.approx(maps.max(), abs=6e-4) != 0
    accuracy = fc.evaluate(small, tiny.test).accuracy
    expect(page.locator("#model")).to_have_text(
        "digits.keras answers: 17,158 weights. It was trained on other data than Fashion-MNIST. "
        f"Of 200 test images, it gets {accuracy:.1%} right."
    )
    words = page.locator("body").inner_text()
    assert not [name for name in ("Learning", "wear", *fc.CLASS_NAMES) if name in words]


# What holds for each view

TITLES = {
    "network": {"en": "Watch a network see", "ko": "신경망이 보는 과정을 들여다보세요"},
    "convolution": {"en": "A convolution, cell by cell", "ko": "합성곱, 한 칸씩 계산하기"},
    "learning": {"en": "How the filters took shape", "ko": "필터가 만들어지는 과정"},
}
COMMAND = re.compile(r"python \S+|fashion-cnn demo")
each_view = pytest.mark.parametrize("view", TITLES)


@each_view
def test_it_fits_a_phone_in_both_languages(open_view, view):
    page = open_view(view, "lang=ko&theme=dark", **PHONE)
    for lang in ("ko", "en"):
        expect(page.get_by_role("heading", level=1)).to_have_text(TITLES[view][lang])
        assert not scrolls_sideways(page)
        assert without_a_name(page) == []
        seen = COMMAND.sub("", page.locator("main").inner_text())
        if lang == "en":
            assert not re.search("[가-힣]", seen)
        elif view != "network":  # its layers have English names
            assert not re.search(r"[A-Za-z]{3,}", seen)
        page.locator("#language").click()


@each_view
@pytest.mark.parametrize(("lang", "other", "scheme"), [("en", "ko", "light"), ("ko", "en", "dark")])
def test_language_and_theme_are_the_browsers_and_can_be_switched(
    open_view, view, lang, other, scheme
):
    locale = {"en": "en-GB", "ko": "ko-KR"}[lang]
    page = open_view(view, "", locale=locale, color_scheme=scheme)
    for language in (lang, other):
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.get_by_role("heading", level=1)).to_have_text(TITLES[view][language])
        links = page.locator("header nav a")
        assert all(f"lang={language}" in a.get_attribute("href") for a in links.all())
        page.locator("#language").click()
    page.locator("#language").click()
    ground = "parseInt(getComputedStyle(document.body).backgroundColor.slice(4)) > 128"
    assert page.evaluate(ground) == (scheme == "light")
    page.locator("#theme").click()
    assert page.evaluate(ground) == (scheme == "dark")
    page.goto(page.url.partition("?")[0] + "?embed=1")  # both are remembered
    expect(page.locator("html")).to_have_attribute("lang", other)
    assert page.evaluate(ground) == (scheme == "dark")
    for part in page.locator("header.shell, h1").all():
        expect(part).to_be_hidden()


@pytest.mark.parametrize("path", sorted((PAGE / "words").glob("*.js")), ids=lambda path: path.stem)
def test_every_word_is_there_in_both_languages(path):
    text = path.read_text("utf-8")
    english, korean = (re.findall(rf'\b{lang}: "[^"]', text) for lang in ("en", "ko"))
    assert len(english) == len(korean) > 0
