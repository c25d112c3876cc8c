"""The live page in a real browser: its numbers, its words, and its reach by keyboard."""

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from playwright.sync_api import expect

import fashion_cnn as fc
from fashion_cnn.app.page_model import page_model, write_model

PAGE = ROOT / "src" / "fashion_cnn" / "page"
POLICY = "default-src 'self'; img-src 'self' data: blob:"
TOLERANCE = 1e-4
LOAD = """async directory => {
    window.engine = await import("./engine.js");
    const manifest = await (await fetch(`${directory}/model.json`)).json();
    const weights = await (await fetch(`${directory}/weights.bin`)).arrayBuffer();
    window.model = engine.readModel(manifest, weights);
}"""
COMPARE = """async file => {
    const values = new Float32Array(await (await fetch(file)).arrayBuffer());
    const largest = model.layers.map(() => 0), sizes = model.layers.map(
        ({shape}) => shape.reduce((a, b) => a * b));
    let at = 0, sums = [], softmax = 0;
    const take = size => values.subarray(at, at += size);
    while (at < values.length) {
        const {layers, logits} = engine.run(model, take(784));
        layers.forEach(({output}, index) => {
            if (output.length !== sizes[index]) throw new Error(`${index}: ${output.length}`);
            take(sizes[index]).forEach((value, n) => {
                largest[index] = Math.max(largest[index], Math.abs(value - output[n]));
            });
        });
        const probabilities = layers.at(-1).output;
        sums.push(probabilities.reduce((a, b) => a + b));
        const powers = Array.from(logits, Math.exp), sum = powers.reduce((a, b) => a + b);
        powers.forEach((power, n) => {
            softmax = Math.max(softmax, Math.abs(power / sum - probabilities[n]));
        });
    }
    return {largest, sums, softmax};
}"""
OCCLUDE = """([image, label]) => {
    const steps = engine.occlusion(model, engine.run(model, image), label);
    let step;
    do step = steps.next(); while (!step.done);
    return Array.from(step.value);
}"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def models():
    """The package's network, and one of other sizes with weights that need 32 bits."""
    small = fc.build_cnn(filters=(8, 16), dense_units=20)
    rng = np.random.default_rng(0)
    small.set_weights([w + rng.normal(0, 0.05, w.shape) for w in small.get_weights()])
    return {"model": fc.load_model(), "small": small}


@pytest.fixture(scope="module")
def site(models, tmp_path_factory):
    """The directory of the page and its models, under a prefix."""
    play = tmp_path_factory.mktemp("site") / "play"
    shutil.copytree(PAGE, play)
    for name, model in models.items():
        write_model(model, play / name)
    return play


@pytest.fixture(scope="module")
def url(site):
    """The page, served as files under a strict policy, with nothing behind them."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_message(self, format, *args):
            pass

    handler = functools.partial(Handler, directory=str(site.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/play/network.html"
        server.shutdown()


@pytest.fixture
def visit(browser, url):
    """Open the page; at the end, no message was logged and no other host was asked."""
    contexts, messages, hosts = [], [], set()

    def heard(message):
        if "/prepare?" not in message.location["url"]:  # Chromium logs every refusal of a server
            messages.append(message.text)

    def open_page(query="lang=en", prepare=None, **kwargs):
        context = browser.new_context(**kwargs)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url)[:2]))
        if prepare:  # a server is behind the page
            manifest = page_model(fc.load_model(), name="mine.keras")[0]
            manifest |= {"server": True, "stand_in": True}
            page.route("**/model.json", lambda route: route.fulfill(json=manifest))
            page.route("**/prepare?*", prepare)
        page.goto(f"{url}?{query}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
    assert {host for host in hosts if host[0] not in ("data", "blob")} <= {urlsplit(url)[:2]}


@pytest.fixture
def engine(visit):
    """The page's arithmetic, without the page: load a model, then call its functions."""
    page = visit()

    def load(directory):
        page.evaluate(LOAD, directory)
        return page.evaluate

    return load


def answer_of(page):
    return page.locator("#answer-heading").inner_text()


def probabilities_of(page):
    return page.locator("#bars .value").all_inner_texts()


def example(page, number):
    page.locator("#examples button").nth(number).click()


def drag(page, locator, start, end):
    locator.hover(position={"x": start[0], "y": start[1]})
    page.mouse.down()
    locator.hover(position={"x": (start[0] + end[0]) / 2, "y": (start[1] + end[1]) / 2})
    locator.hover(position={"x": end[0], "y": end[1]})
    page.mouse.up()


# The numbers


def compare(evaluate, site, model, images):
    """Let the page compute every layer, and compare it with Keras there: 10 million numbers."""
    outputs = fc.inside.layer_outputs(model, images).values()
    parts = [images, *outputs]
    rows = np.concatenate([part.reshape(len(images), -1) for part in parts], axis=1)
    rows.astype("<f4").tofile(site / "expected.bin")
    result = evaluate(COMPARE, "expected.bin")
    assert len(result["largest"]) == 8
    assert np.max(result["largest"]) < TOLERANCE  # a NaN would stay, and fail
    assert len(result["sums"]) == 200
    assert np.allclose(result["sums"], 1, atol=1e-6)
    assert result["softmax"] < 1e-5


@pytest.mark.parametrize("name", ["model", "small"])
def test_every_layer_of_200_images_is_as_keras_computes_it(engine, site, models, tiny, name):
    images = tiny.test.images[:200]
    assert len(images) == 200
    compare(engine(name), site, models[name], images)


@pytest.mark.real_data
def test_every_layer_of_200_real_images_is_as_keras_computes_it(engine, site, models, real):
    compare(engine("model"), site, models["model"], real.test.images[:200])


@pytest.mark.parametrize("name", ["model", "small"])
def test_the_map_of_where_it_looked_is_occlusion_map(engine, models, tiny, name):
    evaluate = engine(name)
    for image in tiny.test.images[:3]:
        label = fc.predict(models[name], image, warn=False).label
        drops = np.reshape(evaluate(OCCLUDE, [image.ravel().tolist(), label]), (28, 28))
        expected = fc.inside.occlusion_map(models[name], image, label)
        assert np.abs(drops - expected).max() < TOLERANCE


def test_the_sums_behind_a_cell_are_its_value(engine, models, tiny):
    evaluate = engine("small")
    image = tiny.test.images[4].ravel().tolist()
    code = """image => {
        const result = engine.run(model, image), wrong = [];
        model.layers.forEach(({kind, shape}, index) => {
            const {output} = result.layers[index], last = index === model.layers.length - 1;
            for (let n = 0; n < output.length; n++) {
                const [row, column] = [Math.floor(n / shape[2] / shape[1]),
                                       Math.floor(n / shape[2]) % shape[1]];
                let value = output[n];
                if (kind === "conv") value = engine.convolutionTerms(
                    model, result, index, row, column, n % shape[2]).output;
                if (kind === "pool") value = engine.poolingTerms(
                    model, result, index, row, column, n % shape[2]).output;
                if (kind === "dense") {
                    const {total, terms, bias} = engine.denseTerms(model, result, index, n);
                    const sum = terms.reduce((a, {product}) => a + product, bias);
                    if (Math.abs(sum - total) > 1e-5) wrong.push([index, n]);
                    value = last ? output[n] : Math.max(total, 0);
                    if (last && Math.abs(result.logits[n] - total) > 1e-5) wrong.push([index, n]);
                }
                if (Math.abs(value - output[n]) > 1e-5) wrong.push([index, n]);
            }
        });
        return wrong;
    }"""
    assert evaluate(code, image) == []


def test_receptive_fields_are_those_of_the_layer_table(engine, models):
    evaluate = engine("model")
    expected = fc.inside.layer_table(models["model"])["receptive field"]
    for index, name in enumerate(["conv1", "pool1", "conv2", "pool2"]):
        middle = models["model"].get_layer(name).output.shape[1] // 2
        field = evaluate(f"engine.receptiveField(model, {index}, {middle}, {middle})")
        assert field["bottom"] - field["top"] == field["right"] - field["left"] == expected[name]


# The page


def test_every_example_is_answered_as_the_network_answers(visit, models):
    page = visit()
    examples = json.loads((PAGE / "examples.json").read_text())
    assert 25 <= len(examples) <= 40
    verdicts = set()
    for number, drawing in enumerate(examples):
        image = np.frombuffer(base64.b64decode(drawing["pixels"]), np.uint8).reshape(28, 28)
        prediction = fc.predict(models["model"], image, warn=False)
        example(page, number)
        is_sure = prediction.probability >= 0.6
        expect(page.locator("#answer-heading")).to_have_text(
            prediction.class_name + "?" * (not is_sure)
        )
        is_right = drawing["label"] == prediction.label
        expect(page.locator("#verdict")).to_have_class("right" if is_right else "wrong")
        verdicts.add((is_right, drawing["label"] is None))
    assert len(verdicts) == 3  # right, wrong, and what has no name


def test_drawing_with_the_mouse_and_the_keyboard(visit):
    page = visit()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer-heading")).to_have_text("What will it be?")
    blank = probabilities_of(page)
    page.locator("#pad").focus()
    page.keyboard.press("Space")
    for key in ["ArrowDown"] * 8 + ["ArrowRight"] * 6:
        page.keyboard.press(f"Shift+{key}")
    expect(page.locator("#answer-heading")).not_to_have_text("What will it be?")
    by_key = probabilities_of(page)
    assert by_key != blank
    expect(page.get_by_role("status").first).to_contain_text("Row 22, column 20: 90% white")
    expect(page.locator("#cursor")).to_be_visible()
    drag(page, page.locator("#pad"), (60, 60), (200, 60))
    values = page.locator("#bars .value")
    expect(values).not_to_have_text(by_key)
    by_mouse = probabilities_of(page)
    page.get_by_role("button", name="Erase").click()
    page.locator("#pad").click(position={"x": 100, "y": 60})
    expect(values).not_to_have_text(by_mouse)


def test_covering_changes_the_probabilities_and_shows_those_before(visit, models):
    page = visit()
    before = probabilities_of(page)
    page.get_by_role("button", name="Cover").click()
    page.locator("#pad").focus()
    page.keyboard.press("ArrowUp")  # up from the middle
    expect(page.locator("#patch")).to_be_visible()
    expect(page.locator("#bars .before").first).to_be_visible()
    picture = json.loads((PAGE / "examples.json").read_text())[0]["pixels"]
    image = np.frombuffer(base64.b64decode(picture), np.uint8).reshape(28, 28).copy()
    image[9:16, 10:17] = 0
    expected = fc.predict(models["model"], image, warn=False)
    assert probabilities_of(page) != before
    value = page.locator("#bars .value").nth(expected.label).inner_text()
    assert abs(float(value.rstrip("%")) - 100 * expected.probability) < 1
    told = re.fullmatch(
        "Covered: (.*) goes from (.*) to (.*)", page.locator("#verdict").inner_text()
    )
    assert told
    assert told[1] == fc.CLASS_NAMES[0]
    assert told[2] == before[0]
    assert told[3] == probabilities_of(page)[0]
    page.keyboard.press("Escape")
    expect(page.locator("#patch")).to_be_hidden()
    assert probabilities_of(page) == before


def test_where_it_looked(visit):
    page = visit()
    example(page, 9)
    button = page.get_by_role("button", name="Where did it look?")
    button.click()
    expect(page.locator("#look-note")).to_contain_text("Ankle boot loses up to", timeout=30_000)
    expect(page.locator("#looked")).to_be_visible()
    button.click()
    expect(page.locator("#looked")).to_be_hidden()


def test_every_layer_explains_a_cell_by_mouse_and_keyboard(visit):
    page = visit()
    canvases = page.locator(".layer canvas")
    assert canvases.count() == 9
    names = ["conv1", "pool1", "conv2", "pool2", "flatten", "hidden", "dropout"]
    heading, live = page.locator("#detail-heading"), page.get_by_role("status").first
    for number, name in enumerate(names, 1):
        canvases.nth(number).hover(position={"x": 12, "y": 12})
        expect(heading).to_contain_text(f"{name} · ")
    for number, name in enumerate(names, 1):
        canvases.nth(number).focus()
        page.keyboard.press("ArrowRight")
        expect(heading).to_contain_text(f"{name} · ")
        first = heading.inner_text()
        page.keyboard.press("PageDown")
        expect(heading).not_to_have_text(first)
        expect(live).to_contain_text(name)
        expect(page.locator("#wires .own")).to_be_visible()
    page.locator("#bars button").nth(3).focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_text("Dress: for and against")


def test_a_held_cell_stays_until_it_is_let_go(visit):
    page = visit()
    canvases, heading = page.locator(".layer canvas"), page.locator("#detail-heading")
    canvases.nth(3).click(position={"x": 40, "y": 12})
    expect(page.get_by_role("button", name="Hold")).to_have_attribute("aria-pressed", "true")
    expect(heading).to_have_text("conv2 · map 1")
    canvases.nth(1).hover(position={"x": 12, "y": 12})
    expect(heading).to_have_text("conv2 · map 1")
    page.keyboard.press("Escape")
    canvases.nth(1).hover(position={"x": 13, "y": 12})
    expect(heading).to_have_text("conv1 · map 0")


def test_the_sum_of_another_map_before_is_chosen_by_keyboard(visit):
    page = visit()
    page.locator(".layer canvas").nth(3).click(position={"x": 12, "y": 12})
    slider = page.get_by_role("slider", name="Map of the layer before")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    expect(page.locator("#conv-window")).to_have_text("window, map 1")


@pytest.mark.parametrize(("lang", "other"), [("en", "ko"), ("ko", "en")])
def test_the_language_is_the_browsers_and_can_be_switched(visit, lang, other):
    page = visit(query="", locale={"en": "en-GB", "ko": "ko-KR"}[lang])
    names = {"en": "T-shirt/top", "ko": "티셔츠"}
    for language in (lang, other):
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("#answer-heading")).to_have_text(names[language])
        links = page.locator("header nav a")
        assert all(f"lang={language}" in a.get_attribute("href") for a in links.all())
        page.locator("#language").click()
    page.locator("#language").click()
    page.goto(page.url.partition("?")[0])  # it is remembered
    expect(page.locator("html")).to_have_attribute("lang", other)


def test_every_word_is_there_in_both_languages():
    for path in sorted((PAGE / "words").glob("*.js")):
        text = path.read_text("utf-8")
        english = re.findall(r"\ben: \"", text)
        korean = re.findall(r"\bko: \"[^\"]*", text)
        assert len(english) == len(korean) > 0, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_and_can_be_switched(visit, scheme):
    page = visit(color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    first = page.evaluate(ground)
    assert (int(re.findall(r"\d+", first)[0]) > 128) == (scheme == "light")
    page.locator("#theme").click()
    assert page.evaluate(ground) != first


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("width", [360, 390, 800, 1120, 1280, 1600])
def test_nothing_overflows(visit, lang, width):
    page = visit(query=f"lang={lang}", viewport={"width": width, "height": 800}, has_touch=True)
    for number in range(1, 9):
        page.locator(".layer canvas").nth(number).tap(position={"x": 10, "y": 10})
        page.wait_for_timeout(350)  # until the panel has moved
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        panel = page.locator("#detail")
        assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), number
        for part in page.locator("#detail .matrix:visible, #detail .term:visible").all():
            box, outer = part.bounding_box(), panel.bounding_box()
            assert box["x"] >= outer["x"]
            assert box["x"] + box["width"] <= outer["x"] + outer["width"]
        if width <= 760:
            page.get_by_role("button", name={"en": "Close", "ko": "닫기"}[lang]).first.click()
            expect(panel).to_be_hidden()


def test_in_another_page_the_header_is_hidden(visit):
    page = visit(query="lang=en&embed=1")
    expect(page.locator("header.shell")).to_be_hidden()


def test_everything_has_a_name_for_a_screen_reader(visit):
    page = visit()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, canvas[tabindex], [role=img]")]
            .filter(e => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim()
                || e.labels?.[0]?.textContent.trim())).map(e => e.outerHTML)"""
    )
    assert nameless == []
    headings = page.locator("h1, h2").all_inner_texts()
    assert headings[0] == "Watch a network see"


# A person's own picture

DRAWING = ROOT / "notebooks" / "drawings" / "sneaker.png"


def test_a_picture_is_prepared_simply_without_a_server(visit):
    page = visit()
    page.locator("#file").set_input_files(DRAWING)
    expect(page.locator("#answer-heading")).to_have_text("Sneaker")
    expect(page.locator("#remark")).to_contain_text("Prepared simply, in this browser")
    expect(page.locator("#steps li")).to_have_count(2)
    page.locator("#file").set_input_files(ROOT / "README.md")
    expect(page.locator("#remark")).to_have_text("This file cannot be read as a picture.")


def test_a_picture_is_dropped_or_pasted(visit):
    page = visit()
    content = list(DRAWING.read_bytes())
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
            [content, kind, name],
        )
        expect(page.locator("#answer-heading")).to_have_text("Sneaker")


def test_a_server_prepares_a_picture_and_can_refuse_it(visit):
    asked = []
    image = np.squeeze(fc.prepare_photo(DRAWING))
    with io.BytesIO() as file:
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(file, "png")
        png = base64.b64encode(file.getvalue()).decode()
    names = ("upright", "mask", "grey", "trimmed", "centred")

    def prepare(route):
        asked.append((urlsplit(route.request.url).query, route.request.post_data_buffer))
        if "mirror=1" in route.request.url:
            error = {"en": "No garment <b>found</b>.", "ko": "옷을 찾지 못했습니다."}
            route.fulfill(status=422, json={"error": error})
            return
        steps = [{"name": name, "png": png} for name in names]
        remark = {"en": "Take it from the side.", "ko": "옆에서 찍어 주세요."}
        route.fulfill(
            json={
                "steps": steps,
                "image": image.ravel().tolist(),
                "unlikeness": 1.28,
                "remark": remark,
            }
        )

    page = visit(prepare=prepare)
    expect(page.locator("#model")).to_contain_text("mine.keras answers")
    expect(page.locator("#model")).to_contain_text("trained on stand-in data")
    page.locator("#file").set_input_files(DRAWING)
    expect(page.locator("#answer-heading")).to_have_text("Sneaker")
    expect(page.locator("#steps img")).to_have_count(5)
    expect(page.locator("#remark")).to_contain_text("Take it from the side.")
    expect(page.locator("#remark")).to_contain_text("1.28")
    assert asked == [("turn=0&mirror=0", DRAWING.read_bytes())]
    box = page.locator("#photo-canvas").bounding_box()
    width, height = box["width"], box["height"]
    drag(page, page.locator("#photo-canvas"), (width / 4, height / 4), (width / 2, height * 0.75))
    with page.expect_request("**/prepare?turn=90*") as request:
        page.get_by_role("button", name="Turn").click()
    query = parse_qs(urlsplit(request.value.url).query)
    crop = [float(part) for part in query["crop"][0].split(",")]
    assert np.allclose(crop, [0.25, 0.25, 0.5, 0.75], atol=0.02)
    page.get_by_role("button", name="Mirror").click()
    expect(page.locator("#remark")).to_contain_text("No garment <b>found</b>.")
    page.locator("#language").click()
    expect(page.locator("#remark")).to_contain_text("옷을 찾지 못했습니다.")


def test_a_server_that_has_gone_is_named(visit):
    page = visit(prepare=lambda route: route.fulfill(status=200, body="no JSON"))
    page.locator("#file").set_input_files(DRAWING)
    expect(page.locator("#remark")).to_contain_text("The server does not answer.")


def test_own_drawing_stays_for_the_next_visit_in_this_tab(visit):
    page = visit()
    page.get_by_role("button", name="Clear").click()
    drag(page, page.locator("#pad"), (60, 60), (200, 200))
    expect(page.locator("#answer-heading")).not_to_have_text("What will it be?")
    drawn = probabilities_of(page)
    page.reload(wait_until="networkidle")
    expect(page.locator("#bars .value")).to_have_text(drawn)
    example(page, 9)
    page.reload(wait_until="networkidle")
    expect(page.locator("#examples [aria-current]")).to_have_count(1)  # not the drawing again
