"""Serve the live page on this machine, and prepare the pictures that it sends.

The server sends nothing anywhere, and it writes nothing to the disk.
"""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from mimetypes import MimeTypes
from multiprocessing.connection import Connection
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

import numpy as np

import fashion_cnn as fc
from fashion_cnn.app.page_model import page_files
from fashion_cnn.language import gettext as _

MEDIA_TYPES = MimeTypes()  # Python's own: Windows may have .js as plain text
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAX_BYTES = 50_000_000  # of a picture file
MAX_SECONDS = 10  # to prepare a picture


def serve(checkpoint: str | None, host: str, port: int, allowed: Iterable[str] = ()) -> None:
    """Serve the page until Ctrl-C or SIGTERM; print its address once it answers."""
    with PageServer(host, port, allowed) as server:
        model = fc.load_model(checkpoint)  # imports Keras; meanwhile, the second process starts
        server.files = page_files(model, name=Path(checkpoint or "").name, is_served=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            print(_("The page is at {url} (Ctrl-C ends it)").format(url=server.url), flush=True)
            server.serve_forever()
        server.preparer.lock.acquire()  # let it finish a picture, and begin no other


class PageServer(ThreadingTCPServer):
    """A server like HTTPServer that looks up no names; `allowed` are the hosts of its proxies."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # on Windows, two servers could share a port

    def __init__(self, host: str, port: int, allowed: Iterable[str] = ()) -> None:
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), SameOriginOnly)
        except OSError as error:
            message = _("the page cannot listen on {host}, port {port}: {reason}; choose others")
            reason = {"host": host, "port": port, "reason": error.strerror}
            raise OSError(message.format(**reason)) from error
        name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        port = self.server_address[1]
        self.url = f"http://{name}:{port}/"
        machine = socket.gethostname()
        self.files: dict[str, bytes] = {}
        self.preparer = Preparer()
        self.allowed = {re.sub(r"^https?://|[:/].*", "", text.lower()) for text in allowed} - {""}
        self.origins = [f"{kind}://localhost:{port}" for kind in ("http", "https")]
        self.names = {text.lower() for text in ("localhost", name, machine, f"{machine}.local")}
        self.names |= self.allowed

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless a browser has merely closed its connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class SameOriginOnly(BaseHTTPRequestHandler):
    """Answer requests from the page; refuse those that another website makes a browser send.

    A website can let its name point to this machine: then ``Host`` is that name. Whatever a
    website's pages send has that website as its ``Origin``. A proxy leaves its own name in both, or
    writes localhost and the port into one: GitHub Codespaces into ``Origin``.
    """

    server: PageServer

    def parse_request(self) -> bool:
        """Read the headers of a request, and refuse it unless they name this page."""
        if not super().parse_request():
            return False
        host = self.headers.get("Host", "").lower()
        # The address at which the browser reached this server: no website can have it as its name.
        reached = self.connection.getsockname()[0].removeprefix("::ffff:")
        origin = self.headers.get("Origin", f"http://{host}")
        host_name, origin_name = (re.sub(r"^https?://|:\d+$", "", x) for x in (host, origin))
        is_known = host_name in {*self.server.names, reached, f"[{reached}]"}
        is_own = origin in (f"http://{host}", *self.server.origins)
        if is_known and (is_own or origin_name in self.server.allowed):
            return True
        message = _(
            "{name} asked for this page and got no answer: another website may have tried to reach "
            "it. If that is how you reach it yourself, through a proxy such as Colab's, end it and "
            "start it with --allow-host {name}"
        ).format(name=re.sub(r"[^\w.:-]", "?", origin_name if is_known else host_name))
        print(f"fashion-cnn: {message}", file=sys.stderr)  # the page cannot show every refusal
        self.send_error(403, explain=message)
        return False

    def do_GET(self) -> None:
        """Answer with a file of the page."""
        path = self.path.partition("?")[0].removeprefix("/") or "index.html"
        if path not in self.server.files:
            return self.send_error(404)
        self.answer(200, self.server.files[path], path)

    def do_POST(self) -> None:
        """Answer a picture with the steps of its preparation, or say in a word why not."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/prepare" or not length.isdecimal():
            return self.send_error(404)
        if (size := int(length)) > MAX_BYTES:
            while size > 0 and self.rfile.read(min(size, 1_000_000)):
                size -= 1_000_000  # a browser sends everything before it reads an answer
            return self.answer(413, b'{"error": "heavy"}')
        answer = self.server.preparer.prepare(self.rfile.read(size))
        self.answer(422 if "error" in answer else 200, json.dumps(answer).encode())

    def answer(self, status: int, content: bytes, path: str = "answer.json") -> None:
        """Send content, of the type of a file with that path."""
        self.send_response(status)
        media_type, _encoding = MEDIA_TYPES.guess_type(path)
        self.send_header("Content-Type", media_type or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        """Add the headers that keep every answer safe, refusals too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""


class Preparer:
    """A process that prepares one picture at a time, and is replaced when one takes too long.

    A thread cannot be ended: Pillow and OpenCV return only when they are done.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """Start the process; it is ready after a few seconds, and ends when this one does."""
        spawn = multiprocessing.get_context("spawn")  # the same on every system
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=prepare_pictures, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()  # so that each side notices when the other has ended

    def prepare(self, content: bytes) -> dict[str, Any]:
        """Return the ``steps`` of a picture as JSON data, or an ``error`` in a word.

        The word is the reason of a `PhotoError`, or ``slow``, or ``ended`` if the process crashed.
        """
        with self.lock:
            try:
                self.pipe.recv()  # that the process is ready
                self.pipe.send(content)
                if self.pipe.poll(MAX_SECONDS):
                    return self.pipe.recv()
                word = "slow"
            except (EOFError, OSError):
                word = "ended"
            self.process.kill()
            self.process.join()
            self.start()
            return {"error": word}


def prepare_pictures(pipe: Connection) -> None:
    """Answer the pictures that come through a pipe, until the server has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    # Imported only now, since it takes seconds.
    from fashion_cnn.photo import PhotoError, photo_steps

    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send("ready")
            try:
                steps = photo_steps(pipe.recv())
                shades = {name: np.rint(255 * x).astype(int) for name, x in steps._asdict().items()}
                pipe.send({"steps": {name: shade.tolist() for name, shade in shades.items()}})
            except PhotoError as error:
                pipe.send({"error": error.reason})
