"""Serve the live page, and prepare the pictures that it sends.

It needs the ``[demo]`` extra: Starlette and uvicorn. Unless told otherwise, the server listens only
on this machine. It sends nothing anywhere, and it writes nothing to the disk.
"""

import asyncio
import collections
import contextlib
import ipaddress
import json
import os
import re
import signal
import socket
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fashion_cnn.app.page_model import page_model
from fashion_cnn.app.preparing import QUARTERS, Change, Preparer, PreparingError
from fashion_cnn.images import IMAGE_SHAPE
from fashion_cnn.language import LANGUAGES, current_language, translated, use_language
from fashion_cnn.model import load_model
from fashion_cnn.photo import MOST_PIXELS, MOST_SECONDS, MOST_SIDE, SIDE
from fashion_cnn.prediction import Prediction, predict

PAGE = Path(__file__).parents[1] / "page"
MEDIA_TYPES = {
    ".bin": "application/octet-stream",
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
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

MOST_BODY = 50_000_000  # bytes of a picture
MOST_BODIES = 200_000_000  # bytes of all pictures that are held
MOST_HELD = 2  # pictures of one client, the others of which wait unread
MOST_WAITING_OF_ONE = 64  # pictures of one client
MOST_WAITING = 128  # pictures
MOST_CONNECTIONS = 256  # more than those that wait: there is always one to close
BODY_SECONDS = 20  # for a picture to arrive
CLIENT_SECONDS = 30  # for a client to send the rest of a request, or to take an answer
KEPT_SECONDS = 5  # until a connection without a request is closed
LAST_SECONDS = 2  # for answers when the server is told to end
HOST = re.compile(r"(?:\[(?P<ip>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(?::\d*)?", re.ASCII)


def _(text: str, **fields: object) -> dict[str, str]:
    """Return a text in every language."""
    return {name: translated(text, name).format(**fields) for name in LANGUAGES}


class RefusedError(Exception):
    """A request that is refused, with a status and a sentence for a person."""

    def __init__(self, status: int, sentence: dict[str, str]) -> None:
        super().__init__(status)
        self.status, self.sentence = status, sentence


def serve(
    checkpoint: str | os.PathLike[str] | None,
    host: str,
    port: int,
    on_start: Callable[[str], object],
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; call `on_start` with its address once it answers."""
    with _listening(host, port) as listener:
        asyncio.run(_serve(App(checkpoint), host, listener, on_start))


def is_of_this_machine(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens on an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise OSError(
            f"the page cannot listen on {host}, port {port}, which may be in use; "
            "choose another port or host"
        ) from error


async def _serve(
    app: "App", host: str, listener: socket.socket, on_start: Callable[[str], object]
) -> None:
    config = uvicorn.Config(
        app.asgi(host),
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # not of what clients do wrong
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=128,  # connections taken at once
        timeout_keep_alive=KEPT_SECONDS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    server = _Server(config)
    server.on_start = lambda: on_start(_address(host, listener.getsockname()[1]))
    with _ended_by_signals(server):
        async with app.preparer:
            await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    on_start: Callable[[], object]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()


@contextlib.contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let a signal end the server and not the program: uvicorn raises it anew after its end."""

    def end(*_: object) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _address(host: str, port: int) -> str:
    """Return where a browser of this machine finds the page."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/"
    if ip.is_unspecified:
        return f"http://localhost:{port}/"
    return f"http://[{ip}]:{port}/" if ip.version == 6 else f"http://{ip}:{port}/"


class _Connection(H11Protocol):
    """A connection that does not wait for a client for ever, as uvicorn's does.

    uvicorn gives up on a client that is silent between requests, but not on one that sends a
    request byte by byte, or does not take its answer. There are at most `MOST_CONNECTIONS`.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()
        self._watch()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.deadline is not None:
            self.deadline.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def _watch(self) -> None:
        """Start the clock if it is the client's turn, and stop it if it is the server's."""
        is_our_turn = (
            self.cycle is not None
            and not self.cycle.response_complete
            and (not self.cycle.more_body or self.flow.read_paused)
            and not self.flow.write_paused
        )
        if not is_our_turn:
            self.deadline = self.deadline or self.loop.call_later(
                CLIENT_SECONDS, self.transport.abort
            )
        elif self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _make_room(self) -> None:
        """Close a connection of the client with the most: the oldest, if possible an idle one."""
        others = [c for c in self.connections if isinstance(c, _Connection) and c.deadline]
        crowd = collections.Counter(_address_of(c.client) for c in others).most_common(1)[0][0]
        oldest = min(
            (c for c in others if _address_of(c.client) == crowd),
            key=lambda c: (c.cycle is not None and not c.cycle.response_complete, c.since),
        )
        self.connections.discard(oldest)
        oldest.transport.abort()


def _address_of(client: tuple[str, int] | None) -> str:
    return client[0] if client else ""


class OnlyFromThisPage:
    """Refuse requests that another website makes a visitor's browser send; send safe headers.

    A website can let its name point to this machine: then ``Host`` has that name. What its own
    pages send has that website as its ``Origin``.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = {"localhost", "127.0.0.1", "::1", host.lower()} - {"0.0.0.0", "::"}
        if not is_of_this_machine(host):
            name = socket.gethostname().lower()
            self.names |= {name, f"{name}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its headers name this page, or answer it with 403."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if self._is_own(scope):
            return await self.app(scope, receive, send_safely)
        answer = _refusal(403, _("This page answers only requests of its own."))
        return await answer(scope, receive, send_safely)

    def _is_own(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        found = HOST.fullmatch(host)
        # The address that a client has reached is no name that a website can have.
        names = {*self.names, scope["server"][0].removeprefix("::ffff:")}
        is_ours = found is not None and (found["ip"] or found["name"]) in names
        is_from_here = headers.get("origin", f"http://{host}").lower() == f"http://{host}"
        if scope["method"] != "GET":
            is_from_here &= headers.get("sec-fetch-site", "same-origin") == "same-origin"
        return is_ours and is_from_here


class Client:
    """One address, from which pictures come."""

    def __init__(self) -> None:
        self.waiting = 0
        self.hands = asyncio.Semaphore(MOST_HELD)
        self.turn = asyncio.Lock()  # so that each client has one picture in the line of all


class App:
    """The page with one network, and the pictures that wait to be prepared."""

    def __init__(self, checkpoint: str | os.PathLike[str] | None) -> None:
        self.model = load_model(checkpoint)
        predict(self.model, np.zeros(IMAGE_SHAPE, np.float32), warn=False)  # the first takes longer
        self.files = page_files(self.model, Path(checkpoint).name if checkpoint else "")
        self.preparer = Preparer()
        self.bodies = 0  # bytes that are held
        self.waiting = 0  # pictures
        self.clients: weakref.WeakValueDictionary[str, Client] = weakref.WeakValueDictionary()

    def asgi(self, host: str) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/prepare", self.prepare, methods=["POST"]),
                Route("/{path:path}", self.file),
            ],
            middleware=[Middleware(OnlyFromThisPage, host=host)],
            exception_handlers={
                RefusedError: _refused,
                HTTPException: _not_found,
                Exception: _failed,
            },
        )

    async def file(self, request: Request) -> Response:
        """Answer with a file of the page; nothing is read from the disk."""
        path = request.path_params["path"] or "network.html"
        if path not in self.files:
            raise HTTPException(404)
        content, media_type = self.files[path]
        return Response(content, media_type=media_type)

    async def prepare(self, request: Request) -> Response:
        """Answer a picture with the steps of its preparation, and how unlike the data it is."""
        change = change_of(request.query_params)
        if int(request.headers.get("content-length", 0)) > MOST_BODY:
            raise _too_large()
        client = self.clients.setdefault(_address_of(request.client), Client())
        with self._in_line(client):
            async with client.hands, self._body(request) as content, client.turn:
                if await request.is_disconnected():
                    return Response()
                try:
                    answer = await self.preparer.prepare(content, change)
                except PreparingError as error:
                    raise _unusable(str(error)) from None
        image = np.array(answer["image"], np.float32).reshape(*IMAGE_SHAPE, 1)
        prediction = predict(self.model, image, warn=False)
        answer |= {"unlikeness": prediction.unlikeness, "remark": _remark(prediction)}
        return JSONResponse(answer)

    @contextlib.contextmanager
    def _in_line(self, client: Client) -> Iterator[None]:
        """Count a picture among those that wait, unless they are too many."""
        if client.waiting >= MOST_WAITING_OF_ONE:
            raise RefusedError(
                429, _("Too many of your pictures are waiting. Try again in a moment.")
            )
        if self.waiting >= MOST_WAITING:
            raise _busy()
        client.waiting += 1
        self.waiting += 1
        try:
            yield
        finally:
            client.waiting -= 1
            self.waiting -= 1

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytearray]:
        """Hold the body of a request, within the limits on bytes and time."""
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    async for piece in request.stream():
                        body += piece
                        self.bodies += len(piece)
                        if len(body) > MOST_BODY:
                            raise _too_large()
                        if self.bodies > MOST_BODIES:
                            raise _busy()
            except TimeoutError:
                raise RefusedError(
                    408, _("The picture took too long to arrive. Try again, or send a smaller one.")
                ) from None
            except ClientDisconnect:
                raise RefusedError(400, {}) from None  # nobody is there to read it
            yield body
        finally:
            self.bodies -= len(body)


def page_files(model: keras.Sequential, name: str) -> dict[str, tuple[bytes, str]]:
    """Return the content and the media type of each file of the page, by its path."""
    files = {
        path.relative_to(PAGE).as_posix(): (path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in PAGE.rglob("*")
        if path.is_file()
    }
    manifest, weights = page_model(model, name=name)
    text = json.dumps(manifest | {"server": True}, ensure_ascii=False)
    files["model/model.json"] = text.encode(), MEDIA_TYPES[".json"]
    files["model/weights.bin"] = weights, MEDIA_TYPES[".bin"]
    return files


def change_of(query: QueryParams) -> Change:
    """Read what to change in a picture from a query such as ``turn=90&crop=0,0,0.5,1``."""
    try:
        turn, mirror = int(query.get("turn", 0)), int(query.get("mirror", 0))
        x0, y0, x1, y1 = map(float, query.get("crop", "0,0,1,1").split(","))
        is_well = turn in (0, *QUARTERS) and mirror in (0, 1)
        if not (is_well and 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError(query)
    except ValueError:
        sentence = _(
            "Expected turn=0, 90, 180 or 270, mirror=0 or 1, and crop=left,top,right,bottom, as "
            "fractions of the picture."
        )
        raise RefusedError(400, sentence) from None
    return Change((x0, y0, x1, y1), turn, bool(mirror))


def _remark(prediction: Prediction) -> dict[str, str]:
    """Return the remark in every language."""
    before, remarks = current_language(), {}
    try:
        for language in LANGUAGES:
            use_language(language)
            remarks[language] = prediction.remark
    finally:
        use_language(before)
    return remarks


def _too_large() -> RefusedError:
    size = MOST_BODY // 1_000_000
    return RefusedError(
        413, _("The file is larger than {size} MB. Make the picture smaller.", size=size)
    )


def _busy() -> RefusedError:
    return RefusedError(503, _("Too many pictures are waiting. Try again in a moment."))


def _unusable(reason: str) -> RefusedError:
    """Return the refusal of a picture, for the reason that a `PreparingError` gives."""
    sentences = {
        "large": _(
            "The picture has more than {pixels:,} pixels, or more than {side:,} along one "
            "side. Make it smaller.",
            pixels=MOST_PIXELS,
            side=MOST_SIDE,
        ),
        "small": _(
            "The longer side of the picture has fewer than {side} pixels. Take a larger one.",
            side=SIDE,
        ),
        "nothing": _(
            "Nothing stands out from the background. Photograph one garment on a plain background "
            "of another colour, with some background all around it."
        ),
        "slow": _(
            "The picture took more than {seconds} seconds to prepare. Save it again as JPEG or "
            "PNG, or make it smaller.",
            seconds=MOST_SECONDS,
        ),
        "unreadable": _("This file cannot be read as a picture. Save it again as JPEG or PNG."),
        "ended": _("The picture could not be prepared. Save it again as JPEG or PNG."),
    }
    return RefusedError(422, sentences[reason])


def _refusal(status: int, sentence: dict[str, str]) -> Response:
    return JSONResponse({"error": sentence}, status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _refusal(error.status, error.sentence)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(error.status_code, _("There is nothing here for such a request."))


async def _failed(request: Request, error: Exception) -> Response:
    traceback.print_exception(error)
    return _refusal(500, _("Something went wrong. The terminal of the server says what."))
