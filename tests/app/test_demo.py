"""The server of the web page: what it answers, and what it withstands."""

import base64
import contextlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from conftest import ROOT
from PIL import Image, ImageOps
from playwright.sync_api import expect

import fashion_cnn as fc
from fashion_cnn.app import demo

DRAWINGS = ROOT / "notebooks" / "drawings"
ADDRESS = "127.0.0.1"
SCREENSHOT = os.environ.get("FASHION_CNN_SCREENSHOT")  # where `make screenshot` wants the picture
pytestmark = pytest.mark.slow

# The command line, in a process that writes down every host it looks up and every file that it
# opens for writing, and with other limits if they are given.
RECORDING = """
import json, os, socket, sys
from pathlib import Path
places, limits = sys.argv.pop(1), json.loads(sys.argv.pop(1))
def record(event, args):
    if event == "socket.getaddrinfo":
        print("host", args[0], file=log, flush=True)
    if event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        print("file", args[0], file=log, flush=True)
    if event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
        print("file", args[0], file=log, flush=True)
log = open(places, "a")
sys.addaudithook(record)
from fashion_cnn.app import demo, preparing
for name, value in limits.items():
    setattr(demo, name, Path(value) if name == "PAGE" else value)
from fashion_cnn.app.cli import main
main()
"""


class Server:
    """The page, served as a user does, in a process of its own."""

    def __init__(self, checkpoint, folder, **limits):
        folder.mkdir()
        self.log, self.temporary = folder / "log.txt", folder / "tmp"
        self.temporary.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name in ("gs", "gswin64c", "convert"):
            (programs / name).write_text(f"#!/bin/sh\ntouch {folder}/started\n")
            (programs / name).chmod(0o755)
        self.started = folder / "started"
        self.port = free_port()
        self.url = f"http://{ADDRESS}:{self.port}/"
        args = ["demo", "--port", str(self.port)]
        if checkpoint:
            args += ["--checkpoint", checkpoint.name]
        self.process = subprocess.Popen(
            [sys.executable, "-c", RECORDING, self.log, json.dumps(limits, default=str), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=checkpoint.parent if checkpoint else folder,
            env={
                **os.environ,
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(self.temporary),
                "HTTP_PROXY": "http://127.0.0.1:9",  # of no concern to the page
            },
            # A background shell makes its children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.first_line = self.process.stdout.readline()
        assert self.first_line, self.process.stderr.read()
        self.lines_before = len(self.log.read_text().splitlines())

    def preparer(self):
        """The process that decodes pictures."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def memory(self):
        """The bytes of memory that the server and its process use."""
        server = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (server, *server.children()))

    def post(self, content, *, headers=None, **query):
        """Send a picture; return the answer's status and JSON data."""
        answer = requests.post(
            self.url + "prepare", data=content, params=query, headers=headers, timeout=120
        )
        return answer.status_code, answer.json()

    def is_well(self):
        """Tell whether a picture is answered."""
        return self.post((DRAWINGS / "dress.png").read_bytes())[0] == 200

    def end(self, number=signal.SIGINT):
        """End it, by a signal; return its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.errors = self.process.stderr.read()
            self.process.stdout.close()
            self.process.stderr.close()


def free_port():
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory):
    """The page, with the network that the other tests trained."""
    server = Server(trained[2], tmp_path_factory.mktemp("served") / "as-it-is")
    assert server.first_line == f"The page is at {server.url} (Ctrl-C ends it)\n"
    yield server
    assert server.end() == 0
    assert "Traceback" not in server.errors


@pytest.fixture(scope="module")
def impatient(trained, tmp_path_factory):
    """The page, which waits for seconds where it otherwise waits longer."""
    limits = {"BODY_SECONDS": 2, "CLIENT_SECONDS": 4, "KEPT_SECONDS": 1}
    server = Server(trained[2], tmp_path_factory.mktemp("served") / "impatient", **limits)
    yield server
    assert server.end() == 0
    assert "Traceback" not in server.errors


def connect(server, source=ADDRESS):
    """Open a connection from an address of this machine."""
    sock = socket.socket()
    sock.settimeout(60)
    if source != ADDRESS:
        try:
            sock.bind((source, 0))
        except OSError:
            pytest.skip("needs Linux, where all of 127.0.0.0/8 is this machine")
    sock.connect((ADDRESS, server.port))
    return sock


def head(length, path="/prepare", method="POST"):
    """The head of a request with a body of so many bytes."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def received(sock):
    """What comes until the connection ends, or the wait of this test."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65_536):
            content += piece
    return content


def status_of(sock):
    """The status of the next answer; 0 if the connection ends without one."""
    with contextlib.suppress(ConnectionError):
        line = sock.makefile("rb").readline()
        return int(line.split()[1]) if line else 0
    return 0


def written(image, format="PNG", **kwargs):
    """The bytes of a picture file."""
    with io.BytesIO() as file:
        image.save(file, format, **kwargs)
        return file.getvalue()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def png_bomb(side):
    """Return a valid PNG of side × side black pixels: 3.6 gigapixels in half a megabyte."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# What it answers.


def test_the_page_and_its_network(server, trained):
    page = requests.get(server.url, timeout=30)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.content == (demo.PAGE / "network.html").read_bytes()
    for path in demo.PAGE.rglob("*.*"):
        answer = requests.get(server.url + path.relative_to(demo.PAGE).as_posix(), timeout=30)
        assert (answer.status_code, answer.content) == (200, path.read_bytes())
        assert answer.headers["content-type"].partition(";")[0] == demo.MEDIA_TYPES[path.suffix]
    manifest = requests.get(server.url + "model/model.json", timeout=30).json()
    assert (manifest["name"], manifest["stand_in"], manifest["server"]) == (
        trained[2].name,
        True,
        True,
    )
    weights = requests.get(server.url + "model/weights.bin", timeout=30).content
    kernel = manifest["layers"][0]["weights"][0]
    values = np.frombuffer(weights, manifest["dtype"], 3 * 3 * 32, kernel["offset"])
    np.testing.assert_array_equal(values, trained[0].get_weights()[0].ravel())


def test_the_package_s_own_network_has_no_name():
    manifest = json.loads(demo.page_files(fc.load_model(), "")["model/model.json"][0])
    assert (manifest["name"], manifest["stand_in"]) == ("", False)


@pytest.mark.parametrize("name", ["dress", "winter-boot", "handbag"])
def test_a_picture_is_prepared_as_the_package_does(server, trained, name):
    path = DRAWINGS / f"{name}.png"
    status, answer = server.post(path.read_bytes())
    assert status == 200
    image = np.array(answer["image"], np.float32).reshape(28, 28, 1)
    np.testing.assert_array_equal(image, fc.prepare_photo(path))
    steps = fc.photo_steps(path)
    assert [step["name"] for step in answer["steps"]] == list(steps._fields)
    for step, values in zip(answer["steps"], steps, strict=True):
        np.testing.assert_array_equal(pixels(step["png"]), np.rint(255 * values.squeeze()))
    assert answer["unlikeness"] == fc.predict(trained[0], image, warn=False).unlikeness


def test_the_remark_comes_in_both_languages(server, trained):
    noise = np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8)
    prediction = fc.predict(trained[0], noise, warn=False)
    assert prediction.unlikeness > 1
    status, answer = server.post(written(Image.fromarray(noise)))
    assert (status, answer["unlikeness"]) == (200, prediction.unlikeness)
    for language in ("en", "ko"):
        fc.use_language(language)
        assert answer["remark"][language] == prediction.remark
    fc.use_language("en")
    _, answer = server.post((DRAWINGS / "dress.png").read_bytes())
    if answer["unlikeness"] < 1:
        assert "clothes" not in answer["remark"]["en"]


@pytest.fixture(scope="module")
def on_its_side():
    """A photo with margins, which its EXIF orientation turns upright."""
    drawing = Image.open(DRAWINGS / "winter-boot.png").convert("RGB")
    photo = ImageOps.expand(
        drawing.resize((900, 700)), (200, 90, 40, 130), drawing.getpixel((0, 0))
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    return written(photo, "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [0, 1])
@pytest.mark.parametrize("crop", [None, (0.05, 0.1, 0.95, 0.875)])
def test_turned_mirrored_and_cropped_as_pillow_does(server, on_its_side, turn, mirror, crop):
    by_hand = ImageOps.exif_transpose(Image.open(io.BytesIO(on_its_side)))
    query = {"turn": turn, "mirror": mirror}
    if crop:
        query["crop"] = ",".join(map(str, crop))
        width, height = by_hand.size
        by_hand = by_hand.crop(np.rint(crop * np.array([width, height] * 2)).astype(int))
    by_hand = by_hand.rotate(-turn, expand=True)
    by_hand = ImageOps.mirror(by_hand) if mirror else by_hand
    is_changed = turn or mirror or crop
    expected = fc.prepare_photo(by_hand if is_changed else on_its_side)
    status, answer = server.post(on_its_side, **query)
    assert status == 200
    np.testing.assert_array_equal(
        np.array(answer["image"], np.float32).reshape(28, 28, 1), expected
    )


@pytest.mark.parametrize(
    "query",
    [
        {"turn": "45"},
        {"turn": "ninety"},
        {"turn": "9" * 5_000},
        {"mirror": "2"},
        {"crop": "0,0,1"},
        {"crop": "0,0,1,1,1"},
        {"crop": "0.5,0,0.5,1"},
        {"crop": "-1,0,1,1"},
        {"crop": "0,0,1,2"},
        {"crop": "nan,nan,nan,nan"},
        {"crop": "0,0,inf,inf"},
    ],
)
def test_an_odd_change_is_refused(server, query):
    status, answer = server.post((DRAWINGS / "dress.png").read_bytes(), **query)
    assert status == 400
    assert answer["error"]["en"].startswith("Expected turn=0, 90, 180 or 270")


def test_a_narrow_crop_is_at_least_a_pixel(server):
    content = (DRAWINGS / "dress.png").read_bytes()
    for crop in ("0,0,1e-9,1e-9", "0.999999999,0.999999999,1,1"):
        status, answer = server.post(content, crop=crop)
        assert status == 422
        assert "fewer than 28 pixels" in answer["error"]["en"]


def test_fifty_pictures_at_once_are_all_answered(server):
    names = ("dress", "t-shirt", "winter-boot", "handbag", "jeans")
    expected = {name: fc.prepare_photo(DRAWINGS / f"{name}.png") for name in names}

    def image_of(name):
        status, answer = server.post((DRAWINGS / f"{name}.png").read_bytes())
        return status, np.array(answer.get("image"), np.float32).reshape(28, 28, 1)

    with ThreadPoolExecutor(50) as pool:
        for name, (status, image) in zip(names * 10, pool.map(image_of, names * 10), strict=True):
            assert status == 200
            np.testing.assert_array_equal(image, expected[name])


# What is wrong gets a sentence.

WHOLE = (DRAWINGS / "winter-boot.png").read_bytes()
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n0 0 300 300 rectfill\nshowpage\n%%EOF\n"
)
BAD = {
    "truncated": (WHOLE[: len(WHOLE) // 2], "cannot be read as a picture"),
    "empty": (b"", "cannot be read as a picture"),
    "text": (b"This is no picture.", "cannot be read as a picture"),
    "small": (written(Image.new("L", (5, 5))), "fewer than 28 pixels"),
    "blank": (written(Image.new("L", (300, 300), 200)), "Nothing stands out"),
    "bomb": (png_bomb(60_000), "more than 50,000,000 pixels"),
    "half a bomb": (png_bomb(7_200), "more than 50,000,000 pixels"),
    "black": (png_bomb(7_000), "Nothing stands out"),
    "EPS": (EPS, "cannot be read as a picture"),
    "PDF": (b"%PDF-1.7\n", "cannot be read as a picture"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "cannot be read as a picture"),
    "list of pictures": (b"#!/bin/sh\ntouch started\n", "cannot be read as a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_gets_a_sentence_and_the_server_lives_on(server, name):
    content, sentence = BAD[name]
    status, answer = server.post(content)
    assert status == 422
    assert sentence in answer["error"]["en"]
    assert re.search("[가-힣].*[.]$", answer["error"]["ko"])
    assert server.is_well()


def test_no_picture_starts_a_program(server):
    for content in (EPS, EPS.replace(b"%!PS", b"\xc5\xd0\xd3\xc6"), b"%PDF-1.7\n", b"\x89WMF"):
        assert server.post(content, turn=90)[0] == 422
    assert not server.started.exists()


def test_a_path_in_a_body_is_only_text(server, trained, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    shutil.copy(DRAWINGS / "dress.png", trained[2].parent)  # where the server runs
    texts = ["/etc/passwd", "file:///etc/passwd", "dress.png", str(DRAWINGS / "dress.png")]
    texts += [str(tmp_path / "fifo"), "/dev/zero", "http://127.0.0.1/", "fd:0", "~/.bashrc"]
    texts += [json.dumps({"path": str(DRAWINGS / "dress.png")})]
    answers = [server.post(text.encode()) for text in texts]
    assert [status for status, _ in answers] == [422] * len(texts)
    assert len({answer["error"]["en"] for _, answer in answers}) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/words/../../demo.py",
        "/words/%2e%2e/%2e%2e/app/demo.py",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/..\\..\\etc\\passwd",
        "/file:///etc/passwd",
        "/network.html/",
        "/network.html%00",
        "/words",
        "/model/",
        "/~root",
        "http://evil.example/network.html",
        "/__pycache__/",
        "/prepare",
        "/prepare?path=/etc/passwd",
    ],
)
def test_no_other_file_is_read(server, path):
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": f"{ADDRESS}:{server.port}"})
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status in (404, 405)
    assert json.loads(content)["error"]["en"] == "There is nothing here for such a request."


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
def test_no_other_method(server, method):
    assert requests.request(method, server.url, timeout=30).status_code == 405


def test_every_answer_has_safe_headers(server):
    for path in ("", "style.css", "model/weights.bin", "nothing"):
        headers = requests.get(server.url + path, timeout=30).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


# What other websites may try.


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:7860"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "evil.example@127.0.0.1"},
        {"Host": "127.0.0.2"},
        {"Host": "192.168.1.1"},
        {"Host": "0.0.0.0"},
        {"Host": "localhost."},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_requests_of_other_websites_are_refused(server, headers):
    for path in ("", "model/model.json", "nothing"):
        answer = requests.get(server.url + path, headers=headers, timeout=30)
        assert answer.status_code == 403
        assert answer.json()["error"]["en"] == "This page answers only requests of its own."
    assert server.post(WHOLE, headers=headers)[0] == 403


def test_requests_of_the_page_itself_are_answered(server):
    for host in ("localhost", ADDRESS, "[::1]", "LOCALHOST"):
        host = f"{host}:{server.port}"
        own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
        assert requests.get(server.url, headers=own, timeout=30).status_code == 200
        assert server.post(WHOLE, headers=own)[0] == 200
    for site in ("cross-site", "same-site", "none"):
        assert server.post(WHOLE, headers={"Sec-Fetch-Site": site})[0] == 403
    # A link on another website may lead here.
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert requests.get(server.url, headers=link, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("host", "reached", "asked", "is_own"),
    [
        ("0.0.0.0", "192.168.1.5", "192.168.1.5:7860", True),
        ("0.0.0.0", "192.168.1.5", socket.gethostname(), True),
        ("0.0.0.0", "192.168.1.5", "192.168.1.6", False),
        ("0.0.0.0", "192.168.1.5", "0.0.0.0", False),
        ("0.0.0.0", "192.168.1.5", "evil.example", False),
        ("::", "::ffff:192.168.1.5", "192.168.1.5", True),
        ("::", "fd00::5", "[fd00::5]:7860", True),
        ("::", "fd00::5", "[fd00::6]:7860", False),
        ("box.example", "192.168.1.5", "box.example:7860", True),
        ("127.0.0.1", "127.0.0.1", socket.gethostname() + ".example", False),
    ],
)
def test_with_another_host_the_page_has_the_names_of_the_machine(host, reached, asked, is_own):
    scope = {"method": "GET", "server": (reached, 7860), "headers": [(b"host", asked.encode())]}
    assert demo.OnlyFromThisPage(None, host)._is_own(scope) == is_own


def test_only_this_machine_can_reach_the_page(server):
    listening = [
        connection.laddr
        for connection in psutil.Process(server.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [(ADDRESS, server.port)]


def test_a_taken_port_is_one_line(server, trained):
    done = subprocess.run(
        [sys.executable, "-m", "fashion_cnn", "demo", "--port", str(server.port)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(
        f"fashion-cnn: the page cannot listen on 127.0.0.1, port {server.port}"
    )
    assert "Traceback" not in done.stderr


# Floods.


def test_a_file_that_is_too_large_is_refused(server):
    with connect(server) as sock:
        sock.sendall(head(demo.MOST_BODY + 1))  # no byte of the body is needed
        assert status_of(sock) == 413
    status, answer = server.post(bytes(demo.MOST_BODY + 1))
    assert (status, "larger than 50 MB" in answer["error"]["en"]) == (413, True)
    assert server.is_well()


def test_a_body_without_end_is_refused(impatient):
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    before = impatient.memory()
    with connect(impatient) as sock:
        sock.sendall(
            b"POST /prepare HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        with contextlib.suppress(OSError):  # until it hangs up
            while sent < 20_000:
                sock.sendall(piece)
                sent += 1
                if sent == 100:
                    assert impatient.memory() - before < 200_000_000
    assert 50 <= sent < 20_000
    assert impatient.is_well()


@pytest.mark.parametrize("sources", [1, 12])
def test_many_large_bodies_do_not_fill_the_memory(server, sources):
    """Those of one client wait unread; those of many are refused beyond a sum."""
    body, count = bytes(45_000_000), 24
    server.is_well()
    before, most = server.memory(), 0

    def send(number):
        with connect(server, f"127.0.0.{1 + number % sources}") as sock:
            sock.sendall(head(len(body)))
            with contextlib.suppress(ConnectionError):
                sock.sendall(body)
            return status_of(sock)

    with ThreadPoolExecutor(count) as pool:
        sending = [pool.submit(send, number) for number in range(count)]
        while not all(future.done() for future in sending):
            most = max(most, server.memory())
            time.sleep(0.02)
    statuses = [future.result() for future in sending]
    assert set(statuses) <= {422, 503}
    assert sources > 1 or set(statuses) == {422}
    assert most - before < demo.MOST_BODIES + 250_000_000
    assert server.is_well()


def test_one_client_does_not_keep_everyone_waiting(server):
    """Of 1,500 pictures at once some are refused; another client hardly notices."""
    body, count = WHOLE, 1_500
    end = threading.Event()

    def flood(part):
        statuses = []
        for _ in range(part):
            with contextlib.suppress(OSError), connect(server) as sock:
                sock.sendall(head(len(body)) + body)
                statuses.append(status_of(sock))
            if end.is_set():
                break
        return statuses

    with connect(server, "127.0.0.2"), ThreadPoolExecutor(150) as pool:
        flooding = [pool.submit(flood, count // 150) for _ in range(150)]
        times = []
        for _ in range(3):
            start = time.monotonic()
            with connect(server, "127.0.0.2") as sock:
                sock.sendall(head(len(body)) + body)
                assert status_of(sock) == 200
            times.append(time.monotonic() - start)
        is_over = all(future.done() for future in flooding)
        end.set()
    statuses = {status for future in flooding for status in future.result()}
    assert not is_over
    assert max(times) < 20
    assert statuses <= {0, 200, 429, 503}
    assert server.is_well()


def test_slow_and_half_open_connections_end(impatient):
    def drip(sock, request):
        """Send byte by byte; return what came, and after which time the connection ended."""
        start, content = time.monotonic(), b""
        sock.settimeout(0.2)
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            for number in range(400):
                sock.sendall(request[number : number + 1])
                with contextlib.suppress(TimeoutError):
                    piece = sock.recv(65_536)
                    content += piece
                    if not piece:
                        break
        return content, time.monotonic() - start

    slow_head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 1_000
    requests_ = {
        "silent": b"",
        "slow head": slow_head,
        "slow second head": b"",
        "slow body": head(1_000) + b"x" * 1_000,
        "body that nobody reads": head(1_000_000, "/", "GET") + b"x" * 1_000,
    }

    def attack(name):
        with connect(impatient) as sock:
            request = requests_[name]
            if name == "silent":
                start = time.monotonic()
                return received(sock), time.monotonic() - start
            if name == "slow second head":
                sock.sendall(b"GET /icon.svg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                sock.recv(65_536)
                request = slow_head
            if "body" in name:
                start = request.index(b"\r\n\r\n") + 4
                sock.sendall(request[:start])
                request = request[start:]
            return drip(sock, request)

    with ThreadPoolExecutor(len(requests_)) as pool:
        results = dict(zip(requests_, pool.map(attack, requests_), strict=True))
    for name, (content, seconds) in results.items():
        assert seconds < 40, name
        statuses = re.findall(rb"HTTP/1.1 (\d+)", content)
        expected = {"slow body": [b"408"], "body that nobody reads": [b"200"]}.get(name, [])
        assert statuses == expected, name
    assert (
        "too long to arrive"
        in json.loads(results["slow body"][0].partition(b"\r\n\r\n")[2])["error"]["en"]
    )
    assert impatient.is_well()


def test_who_takes_no_answer_is_dropped(impatient):
    with connect(impatient) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.sendall(b"GET /model/weights.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
        wait_until(lambda: not connections(impatient))
    assert impatient.is_well()


def connections(server):
    """The connections of a server that are not closed by it."""
    return [
        connection
        for connection in psutil.Process(server.process.pid).net_connections("tcp")
        if connection.status in (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)
    ]


def wait_until(is_so, seconds=60):
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < seconds
        time.sleep(0.1)


def test_three_thousand_half_open_connections(impatient):
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 3_000 if hard == resource.RLIM_INFINITY else min(3_000, hard - 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 300), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = impatient.memory()
        for number in range(count):
            sock = stack.enter_context(connect(impatient))
            with contextlib.suppress(OSError):  # it may be closed already
                sock.sendall(b"POST /prepare HTTP/1.1\r\nHost: 1"[: number % 33])
        assert impatient.is_well()
        assert len(connections(impatient)) <= demo.MOST_CONNECTIONS + 1
        assert impatient.memory() - before < 100_000_000
        wait_until(lambda: not connections(impatient))
    assert impatient.is_well()


# The process that decodes.


def test_a_decoding_that_never_ends_is_ended(trained, tmp_path):
    server = Server(trained[2], tmp_path / "served")
    try:
        assert server.is_well()
        before = server.preparer()
        before.suspend()  # as if it were busy for ever
        status, answer = server.post(WHOLE)
        assert (status, "more than 10 seconds" in answer["error"]["en"]) == (422, True)
        assert not before.is_running()
        assert server.is_well()
        before = server.preparer()
        before.kill()  # as if Pillow had crashed
        assert server.post(WHOLE)[0] in (200, 422)
        assert server.is_well()
        assert server.preparer() != before
    finally:
        assert server.end() == 0


def test_memory_for_metadata_is_bounded(server):
    """Each of 60,000 tags of a TIFF file says that it is the whole file."""
    size = 800_000
    tags = {256: 100, 257: 100, 258: 8, 259: 1, 262: 1, 273: 8, 278: 100, 279: 10_000}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    others = range(1_000, 61_000)
    entries += b"".join(struct.pack("<HHLL", tag, 1, size - 8, 8) for tag in others)
    start = struct.pack("<2sHLH", b"II", 42, 8, len(tags) + len(others))
    content = (start + entries + bytes(4)).ljust(size, b"\0")
    done = threading.Event()
    before, most = server.memory(), 0

    def watch():
        nonlocal most
        while not done.is_set():
            with contextlib.suppress(psutil.NoSuchProcess):
                most = max(most, server.memory())
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(watch)
        status, _ = server.post(content)
        done.set()
    assert status == 422
    assert most - before < 2_000_000_000
    assert server.is_well()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(trained, tmp_path, number):
    page = tmp_path / "page"
    shutil.copytree(demo.PAGE, page)
    known = set(trained[2].parent.iterdir())
    server = Server(trained[2], tmp_path / "served", PAGE=page)
    child = server.preparer()
    assert server.is_well()
    # What is added to the page's directory later is not served.
    (page / "link.html").symlink_to("/etc/passwd")
    (page / "later.html").write_text("later")
    for name in ("link.html", "later.html"):
        assert requests.get(server.url + name, timeout=30).status_code == 404
    with connect(server) as half_open, connect(server) as sending, connect(server) as waiting:
        half_open.sendall(b"POST /pre")
        sending.sendall(head(1_000_000) + bytes(100_000))
        waiting.sendall(head(len(WHOLE)) + WHOLE)
        code = server.end(number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    child.wait(timeout=60)
    assert "Traceback" not in server.errors
    assert list(server.temporary.iterdir()) == []
    assert set(trained[2].parent.iterdir()) == known


def test_no_other_machine_is_looked_up_and_no_file_written(server):
    assert server.is_well()
    lines = [line.split(" ", 1) for line in server.log.read_text().splitlines()]
    assert {place for kind, place in lines if kind == "host"} == {ADDRESS}
    assert [place for kind, place in lines[server.lines_before :] if kind == "file"] == []
    assert list(server.temporary.iterdir()) == []


def test_without_a_network_it_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no such file; create one with train"):
        demo.App(tmp_path / "none.keras")


# In a real browser: the page and its server together. What the page does by itself is tested in
# test_page.py.


@pytest.fixture
def visit(browser):
    """Open the page; check at the end that it asked no other host and logged nothing."""
    contexts, messages, hosts = [], [], set()

    def open_page(url, **kwargs):
        context = browser.new_context(**kwargs)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{url}?lang=en")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    refusals = "Failed to load resource: the server responded with a status of 4"  # the browser's
    assert [message for message in messages if not message.startswith(refusals)] == []
    # A picture in the page itself, data:image/png;base64,…, has no host.
    assert {host.partition(":")[0] for host in hosts - {""}} <= {ADDRESS}


def upload(page, content, name="photo"):
    page.locator("#file").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


@pytest.mark.browser
def test_the_page_shows_how_the_answer_comes_about(visit, server, trained):
    page = visit(server.url)
    expect(page.locator("#model")).to_contain_text(trained[2].name)
    expect(page.locator("#model")).to_contain_text("stand-in data")
    path = DRAWINGS / "winter-boot.png"
    upload(page, path.read_bytes())
    expect(page.locator("#steps img")).to_have_count(5)
    sources = [image.get_attribute("src") for image in page.locator("#steps img").all()]
    for source, values in zip(sources, fc.photo_steps(path), strict=True):
        shown = pixels(source.removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(shown, np.rint(255 * values.squeeze()))
    prediction = fc.predict(trained[0], fc.prepare_photo(path), warn=False)
    expect(page.locator("#answer-heading")).to_contain_text(prediction.class_name)
    expect(page.locator("#remark")).to_contain_text(f"{prediction.unlikeness:.2f}")
    if prediction.remark:
        expect(page.locator("#remark")).to_contain_text(prediction.remark)


@pytest.mark.browser
def test_the_page_turns_mirrors_and_asks_again(visit, server, on_its_side):
    page = visit(server.url)
    with page.expect_response("**/prepare?*") as first:
        upload(page, on_its_side)
    by_hand = ImageOps.exif_transpose(Image.open(io.BytesIO(on_its_side)))
    expected = fc.prepare_photo(on_its_side).ravel()
    np.testing.assert_array_equal(np.array(first.value.json()["image"], np.float32), expected)
    for button in ("#turn", "#mirror"):
        with page.expect_response("**/prepare?*") as answer:
            page.locator(button).click()
    turned = ImageOps.mirror(by_hand.rotate(-90, expand=True))
    expected = fc.prepare_photo(turned).ravel()
    np.testing.assert_array_equal(np.array(answer.value.json()["image"], np.float32), expected)


@pytest.mark.browser
def test_the_page_says_what_is_wrong_and_goes_on(visit, server, tmp_path):
    page = visit(server.url)
    bad = {name: BAD[name] for name in ("truncated", "blank", "bomb", "EPS")}
    for content, sentence in bad.values():
        upload(page, content)
        expect(page.locator("#remark")).to_contain_text(sentence, timeout=30_000)
    (tmp_path / "huge.png").write_bytes(WHOLE + bytes(60_000_000))
    page.locator("#file").set_input_files(tmp_path / "huge.png")
    expect(page.locator("#remark")).to_contain_text("larger than 50 MB", timeout=30_000)
    hostile = "<img src=x onerror=alert(1)>${1+1}{{value}}.png"
    upload(page, b"no picture", name=hostile)
    expect(page.locator("#remark")).to_contain_text("cannot be read")
    assert page.locator("#remark img").count() == 0
    upload(page, (DRAWINGS / "dress.png").read_bytes())
    expect(page.locator("#steps img")).to_have_count(5)


@pytest.mark.browser
def test_a_drawing_never_reaches_the_server(visit, server):
    page = visit(server.url)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(page.locator("#bars")).to_contain_text("%")
    page.locator("#examples button").first.click()
    assert asked == []


@pytest.mark.browser
@pytest.mark.skipif(SCREENSHOT is None, reason="takes the READMEs' picture: make screenshot")
@pytest.mark.parametrize("language", ["en", "ko"])
def test_screenshot(visit, tmp_path, language):
    server = Server(None, tmp_path / "served")
    place = Path(SCREENSHOT)
    try:
        page = visit(f"{server.url}?lang={language}", viewport={"width": 1280, "height": 900})
        upload(page, WHOLE)
        expect(page.locator("#steps img")).to_have_count(5)
        page.wait_for_timeout(3000)  # until the products of the chosen cell have been shown
        path = place if language == "en" else place.parent / language / place.name
        page.screenshot(path=path, full_page=True)
    finally:
        assert server.end() == 0
