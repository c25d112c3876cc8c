"""Time the command line and the web page as their users experience them.

It serves the page with the package's network, drops a photo of 12 megapixels on it and draws on it
in a real browser.
"""

import argparse
import base64
import io
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import requests
from measure import ROOT, below_table, machine, timed_python, write_table
from PIL import Image
from playwright.sync_api import Page, sync_playwright

DRAWINGS = ROOT / "notebooks" / "drawings"
PROGRAM = ("-m", "fashion_cnn")
PORT = 7859
URL = f"http://127.0.0.1:{PORT}/"
COMMANDS, STARTS, WARM_UPS, DROPS, STROKES, AT_ONCE = 10, 3, 5, 30, 200, 50
# Milliseconds from the drop of a photo until its five steps are shown.
DROP = """async () => {
    const files = new DataTransfer(), steps = document.querySelector("#steps");
    files.items.add(window.photo);
    const shown = new Promise(resolve => {
        const observer = new MutationObserver(() => {
            if (steps.querySelectorAll("img").length < 5) return;
            observer.disconnect();
            resolve();
        });
        observer.observe(steps, {childList: true});
    });
    const start = performance.now();
    dispatchEvent(new DragEvent("drop", {dataTransfer: files, cancelable: true}));
    await shown;
    await Promise.all([...steps.querySelectorAll("img")].map(image => image.decode()));
    return performance.now() - start;
}"""
KEEP = """async content => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    window.photo = new File([bytes], "photo.jpg", {type: "image/jpeg"});
}"""
REDRAWN = "performance.getEntriesByName('redraw', 'measure').map(entry => entry.duration)"


def command_seconds(*args: str) -> float:
    """Return the median seconds of a whole process."""
    return statistics.median(timed_python(*PROGRAM, *args)[1] for _ in range(COMMANDS))


def photo() -> bytes:
    """Return a JPEG of 12 megapixels, with the noise of a camera: a drawing, enlarged."""
    image = Image.open(DRAWINGS / "winter-boot.png").convert("RGB").resize((4000, 3000))
    noise = np.random.default_rng(0).normal(0, 6, (3000, 4000, 3))
    pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG", quality=92)
        return file.getvalue()


def stroke_milliseconds(page: Page) -> list[float]:
    """Draw on the page; return the milliseconds of each redraw of all layers."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    page.evaluate("performance.clearMeasures('redraw')")
    rng = np.random.default_rng(0)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    while len(page.evaluate(REDRAWN)) < WARM_UPS + STROKES:
        x, y = rng.uniform(0.1, 0.9, 2)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.up()
    milliseconds: list[float] = page.evaluate(REDRAWN)
    return milliseconds[WARM_UPS:]


def prepare(path: str) -> None:
    """Send a picture to the page, as it does itself."""
    content = (DRAWINGS / path).read_bytes()
    requests.post(f"{URL}prepare", data=content, timeout=300).raise_for_status()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    results: dict[str, Any] = machine() | {
        "help": command_seconds("--help"),
        "data": command_seconds("data"),
        "starts": [],
    }
    for number in range(STARTS):
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *PROGRAM, "demo", "--port", str(PORT)], stdout=subprocess.PIPE
        ) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                requests.get(URL, timeout=60).raise_for_status()
                results["starts"].append(time.perf_counter() - start)
                if number == STARTS - 1:
                    results |= measure_page()
            finally:
                server.terminate()
    return results


def measure_page() -> dict[str, Any]:
    """Measure the page that is served."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.goto(URL, wait_until="networkidle")
        page.evaluate(KEEP, base64.b64encode(photo()).decode())
        drops = [page.evaluate(DROP) for _ in range(WARM_UPS + DROPS)][WARM_UPS:]
        page.reload(wait_until="networkidle")
        strokes = stroke_milliseconds(page)
        browser.close()
    names = sorted(path.name for path in DRAWINGS.glob("*.png"))
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(prepare, [names[number % len(names)] for number in range(AT_ONCE)]))
    return {"drops": drops, "strokes": strokes, "at_once": time.perf_counter() - start}


def write(results: dict[str, Any]) -> None:
    """Write the table."""
    table = render_table(results)
    print(table)
    write_table("page", table)


def render_table(results: dict[str, Any]) -> str:
    """Return the Markdown table."""
    rows = [
        ("`fashion-cnn --help`, the whole process", f"{results['help']:.2f} s"),
        ("`fashion-cnn data`, the whole process", f"{results['data']:.2f} s"),
        (
            "`fashion-cnn demo`, until the page answers",
            f"{statistics.median(results['starts']):.1f} s",
        ),
        ("a stroke on the page: all layers computed and drawn", _spread(results["strokes"])),
        ("a photo of 12 megapixels, from its drop to its five steps", _spread(results["drops"])),
        (f"{AT_ONCE} drawings sent at once, all answered", f"{results['at_once']:.1f} s"),
    ]
    lines = ["| what | measured |", "|---|---|", *(f"| {what} | {how} |" for what, how in rows)]
    note = below_table(
        f"Commands: median of {COMMANDS}; the start of the page: of {len(results['starts'])}. "
        f"{len(results['strokes'])} strokes and {len(results['drops'])} drops in sequence, once "
        f"warm, in headless Chromium on the same machine. `make bench PARTS=page`; "
        f"{results['hardware']}; {results['versions']}."
    )
    return "\n".join([*lines, "", note, ""])


def _spread(milliseconds: list[float]) -> str:
    middle, slowest = statistics.median(milliseconds), max(milliseconds)
    return f"median {middle:.0f} ms, slowest {slowest:.0f} ms"
