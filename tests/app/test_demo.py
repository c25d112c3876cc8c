"""The web page: its answers, what it withstands, and how it looks in a real browser."""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import gradio_client
import numpy as np
import pytest
import requests
from conftest import ROOT, TINY_DIR
from PIL import Image, UnidentifiedImageError
from playwright.sync_api import expect, sync_playwright

import fashion_cnn as fc
from fashion_cnn.app.demo import NAMES, NO_ANSWER, Demo, _composite

DRAWINGS = ROOT / "notebooks" / "drawings"
ADDRESS = "127.0.0.1"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Where `make screenshot` wants the picture; the network is then trained on the real data.
SCREENSHOT = os.environ.get("FASHION_CNN_SCREENSHOT")
pytestmark = pytest.mark.slow


# The command line, in a process that writes down every host it looks up.
RECORDING = """
import socket, sys
place, look_up = sys.argv.pop(1), socket.getaddrinfo
def record(host, *args, **kwargs):
    with open(place, "a") as file:
        print(host, file=file)
    return look_up(host, *args, **kwargs)
socket.getaddrinfo = record
from fashion_cnn.app.cli import main
main()
"""


@contextlib.contextmanager
def served(checkpoint, data_dir, looked_up):
    """Serve the page as a user does; yield its address; end it with Ctrl-C."""
    port = free_port()
    args = ["demo", "--checkpoint", checkpoint.name, "--port", port, "--data-dir", data_dir]
    with subprocess.Popen(
        [sys.executable, "-c", RECORDING, looked_up, *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkpoint.parent,
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9"},  # of no concern to the page
        # A background shell makes its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as server:
        try:
            line = server.stdout.readline()
            assert line == f"The page is at http://{ADDRESS}:{port}/ (Ctrl-C ends it)\n"
            yield f"http://{ADDRESS}:{port}/"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    assert server.returncode == 0


@pytest.fixture(scope="module")
def looked_up(tmp_path_factory):
    """A file with the hosts that the server looked up."""
    return tmp_path_factory.mktemp("looked-up") / "hosts.txt"


@pytest.fixture(scope="module")
def url(trained, looked_up, request, tmp_path_factory):
    """The address of the page, with the network that the other tests trained."""
    checkpoint, data_dir = trained[2], TINY_DIR
    if SCREENSHOT:
        checkpoint = tmp_path_factory.mktemp("real") / "best-cnn-model.keras"
        data_dir = request.getfixturevalue("real_dir")
        data = request.getfixturevalue("real")
        fc.train(trained[0], data, fc.FAST, checkpoint=checkpoint, verbose=0)
    with served(checkpoint, data_dir, looked_up) as url:
        yield url


def free_port():
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        return sock.getsockname()[1]


def port_of(url):
    return int(url.rpartition(":")[2].strip("/"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures that can be answered, and bad ones."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("dress", "t-shirt", "winter-boot", "handbag", "jeans"):
        shutil.copy(DRAWINGS / f"{name}.png", folder)
    whole = (DRAWINGS / "winter-boot.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("This is no picture.")
    Image.new("L", (5, 5)).save(folder / "small.png")
    Image.new("L", (300, 300), 200).save(folder / "blank.png")
    (folder / "bomb.png").write_bytes(png_bomb(60_000))
    (folder / "huge.png").write_bytes(whole + bytes(60_000_000))
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    return folder


def png_bomb(side):
    """Return a valid PNG of side × side black pixels: 3.6 gigapixels in half a megabyte."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


BAD = {
    "truncated.png": "which cannot be read (image file is truncated",
    "empty.png": "which cannot be read",
    "text.png": "which cannot be read",
    "small.png": "expected a longer side of at least 28 pixels",
    "blank.png": "nothing",
    "bomb.png": "expected at most 50,000,000 pixels",
}


def prediction_of(trained, image):
    """What the package says about an image."""
    return fc.predict(trained[0], image, warn=False)


def expected_name(trained, path):
    """What the page should call a picture."""
    return NAMES[prediction_of(trained, fc.prepare_photo(path)).label]


# Without a browser, by Gradio's own client.


@pytest.fixture
def ask(url):
    """Upload a file; return a job that yields answer, probabilities, steps, layers, looked."""
    client = gradio_client.Client(url, verbose=False)

    def submit(path):
        return client.submit(gradio_client.handle_file(str(path)), api_name="/predict")

    return submit


def test_fifty_uploads_at_once_are_all_answered(ask, trained, pictures):
    names = ("dress.png", "t-shirt.png", "winter-boot.png", "handbag.png", "jeans.png")
    expected = {name: expected_name(trained, pictures / name) for name in names}
    jobs = [(name, ask(pictures / name)) for name in names * 10]
    for name, job in jobs:
        job.result(timeout=120)
        answer, probabilities, *_ = job.outputs()[0]  # the other parts come later
        assert f"<strong>{expected[name]}</strong>" in answer
        assert probabilities["label"] == expected[name]
        assert sum(c["confidence"] for c in probabilities["confidences"]) == pytest.approx(1)


def test_bad_uploads_get_a_sentence_and_the_server_lives_on(ask, url, trained, pictures):
    for name, sentence in BAD.items():
        answer, probabilities, *rest = ask(pictures / name).result(timeout=60)
        assert answer.startswith("<p class='careful'>This cannot be used: ")
        assert sentence in answer
        assert str(pictures) not in answer  # no path of the server
        assert "/gradio/" not in answer
        assert not probabilities
        assert not any(rest)
    with open(pictures / "huge.png", "rb") as huge:  # which the page itself would not send
        reply = requests.post(f"{url}gradio_api/upload", files={"files": huge}, timeout=60)
    assert reply.status_code == 413
    assert "maximum allowed size" in reply.text
    job = ask(pictures / "dress.png")
    job.result(timeout=60)
    assert expected_name(trained, pictures / "dress.png") in job.outputs()[0][0]


def test_only_this_machine_can_reach_the_page(url):
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("needs Linux's list of listening sockets")
    port = f"{port_of(url):04X}"
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    listening = [local for _, local, _, state, *_ in rows if state == "0A"]
    assert [local for local in listening if local.endswith(f":{port}")] == [f"0100007F:{port}"]


def test_a_taken_port_is_one_line(url, trained):
    port = str(port_of(url))
    done = subprocess.run(
        [sys.executable, "-m", "fashion_cnn", "demo", "--checkpoint", trained[2], "--port", port],
        capture_output=True,
        text=True,
        env={**os.environ, "FASHION_CNN_DATA_DIR": str(TINY_DIR)},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        f"fashion-cnn: the page cannot listen on 127.0.0.1, port {port}"
    )
    assert "Traceback" not in done.stderr


def test_the_server_looks_up_no_other_machine(ask, pictures, looked_up):
    ask(pictures / "dress.png").result(timeout=60)
    assert set(looked_up.read_text().split()) == {ADDRESS}


def test_without_data_or_network_it_says_what_to_do(keras_cache, trained, tmp_path):
    demo = Demo(trained[2], None)
    assert demo.test is None
    assert demo.no_data.endswith("does not exist.")
    with pytest.raises(FileNotFoundError, match="found no such file; create one with train"):
        Demo(tmp_path / "none.keras", None)


# In a real browser.


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome; install one to see the page in a real browser")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)


@pytest.fixture
def visit(browser):
    """Open pages; check at the end that none asked another host or logged an error."""
    complaints, hosts = [], set()
    contexts = []

    def open_page(url, **kwargs):
        context = browser.new_context(**kwargs)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(url)
        expect(page.get_by_role("heading", name="What is it?")).to_be_visible()
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    # A picture in the page itself, data:image/png;base64,…, has no host.
    assert {host.partition(":")[0] for host in hosts - {""}} <= {ADDRESS}


def upload(page, path):
    page.locator("input[type=file]").first.set_input_files(path)


def remove(page):
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#answer")).not_to_contain_text("·")


@pytest.mark.browser
def test_an_upload_shows_how_the_answer_comes_about(visit, url, trained, pictures):
    page = visit(url)
    if not SCREENSHOT:
        expect(page.get_by_text(trained[2].name)).to_be_visible()
        expect(page.get_by_text("It was trained on stand-in data")).to_be_visible()
    upload(page, pictures / "dress.png")
    answer = page.get_by_role("status").filter(has_text="%")
    name = expected_name(trained, pictures / "dress.png")
    expect(answer).to_contain_text(name)
    image = fc.prepare_photo(pictures / "dress.png")
    probabilities = prediction_of(trained, image).probabilities
    expect(answer).to_contain_text(f"{probabilities.max():.1%}")
    bars = page.get_by_role("meter")
    expect(bars).to_have_count(10)
    values = {bar.get_attribute("aria-label"): bar.get_attribute("value") for bar in bars.all()}
    assert set(values) == set(NAMES)
    for class_name, probability in zip(NAMES, probabilities, strict=True):
        assert float(values[class_name]) == pytest.approx(probability, abs=1e-4)
    expect(page.locator("#looked img")).to_have_count(1)  # comes last
    described = {"steps": "28×28", "layers": "conv1, pool1, conv2", "looked": "black patch"}
    for name, words in described.items():
        (picture,) = page.locator(f"#{name} img").all()
        assert words in picture.get_attribute("alt")
        assert picture.evaluate("img => img.naturalWidth") > 0
    if SCREENSHOT:
        page.screenshot(path=SCREENSHOT, full_page=True)


@pytest.mark.browser
def test_a_picture_unlike_the_data_is_warned_about(visit, url, pictures):
    page = visit(url)
    noise = np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "small-noise.png")
    upload(page, pictures / "small-noise.png")
    expect(page.locator("#answer")).to_contain_text(
        "This does not look like the clothes I learned from"
    )
    page.get_by_role("tab", name="Test image").click()
    page.get_by_role("button", name="Thumbnail 1 of 10").click()
    expect(page.locator("#answer")).to_contain_text(re.compile("right|wrong"))
    expect(page.locator("#answer")).not_to_contain_text(
        "This does not look like the clothes I learned from"
    )


@pytest.mark.browser
def test_a_bad_upload_gets_a_sentence_and_the_next_an_answer(visit, url, trained, pictures):
    page = visit(url)
    for name, sentence in BAD.items():
        upload(page, pictures / name)
        expect(page.locator("#answer")).to_contain_text(sentence)
        remove(page)
    hostile = "<img src=x onerror=alert(1)>${1+1}{{value}}.png"
    upload(page, {"name": hostile, "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#answer")).to_contain_text("which cannot be read")
    assert page.locator("#answer img").count() == 0
    remove(page)
    upload(page, pictures / "huge.png")
    expect(page.get_by_text("exceed the maximum allowed size of 50.0 Mb")).to_be_visible()
    upload(page, {"name": "note.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(page.get_by_text("Invalid file type: note.txt")).to_be_visible()
    upload(page, pictures / "dress.png")
    expect(page.locator("#answer")).to_contain_text(expected_name(trained, pictures / "dress.png"))


@pytest.mark.browser
def test_an_example_and_a_number_show_test_images(visit, url, trained, tiny):
    page = visit(url)
    page.get_by_role("tab", name="Test image").click()
    thumbnails = page.get_by_role("button", name="Thumbnail")
    expect(thumbnails).to_have_count(10)
    for label in (3, 8):
        number = np.flatnonzero(tiny.test.labels == label)[0]
        prediction = prediction_of(trained, tiny.test.images[number])
        thumbnails.nth(label).focus()
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_contain_text(NAMES[prediction.label])
        verdict = "✓ right" if prediction.label == label else f"✗ wrong: it is {NAMES[label]}"
        expect(page.locator("#answer")).to_contain_text(verdict)
        expect(thumbnails.nth(label).get_by_role("img")).to_have_attribute("alt", NAMES[label])
    number = page.get_by_role("spinbutton")
    number.press("Control+a")
    number.press_sequentially("7", delay=50)
    page.wait_for_timeout(100)  # as long as a finger needs to reach Enter
    number.press("Enter")
    prediction = prediction_of(trained, tiny.test.images[7])
    expect(page.locator("#answer")).to_contain_text(f"{prediction.probability:.1%}")
    expect(page.locator("#steps")).to_contain_text("Test image 7")
    expect(page.locator("#steps img")).to_have_count(1)
    number.fill("99999")
    page.get_by_role("button", name="Show this test image").click()
    expect(page.locator("#answer")).to_contain_text("expected a whole number from 0 to")
    number.fill("1.5")
    number.press("Enter")
    expect(page.locator("#answer")).to_contain_text("expected a whole number from 0 to")


@pytest.mark.browser
def test_the_end_of_one_page_leaves_the_pictures_of_another(visit, url, trained, looked_up):
    def shown(page):
        page.get_by_role("tab", name="Test image").click()
        pictures = page.get_by_role("button", name="Thumbnail").get_by_role("img")
        expect(pictures).to_have_count(10)
        for picture in pictures.all():  # decode() waits until it has loaded, and fails if it cannot
            picture.evaluate("img => img.decode()")
        return [picture.evaluate("img => img.naturalWidth") for picture in pictures.all()]

    page = visit(url)
    with served(trained[2], TINY_DIR, looked_up) as another:
        anothers = visit(another)
        assert all(shown(anothers))
        anothers.context.close()
    assert all(shown(page))


@pytest.mark.browser
def test_pictures_are_dropped_and_pasted(visit, url, trained, pictures):
    page = visit(url, permissions=["clipboard-read", "clipboard-write"])
    name = expected_name(trained, pictures / "dress.png")
    content = list((pictures / "dress.png").read_bytes())
    page.evaluate(
        """async content => navigator.clipboard.write([new ClipboardItem(
            {"image/png": new Blob([new Uint8Array(content)], {type: "image/png"})})])""",
        content,
    )
    page.get_by_role("button", name="Paste from clipboard").click()
    expect(page.locator("#answer")).to_contain_text(name)
    remove(page)
    dropped = page.evaluate_handle(
        """content => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(content)], "a.png", {type: "image/png"}));
            return files;
        }""",
        content,
    )
    page.get_by_role("button", name="Drop an image file here").dispatch_event(
        "drop", {"dataTransfer": dropped}
    )
    expect(page.locator("#answer")).to_contain_text(name)


@pytest.mark.browser
def test_a_drawing_is_answered(visit, url):
    page = visit(url)
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Brush").click()
    box = page.locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.wait_for_timeout(500)  # until the canvas has its size
    for offset in range(-30, 40, 10):
        page.mouse.move(x - 60, y + offset)
        page.mouse.down()
        page.mouse.move(x + 60, y + offset, steps=5)
        page.mouse.up()
    expect(page.locator("#answer")).to_contain_text("%", timeout=20_000)
    expect(page.locator("#steps img")).to_have_count(1)
    page.get_by_role("button", name="Clear canvas").click()
    expect(page.locator("#answer")).to_contain_text("The answer will appear here.")
    expect(page.get_by_role("meter")).to_have_count(0)
    page.get_by_role("tab", name="Test image").click()
    page.get_by_role("button", name="Thumbnail 9 of 10").click()
    expect(page.locator("#answer")).to_contain_text(re.compile("right|wrong"))
    expect(page.get_by_role("meter")).to_have_count(10)


@pytest.mark.browser
def test_on_a_phone_nothing_is_cut_off(visit, url, pictures):
    page = visit(url, viewport={"width": 360, "height": 740}, device_scale_factor=2)
    upload(page, pictures / "dress.png")
    expect(page.locator("#looked img")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for text in page.locator("#answer p, #looked p").all():
        box = text.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert float(text.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 12


@pytest.mark.browser
def test_the_keyboard_reaches_everything(visit, url, pictures):
    page = visit(url)
    expect(page.locator("#answer")).to_have_attribute("role", "status")  # the page is complete
    seen = []
    for _ in range(15):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') "
                "|| document.activeElement.innerText"
            )
        )
    assert {"Picture", "Draw", "Test image", "Paste from clipboard"} <= set(seen)
    with page.expect_file_chooser(timeout=120_000) as chooser:
        page.get_by_role("button", name="Drop an image file here").press("Enter")
    chooser.value.set_files(pictures / "dress.png")
    expect(page.get_by_role("status").filter(has_text="%")).to_be_visible()
    expect(page.locator("#looked img")).to_have_count(1)
    headings = [heading.inner_text() for heading in page.get_by_role("heading").all()]
    assert headings == [
        "What is it?",
        "How the picture was prepared",
        "Where the network looked",
        "Layer by layer",
    ]


# What other websites and other programs of the network may try.


def asked_by_http(url, data, **headers):
    """Call the page's function as a program does; return all that it answers."""
    call = f"{url}gradio_api/call/predict"
    event = requests.post(call, json={"data": [data]}, headers=headers, timeout=60)
    event.raise_for_status()
    return requests.get(f"{call}/{event.json()['event_id']}", headers=headers, timeout=60).text


def test_no_path_of_the_server_is_read(url, pictures, tmp_path):
    """Neither the picture comes back, nor whether there is a file."""
    known, unknown = str(pictures / "dress.png"), str(tmp_path / "unknown.png")
    kinds = ({}, {"meta": {"_type": "gradio.FileData"}}, {"url": "file:///etc/passwd"})
    for kind in kinds:
        answers = {
            re.sub(r"[^ ]*(dress|unknown)[.]png", "", asked_by_http(url, {"path": path} | kind))
            for path in (known, unknown, "/etc/passwd", "../../../../etc/passwd")
        }
        assert all("error" in answer and "base64" not in answer for answer in answers)
        assert len(answers) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:7860"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_requests_of_other_websites_are_refused(url, headers):
    for path in ("", "config", "gradio_api/info"):
        answer = requests.get(url + path, headers=headers, timeout=30)
        assert (answer.status_code, len(answer.text)) == (403, 44)
    own = {"Origin": url.rstrip("/")}
    assert requests.get(url, headers=own, timeout=30).status_code == 200
    local = {"Host": f"localhost:{port_of(url)}"}
    assert requests.get(url, headers=local, timeout=30).status_code == 200


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("blob", [png_bomb(13_300), b"%!PS-Adobe-3.0 EPSF-3.0", b""])
def test_a_drawing_is_opened_within_the_limits_of_a_picture(trained, blob):
    sketchpad = SimpleNamespace(blob_storage={"1": SimpleNamespace(composite=blob)})
    demo = Demo(trained[2], TINY_DIR)
    tracemalloc.start()
    try:
        (answer,) = demo.of_drawing(_composite(sketchpad, SimpleNamespace(id="1")))
    except OSError as error:
        assert isinstance(error, UnidentifiedImageError)  # noqa: PT017
    else:
        assert answer == NO_ANSWER
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000  # Pillow's plugins
