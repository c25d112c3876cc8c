"""Damaged, wrong and malicious data files, and mirrors that misbehave."""

import contextlib
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc

import numpy as np
import pytest
from conftest import TINY_DIR
from test_data import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, idx, write_sums

import fashion_cnn as fc
from fashion_cnn import data as data_module
from fashion_cnn.data import FASHION_MNIST_SHA256

MUTATIONS = 1_000


@pytest.fixture
def small(tmp_path):
    """An intact data set of a few images, quick to load."""
    directory = tmp_path / "small"
    directory.mkdir()
    chance = np.random.default_rng(0)
    for images, labels, count in ((TRAIN_IMAGES, TRAIN_LABELS, 20), (TEST_IMAGES, TEST_LABELS, 10)):
        pixels = chance.integers(0, 256, (count, 28, 28))
        (directory / images).write_bytes(gzip.compress(idx(pixels)))
        (directory / labels).write_bytes(gzip.compress(idx(np.arange(count) % 10)))
    write_sums(directory)
    fc.load_fashion_mnist(directory)
    return directory


def mutate(content, chance):
    """Flip, cut, insert, repeat or overwrite some bytes; never return the same bytes."""
    position = int(chance.integers(len(content)))
    piece = chance.bytes(int(chance.integers(1, 9)))
    mutated = [
        content[:position]
        + bytes([content[position] ^ 1 << chance.integers(8)])
        + content[position + 1 :],
        content[:position],
        content[:position] + piece + content[position:],
        content + content[position:],
        content[:position] + piece + content[position + len(piece) :],
    ][chance.integers(5)]
    return mutated if mutated != content else content + b"\0"


@pytest.mark.slow
def test_no_mutated_file_passes_the_sums(small):
    chance = np.random.default_rng(1)
    for _ in range(MUTATIONS):
        name = list(FASHION_MNIST_SHA256)[chance.integers(4)]
        intact = (small / name).read_bytes()
        (small / name).write_bytes(mutate(intact, chance))
        with pytest.raises(fc.DatasetError):
            fc.load_fashion_mnist(small)
        (small / name).write_bytes(intact)
    fc.load_fashion_mnist(small)


@pytest.mark.slow
def test_no_mutated_header_or_length_passes_the_parser(small):
    """As before, but with matching sums: the parser itself must find what is wrong."""
    chance = np.random.default_rng(2)
    for _ in range(MUTATIONS):
        name = list(FASHION_MNIST_SHA256)[chance.integers(4)]
        intact = (small / name).read_bytes()
        content = gzip.decompress(intact)
        header_size = 16 if "images" in name else 8
        header = mutate(content[:header_size], chance)
        body = content[header_size:]
        if chance.random() < 0.5:
            header, body = content[:header_size], body[: chance.integers(len(body))]
        (small / name).write_bytes(gzip.compress(header + body, compresslevel=1))
        write_sums(small)
        with pytest.raises(fc.DatasetError):
            fc.load_fashion_mnist(small)
        (small / name).write_bytes(intact)
    write_sums(small)
    fc.load_fashion_mnist(small)


@pytest.mark.slow
def test_no_mutated_gzip_file_makes_the_parser_fall_over(small):
    """With matching sums, arbitrary bytes are refused or change no data; nothing crashes."""
    chance = np.random.default_rng(3)
    intact_data = fc.load_fashion_mnist(small)
    refused = 0
    for _ in range(MUTATIONS):
        name = list(FASHION_MNIST_SHA256)[chance.integers(4)]
        intact = (small / name).read_bytes()
        (small / name).write_bytes(mutate(intact, chance))
        write_sums(small)
        try:
            data = fc.load_fashion_mnist(small)
        except fc.DatasetError:
            refused += 1
        else:  # only bytes that gzip ignores, such as the time in its header
            for split, intact_split in zip(data[:3], intact_data[:3], strict=True):
                np.testing.assert_array_equal(split.images, intact_split.images)
                np.testing.assert_array_equal(split.labels, intact_split.labels)
        (small / name).write_bytes(intact)
    assert refused > 0.8 * MUTATIONS


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(idx(np.zeros((20, 28, 28))) + bytes(200_000_000)),  # unpacks to 200 MB
        gzip.compress(idx(np.zeros((20, 28, 28)), shape=(2**32 - 1,) * 3)),  # promises 7e28 bytes
        gzip.compress(idx(np.zeros((20, 28, 28)), shape=(900_000, 28, 28))),
        gzip.compress(idx(np.zeros((20, 28, 28)), shape=(21, 28, 28))),
    ],
    ids=["bomb", "promises the impossible", "promises far more", "promises one more"],
)
def test_memory_is_bounded(small, content):
    (small / TRAIN_IMAGES).write_bytes(content)
    write_sums(small)
    tracemalloc.start()
    with pytest.raises(
        fc.DatasetError, match=r"got more|header promises|got 15,680|at most 1,000,000"
    ):
        fc.load_fashion_mnist(small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_swapped_files_are_refused(small):
    for one, other in (
        (TRAIN_IMAGES, TRAIN_LABELS),
        (TRAIN_IMAGES, TEST_IMAGES),
        (TRAIN_LABELS, TEST_LABELS),
    ):
        first, second = (small / one).read_bytes(), (small / other).read_bytes()
        (small / one).write_bytes(second)
        (small / other).write_bytes(first)
        with pytest.raises(fc.DatasetError, match="expected SHA-256"):
            fc.load_fashion_mnist(small)
        (small / one).write_bytes(first)
        (small / other).write_bytes(second)


def test_swapped_fashion_mnist_files_are_named(tmp_path, tiny_is_real):
    shutil.copytree(TINY_DIR, tmp_path / "swapped")
    (tmp_path / "swapped" / "SHA256SUMS").unlink()
    shutil.copy(TINY_DIR / TEST_IMAGES, tmp_path / "swapped" / TRAIN_IMAGES)
    with pytest.raises(fc.DatasetError, match=f"Fashion-MNIST's {TEST_IMAGES} under another name"):
        fc.load_fashion_mnist(tmp_path / "swapped")


def test_digits_are_named(tmp_path, monkeypatch):
    """A file with the sum of one of MNIST's files, which are not here, is called by its name."""
    import hashlib

    assert len(data_module.MNIST_DIGITS_MD5) == 4
    assert "f68b3c2dcbeaaa9fbdd348bbdeb94873" in data_module.MNIST_DIGITS_MD5
    (tmp_path / TRAIN_IMAGES).write_bytes(b"digits")
    monkeypatch.setattr(data_module, "MNIST_DIGITS_MD5", {hashlib.md5(b"digits").hexdigest()})
    with pytest.raises(fc.DatasetError, match=r"handwritten digits \(MNIST\), not Fashion-MNIST"):
        fc.load_fashion_mnist(tmp_path)
    for name in FASHION_MNIST_SHA256:  # even if somebody wrote sums for them
        (tmp_path / name).write_bytes(b"digits")
    write_sums(tmp_path)
    with pytest.raises(fc.DatasetError, match=r"handwritten digits \(MNIST\), not Fashion-MNIST"):
        fc.load_fashion_mnist(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", b"\x1f\x8b"])
def test_wrong_file_in_the_cache_is_healed(keras_cache, tiny_is_real, serve, mirrors, content):
    keras_cache.mkdir(parents=True)
    (keras_cache / TRAIN_LABELS).write_bytes(content)
    mirrors(serve(TINY_DIR)[0])
    with pytest.warns(UserWarning, match="Downloading it again"):
        assert len(fc.load_fashion_mnist().test.labels) == 200


# Mirrors that misbehave


@pytest.fixture
def misbehaving_server():
    """A server that answers as a test wants it to; one thread per request."""
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, format, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer_200(handler, length):
    handler.send_response(200)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def cut_off(handler):
    content = (TINY_DIR / handler.path[1:]).read_bytes()
    answer_200(handler, len(content))
    handler.wfile.write(content[: len(content) // 2])


def trickle(handler):
    answer_200(handler, 1_000_000)
    for _ in range(600):
        try:
            handler.wfile.write(b".")
        except OSError:  # the other side gave up
            return
        time.sleep(0.1)


def stall(handler):
    answer_200(handler, 1_000_000)
    handler.wfile.write(b"the beginning")
    handler.wfile.flush()
    time.sleep(30)


def silence(handler):
    time.sleep(30)


def captive_portal(handler):
    page = b"<html>Please sign in</html>"
    answer_200(handler, len(page))
    handler.wfile.write(page)


def not_found(handler):
    handler.send_error(404)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [cut_off, trickle, stall, silence, captive_portal, not_found])
def test_bad_mirror_is_passed_over(
    keras_cache, tiny_is_real, serve, mirrors, misbehaving_server, monkeypatch, answer
):
    monkeypatch.setattr(data_module, "PATIENCE", 0.5)
    monkeypatch.setattr(data_module, "DOWNLOAD_TIMEOUT", (1, 1))
    mirrors(misbehaving_server(answer), serve(TINY_DIR)[0])
    start = time.monotonic()
    assert len(fc.load_fashion_mnist().test.labels) == 200
    assert time.monotonic() - start < 25  # four files
    assert sorted(path.name for path in keras_cache.iterdir()) == sorted(FASHION_MNIST_SHA256)


@pytest.mark.slow
def test_eight_processes_at_once(tmp_path, misbehaving_server):
    all_have_asked = threading.Barrier(8, timeout=60)

    def answer(handler):
        content = (TINY_DIR / handler.path[1:]).read_bytes()
        if handler.path == f"/{TRAIN_IMAGES}":
            all_have_asked.wait()  # none gets the first file before all want it
        answer_200(handler, len(content))
        handler.wfile.write(content)

    url = misbehaving_server(answer)
    code = f"""
        import os
        import fashion_cnn as fc
        from fashion_cnn import data
        lines = open({str(TINY_DIR / "SHA256SUMS")!r}).read().splitlines()
        data.FASHION_MNIST_SHA256 = {{name: sum for sum, name in map(str.split, lines)}}
        data.MIRRORS = ({url!r},)
        assert len(fc.load_fashion_mnist().test.labels) == 200
    """
    environment = {"KERAS_HOME": str(tmp_path), "PATH": ""}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    cache = tmp_path / "datasets" / "fashion-mnist"
    assert sorted(path.name for path in cache.iterdir()) == sorted(FASHION_MNIST_SHA256)
    for name in FASHION_MNIST_SHA256:
        assert (cache / name).read_bytes() == (TINY_DIR / name).read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link to /dev/zero", "directory"])
def test_only_regular_files_are_read(small, kind):
    path = small / TRAIN_LABELS
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(fc.DatasetError, match="expected a regular file"):
        fc.load_fashion_mnist(small)


def test_a_large_image_is_refused_before_it_is_unpacked(small):
    pixels = gzip.compress(idx(np.zeros((1, 28, 28)), shape=(1, 8_000, 8_000)) + bytes(64_000_000))
    (small / TRAIN_IMAGES).write_bytes(pixels)
    write_sums(small)
    tracemalloc.start()
    with pytest.raises(fc.DatasetError, match=r"images of 28×28 in .* got \(1, 8000, 8000\)"):
        fc.load_fashion_mnist(small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_long_file_of_sums_is_not_read_whole(small):
    os.truncate(small / "SHA256SUMS", 6_000_000_000)
    tracemalloc.start()
    fc.load_fashion_mnist(small)  # the sums come first
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def drip(handler, pieces):
    """Send pieces a tenth of a second apart, until the other side gives up."""
    for piece in pieces:
        try:
            handler.wfile.write(piece)
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.1)


def trickling_headers(handler):
    drip(handler, [b"HTTP/1.1 200 OK\r\n", b"X: ", *[b"."] * 300])


def endless_100_continue(handler):
    drip(handler, [b"HTTP/1.1 100 Continue\r\n\r\n"] * 300)


def trickling_chunk_sizes(handler):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    drip(handler, [head, *[b"0"] * 300])


@pytest.mark.parametrize(
    "answer",
    [trickling_headers, endless_100_continue, trickling_chunk_sizes],
)
def test_the_clock_runs_over_the_whole_request(
    keras_cache, tiny_is_real, mirrors, misbehaving_server, monkeypatch, answer
):
    monkeypatch.setattr(data_module, "PATIENCE", 1)
    mirrors(misbehaving_server(answer))
    start = time.monotonic()
    with pytest.raises(fc.DatasetError, match="gave up after 1 s and 0 bytes"):
        fc.load_fashion_mnist()
    assert time.monotonic() - start < 3


def test_an_endless_file_is_left_one_packet_past_its_size(
    keras_cache, tiny_is_real, mirrors, misbehaving_server
):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(10_000))
                sent.append(10_000)

    mirrors(misbehaving_server(endless))
    with pytest.raises(fc.DatasetError, match="bytes, got more"):
        fc.load_fashion_mnist()
    assert sum(sent) < 20_000_000  # what the sockets hold
    assert not list(keras_cache.iterdir())


def test_redirects_are_not_followed(keras_cache, tiny_is_real, mirrors, misbehaving_server):
    """The body of a redirect would be read whole, however long it is."""
    asked = []

    def redirect(handler):
        asked.append(handler.path)
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()

    mirrors(misbehaving_server(redirect))
    with pytest.raises(fc.DatasetError, match="cannot be downloaded"):
        fc.load_fashion_mnist()
    assert "/elsewhere" not in asked
