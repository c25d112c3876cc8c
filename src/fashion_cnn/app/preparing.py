"""Prepare pictures in a process of its own, which can be ended when one takes too long.

A thread cannot be: Pillow and OpenCV do not return before they are done. The process is
``python -m fashion_cnn.app.preparing``; requests and answers pass through its standard streams.
"""

import asyncio
import base64
import contextlib
import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashion_cnn.language import use_language
from fashion_cnn.photo import (
    FORMATS,
    MOST_PIXELS,
    MOST_SECONDS,
    MOST_SIDE,
    NOTHING_FOUND,
    SIDE,
    photo_steps,
    upright_photo,
)

MOST_MEMORY = 1_500_000_000  # bytes, beyond those of an idle process; where the system can limit it
MOST_ANSWER = 4_000_000  # bytes
PIECE = 1_000_000  # bytes of a picture that are passed on at once
START_SECONDS = 60
QUARTERS = {
    90: Image.Transpose.ROTATE_270,  # Pillow counts anticlockwise
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


class Change(NamedTuple):
    """What to change in an upright picture before it is prepared, in this order.

    Attributes
    ----------
    crop : tuple of four floats
        Left, top, right and bottom, as fractions of the picture.
    turn : int
        Degrees clockwise: 0, 90, 180 or 270.
    mirror : bool
        Whether to swap left and right.
    """

    crop: tuple[float, float, float, float] = (0, 0, 1, 1)
    turn: int = 0
    mirror: bool = False

    def of(self, image: Image.Image) -> Image.Image:
        """Return the changed picture."""
        x0, y0, x1, y1 = self.crop
        width, height = image.size
        # At least the pixel in which the frame begins.
        left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
        right, bottom = max(left + 1, round(x1 * width)), max(top + 1, round(y1 * height))
        image = image.crop((left, top, right, bottom))
        if self.turn:
            image = image.transpose(QUARTERS[self.turn])
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirror else image


class PreparingError(Exception):
    """A picture that cannot be prepared.

    Its text is the reason: ``large``, ``small``, ``nothing`` found, ``slow``, ``unreadable``, or
    ``ended`` if the process did.
    """


class Preparer:
    """The process, seen by the server; it prepares one picture at a time."""

    async def __aenter__(self) -> "Preparer":
        """Start the process; it answers once it has imported its libraries."""
        self._lock = asyncio.Lock()
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the process."""
        async with self._lock:
            await self._end()

    async def prepare(self, content: bytes | bytearray, change: Change) -> dict[str, Any]:
        """Return the steps of a picture as JSON data: ``steps`` and ``image``.

        Raises
        ------
        PreparingError
            If that is impossible, or takes longer than `MOST_SECONDS`.
        """
        async with self._lock:
            answer, reason = None, "ended"
            try:
                await asyncio.wait_for(self._ready, START_SECONDS)
                reason = "slow"
                answer = await asyncio.wait_for(self._ask(content, change), MOST_SECONDS)
            except TimeoutError:
                raise PreparingError(reason) from None
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                raise PreparingError("ended") from None
            finally:
                if answer is None:  # too late for it, or the server ends
                    await self._end()
                    await self._start()
        if "error" in answer:
            raise PreparingError(answer["error"])
        return answer

    async def _start(self) -> None:
        # Not in the process group of a terminal, whose Ctrl-C the server answers; and without the
        # current directory among the places of modules. What C libraries say of a picture stays
        # off the terminal.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", __name__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MOST_ANSWER,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._ready = asyncio.ensure_future(self._stdout.readuntil())

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._ready.cancel()
        self._stdin.close()
        await self._process.wait()

    async def _ask(self, content: bytes | bytearray, change: Change) -> dict[str, Any]:
        request = {"bytes": len(content), **change._asdict()}
        self._stdin.write(json.dumps(request).encode() + b"\n")
        for start in range(0, len(content), PIECE):
            self._stdin.write(content[start : start + PIECE])
            await self._stdin.drain()
        answer: dict[str, Any] = json.loads(await self._stdout.readuntil())
        return answer


def main() -> None:
    """Answer requests from standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    use_language("en")  # the server translates
    _answer(_example(), Change())  # the first takes longer
    _limit_memory()
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        _write_answer(json.loads(line), sys.stdin.buffer, answers)


def _write_answer(request: dict[str, Any], pictures: BinaryIO, answers: BinaryIO) -> None:
    content = pictures.read(request["bytes"])
    change = Change(tuple(request["crop"]), request["turn"], request["mirror"])
    answers.write(json.dumps(_answer(content, change)).encode() + b"\n")
    answers.flush()


def _answer(content: bytes, change: Change) -> dict[str, Any]:
    photo: bytes | Image.Image = content
    try:
        if change != Change():
            photo = change.of(upright_photo(content))
        steps = photo_steps(photo)
    except ValueError as error:
        return {"error": _reason(str(error), photo)}
    return {
        "steps": [{"name": name, "png": _png(values)} for name, values in steps._asdict().items()],
        "image": steps.centred.ravel().tolist(),
    }


def _reason(message: str, photo: bytes | Image.Image) -> str:
    """Return why a picture cannot be prepared, in a word."""
    if message == NOTHING_FOUND:
        return "nothing"
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(photo, bytes):
                photo = stack.enter_context(Image.open(io.BytesIO(photo), formats=FORMATS))
            width, height = photo.size
    except Image.DecompressionBombError:
        return "large"
    except Exception:  # Pillow raises almost anything
        return "unreadable"
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        return "large"
    return "small" if max(width, height) < SIDE else "unreadable"


def _png(values: NDArray[np.float32]) -> str:
    """Return an image (h, w), (h, w, 1) or (h, w, 3) in [0, 1] as PNG, in base64."""
    pixels = np.rint(255 * values).astype(np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels.squeeze()).save(file, "png", compress_level=1)
        return base64.b64encode(file.getvalue()).decode()


def _example() -> bytes:
    """Return a picture of a dark square."""
    pixels = np.full((300, 300), 240, np.uint8)
    pixels[80:220, 80:220] = 40
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "jpeg")
        return file.getvalue()


def _limit_memory() -> None:
    """Let a picture that takes too much memory fail here, rather than the machine."""
    # Not on Windows; and macOS neither has that file nor keeps to the limit.
    with contextlib.suppress(ImportError, OSError):
        resource = importlib.import_module("resource")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
