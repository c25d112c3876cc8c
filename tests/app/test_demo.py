"""The server of the live page: what it answers, what it refuses, and how it ends."""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from conftest import DRAWINGS, PAGE, written
from PIL import Image
from playwright.sync_api import expect

import fashion_cnn as fc
from fashion_cnn.app import demo
from fashion_cnn.app.page_model import page_files

BOOT = (DRAWINGS / "winter-boot.png").read_bytes()
ADDRESS, MACHINE = "127.0.0.1", socket.gethostname()


@pytest.fixture(scope="module")
def server():
    with demo.PageServer(ADDRESS, 0, ["https://Proxy.example:8443/user", ""]) as server:
        server.port = server.server_address[1]
        server.files = page_files(fc.load_model(), is_served=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
    server.preparer.process.kill()


def ask(server, path="/", method="GET", headers=(), body=None):
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def post(server, content):
    status, _, text = ask(server, "/prepare", "POST", body=content)
    return status, json.loads(text)


def test_the_files_of_the_page_are_served_as_they_are(server):
    # A browser insists on these; of JavaScript, two names are in use.
    types = {".css": "/css", ".html": "/html", ".js": "/javascript", ".svg": "/svg+xml"}
    expected = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*.*")}
    for name, path in ({"": PAGE / "network.html"} | expected).items():
        status, headers, content = ask(server, f"/{name}?lang=en")
        assert (status, content) == (200, path.read_bytes())
        assert headers["Content-Type"].endswith(types.get(path.suffix, ""))
    assert json.loads(ask(server, "/model/model.json")[2])["server"] is True
    assert len(ask(server, "/model/weights.bin")[2]) == 2 * 333_526


@pytest.mark.parametrize("name", ["dress", "winter-boot", "handbag"])
def test_a_picture_is_prepared_as_the_package_does(server, name):
    path = DRAWINGS / f"{name}.png"
    status, answer = post(server, path.read_bytes())
    steps = fc.photo_steps(path)
    assert (status, list(answer["steps"])) == (200, list(steps._fields))
    for values, step in zip(answer["steps"].values(), steps, strict=True):
        np.testing.assert_array_equal(values, np.rint(255 * step))
    image = np.array(answer["steps"]["centred"], np.float32) / 255
    np.testing.assert_array_equal(image, fc.prepare_photo(path))


@pytest.mark.slow
def test_pictures_sent_at_once_are_prepared_in_turn_while_files_are_served(server):
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(post, server, BOOT) for _ in range(4)]
        assert ask(server)[0] == 200
        assert not all(answer.done() for answer in answers)
    assert [answer.result() for answer in answers] == [post(server, BOOT)] * 4


BAD = {
    "path": (str(DRAWINGS / "dress.png").encode(), "unreadable"),
    "small": (written(Image.new("L", (27, 5))), "small"),
    "blank": (written(Image.new("L", (300, 300), 200)), "nothing"),
    "bomb": (written(Image.new("1", (8_945, 8_945))), "large"),
}


@pytest.mark.parametrize(("content", "word"), BAD.values(), ids=BAD)
def test_a_bad_picture_is_refused_in_a_word(server, content, word):
    assert post(server, content) == (422, {"error": word})


def test_a_file_of_more_than_50_megabytes_is_refused(server):
    assert post(server, BOOT + bytes(50_000_000 - len(BOOT)))[0] == 200
    assert post(server, bytes(50_000_001)) == (413, {"error": "heavy"})
    assert ask(server, "/prepare", "POST", {"Transfer-Encoding": "chunked"}, [b"x"])[0] == 404


PATHS = [
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/words/../../app/demo.py", "/words"),
    *("//etc/passwd", "/..\\..\\etc\\passwd", "/file:///etc/passwd", "/network.html/", "/model/"),
    "/prepare?path=/etc/passwd",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_is_served(server, path):
    assert ask(server, path)[0] == 404
    assert ask(server, path, "POST", body=BOOT)[0] == 404


@pytest.mark.parametrize("path", ["/", "/style.css", "/nothing", "/model/weights.bin"])
@pytest.mark.parametrize("host", [ADDRESS, "evil.example"])
def test_every_answer_has_headers_that_keep_it_safe(server, path, host):
    _, headers, _ = ask(server, path, headers={"Host": host})
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data:")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


NAMES = ("localhost", "LOCALHOST:7860", ADDRESS, MACHINE, f"{MACHINE}.local:80")
OTHERS = ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "127.0.0.1@evil.example"]
OTHERS += ["evil.example@127.0.0.1", "127.0.0.2", "0.0.0.0", "", "["]
ORIGINS = ("https://127.0.0.1", "http://evil.example", "null", "http://127.0.0.1:1")
REQUESTS = [({"Host": host, "Origin": f"http://{host.lower()}"}, 200) for host in NAMES]
REQUESTS += [({"Host": host}, 403) for host in OTHERS]
REQUESTS += [({"Host": ADDRESS, "Origin": origin}, 403) for origin in ORIGINS]
PROXY = "https://proxy.example"  # a proxy leaves its name in Host, in Origin, or in both
REQUESTS += [({"Host": host, "Origin": PROXY}, 200) for host in ("proxy.example", "localhost:80")]
REQUESTS += [({"Host": "Proxy.example:8443", "Origin": f"{PROXY}:8443"}, 200)]
REQUESTS += [({"Host": host, "Origin": PROXY}, 403) for host in ("evil.example", "a.proxy.example")]
REQUESTS += [({"Host": "proxy.example", "Origin": "https://evil.example"}, 403)]
REQUESTS += [({"Host": "proxy.example", "Origin": "https://localhost:PORT"}, 200)]


@pytest.mark.parametrize(("headers", "expected"), REQUESTS)
def test_only_requests_of_the_page_itself_are_answered(server, headers, expected):
    headers = {name: value.replace("PORT", str(server.port)) for name, value in headers.items()}
    for path in ("/", "/model/model.json"):
        assert ask(server, path, headers=headers)[0] == expected
    assert (ask(server, "/prepare", "POST", headers, b"")[0] == 403) == (expected == 403)


PROXIES = [("Host", "a.org:80", "a.org"), ("Origin", "https://a.org", "a.org")]


@pytest.mark.parametrize(("header", "value", "name"), [*PROXIES, ("Host", "\x1b[1m<b>", "??1m?b?")])
def test_a_refusal_names_the_option_that_allows_a_proxy(server, header, value, name, capfd):
    body = ask(server, headers={header: value})[2].decode()
    assert all(f"--allow-host {name}" in text for text in (body, capfd.readouterr().err))


@pytest.mark.slow
def test_a_process_that_does_not_answer_or_crashes_is_replaced(server):
    assert (demo.MAX_SECONDS, post(server, BOOT)[0]) == (10, 200)
    before = server.preparer.process
    psutil.Process(before.pid).suspend()  # as if a picture kept it busy for ever
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "MAX_SECONDS", 0.5)
        assert post(server, BOOT) == (422, {"error": "slow"})
    assert before.exitcode == -signal.SIGKILL
    server.preparer.start()
    psutil.Process(server.preparer.process.pid).suspend()
    threading.Timer(0.5, server.preparer.process.kill).start()
    assert post(server, BOOT) == (422, {"error": "ended"})
    assert post(server, BOOT)[0] == 200


def test_a_port_in_use_is_named_and_no_host_is_looked_up(monkeypatch):
    monkeypatch.setattr(socket, "gethostbyaddr", None)
    with demo.PageServer(ADDRESS, 0) as server:
        server.preparer.process.kill()
        port = server.server_address[1]
        with pytest.raises(OSError, match=f"{ADDRESS}, port {port}: Address already in use; choo"):
            demo.PageServer(ADDRESS, port)


class Command:
    def __init__(self, folder, *args):
        with socket.create_server((ADDRESS, 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fashion_cnn", "demo", f"--port={self.port}", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            start_new_session=True,  # so that Ctrl-C reaches its processes and not the tests
        )
        self.url = self.process.stdout.readline().removeprefix("The page is at ").split()[0]
        self.children = psutil.Process(self.process.pid).children()

    def end(self, number):
        """Send a signal, to all processes as a terminal does or to one; return the exit code."""
        (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)
        _, errors = self.process.communicate(timeout=60)
        assert psutil.wait_procs(self.children, timeout=60)[1] == []
        assert not {"Process", "Traceback"} & set(errors.split())
        return self.process.returncode


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    command = Command(folder)
    yield command
    assert command.end(signal.SIGINT) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_command_serves_the_network_of_the_package_to_this_machine(command):
    assert command.url == f"http://127.0.0.1:{command.port}/"
    manifest = json.loads(ask(command, "/model/model.json")[2])
    assert (manifest["name"], manifest["is_packaged"]) == ("", True)
    connections = psutil.Process(command.process.pid).net_connections("inet")
    listening = [x.laddr for x in connections if x.status == psutil.CONN_LISTEN]
    assert listening == [(ADDRESS, command.port)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_with_another_host_and_network_until_a_signal_ends_it(tmp_path, number, code):
    fc.build_cnn(filters=(2, 3), dense_units=4).save(tmp_path / "small.keras")
    command = Command(tmp_path, "--host=0.0.0.0", "--checkpoint=small.keras")
    assert command.url == f"http://localhost:{command.port}/"
    assert json.loads(ask(command, "/model/model.json")[2])["name"] == "small.keras"
    assert ask(command, headers={"Host": "192.168.1.6"})[0] == 403
    assert command.end(number) == code


@pytest.fixture
def page(browser, command):
    with contextlib.closing(browser.new_page()) as page:
        page.goto(f"{command.url}?lang=en")
        page.wait_for_selector("html[data-ready]")
        yield page


def upload(page, content):
    """Choose a file; return the answer of the server."""
    file = {"name": "photo", "mimeType": "image/png", "buffer": content}
    with page.expect_response("**/prepare") as response:
        page.locator("#file").set_input_files(file)
    return response.value


def test_the_page_shows_how_the_answer_comes_about(page):
    values = upload(page, BOOT).json()["steps"]["centred"]
    image = fc.prepare_photo(BOOT)
    np.testing.assert_array_equal(values, np.rint(255 * image))
    expect(page.locator("#steps canvas")).to_have_count(5)
    prediction = fc.predict(fc.load_model(), image)
    expect(page.locator("#answer-heading")).to_contain_text(prediction.class_name)
    expect(page.locator("#remark")).to_contain_text(f"{prediction.unlikeness:.2f}")


@pytest.mark.parametrize("kind", ["png", "tiff"])  # TIFF is shown as the package has read it
def test_the_page_crops_turns_and_mirrors(page, kind):
    photo = Image.open(DRAWINGS / "winter-boot.png").convert("RGB").resize((200, 160))
    upload(page, written(photo, kind))
    sent = []
    page.route("**/prepare", lambda route: sent.append(route.request) or route.continue_())
    canvas = page.locator("#photo-canvas")
    expect(canvas).to_be_visible()  # the page draws it after the server's answer
    width, height = (canvas.bounding_box()[side] for side in ("width", "height"))
    places = [{"x": x * width, "y": y * height} for x, y in ((0.75, 0.25), (0.25, 0.75))]
    canvas.drag_to(canvas, source_position=places[0], target_position=places[1])
    page.locator("#turn").click()
    page.locator("#mirror").click()
    expect(page.locator("#mirror[aria-pressed=true]")).to_be_visible()  # as the picture is asked
    expect(page.locator("#remark")).to_contain_text("Unlike the clothes it learned from")
    changed = Image.open(io.BytesIO(sent[-1].post_data_buffer)).convert("RGB")
    expected = np.rot90(np.asarray(photo)[40:120, 50:150], -1)[:, ::-1]
    assert np.abs(np.subtract(np.shape(changed), expected.shape)).max() <= 2
    assert np.abs(np.asarray(changed.resize(expected.shape[1::-1]), int) - expected).mean() < 5


def test_the_page_says_in_both_languages_what_is_wrong(page):
    sentences = {
        "unreadable": ("cannot be read as a picture", "그림으로 읽을 수 없습니다"),
        "small": ("fewer than 28 pixels", "28픽셀보다 짧습니다"),
        "nothing": ("Nothing stands out", "구분되는 것을 찾지 못했습니다"),
        "large": ("more than 80 million pixels", "8,000만 개보다 많습니다"),
        "heavy": ("larger than 50 MB", "50MB보다 큽니다"),
        "slow": ("more than 10 seconds", "10초가 넘게 걸렸습니다"),
        "ended": ("could not be prepared", "준비하지 못했습니다"),
    }
    words = iter(sentences)
    page.route("**/prepare", lambda route: route.fulfill(status=422, json={"error": next(words)}))
    for both in sentences.values():
        upload(page, BOOT)
        for sentence in both:
            expect(page.locator("#remark")).to_contain_text(sentence)
            page.locator("#language").click()


def test_a_drawing_never_reaches_the_server(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#pad").drag_to(page.locator("#pad"), target_position={"x": 60, "y": 90})
    expect(page.locator("#bars")).to_contain_text("%")
    page.locator("#examples button").first.click()
    page.wait_for_url("**#example=1")  # the part of an address that no browser sends
    assert [url for url in asked if not url.endswith("/icon.svg")] == []
