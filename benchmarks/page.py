"""Time the command line and the web page as their users experience them.

It serves the page with the package's network, drops a photo of 12 megapixels on it and draws on it
in a real browser.
"""

import base64
import io
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

import numpy as np
from measure import ROOT, Results, Tables, machine, note, table_of, timed_python
from PIL import Image
from playwright.sync_api import Page, sync_playwright

DRAWINGS = ROOT / "notebooks" / "drawings"
PROGRAM = ("-m", "fashion_cnn")
PORT = 7859
URL = f"http://127.0.0.1:{PORT}/"
COMMANDS, STARTS, WARM_UPS, DROPS, STROKES = 10, 3, 5, 30, 200
# Milliseconds from the drop of a photo until its five steps are shown.
DROP = """async content => {
    const files = new DataTransfer(), steps = document.querySelector("#steps");
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    files.items.add(new File([bytes], "photo.jpg", {type: "image/jpeg"}));
    const shown = new Promise(resolve => {
        const observer = new MutationObserver(() => {
            if (steps.querySelectorAll("canvas").length < 5) return;
            observer.disconnect();
            resolve();
        });
        observer.observe(steps, {childList: true});
    });
    const start = performance.now();
    dispatchEvent(new DragEvent("drop", {dataTransfer: files, cancelable: true}));
    await shown;
    return performance.now() - start;
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


def measure() -> Results:
    """Measure everything."""
    results = machine() | {"help": command_seconds("--help"), "data": command_seconds("data")}
    results["starts"] = []
    for number in range(STARTS):
        start = time.perf_counter()
        command = [sys.executable, *PROGRAM, "demo", "--port", str(PORT)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                urllib.request.urlopen(URL).close()
                results["starts"].append(time.perf_counter() - start)
                if number == STARTS - 1:
                    results |= measure_page()
            finally:
                server.terminate()
    return results


def measure_page() -> Results:
    """Measure the page that is served."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.goto(URL, wait_until="networkidle")
        content = base64.b64encode(photo()).decode()
        drops = [page.evaluate(DROP, content) for _ in range(WARM_UPS + DROPS)][WARM_UPS:]
        page.reload(wait_until="networkidle")
        strokes = stroke_milliseconds(page)
        browser.close()
    return {"drops": drops, "strokes": strokes}


def tables(results: Results) -> Tables:
    """Return the table, by document and name."""
    start = statistics.median(results["starts"])
    rows = [
        ("`fashion-cnn --help`, the whole process", f"{results['help']:.2f} s"),
        ("`fashion-cnn data`, the whole process", f"{results['data']:.2f} s"),
        ("`fashion-cnn demo`, until the page answers", f"{start:.1f} s"),
        ("a stroke on the page: all layers computed and drawn", spread(results["strokes"])),
        ("a photo of 12 megapixels, from its drop to its five steps", spread(results["drops"])),
    ]
    words = (
        f"Commands: median of {COMMANDS}; the start of the page: of {len(results['starts'])}. "
        f"{len(results['strokes'])} strokes and {len(results['drops'])} drops in sequence, once "
        "warm, in headless Chromium on the same machine."
    )
    table = table_of("| what | measured |", rows) + note(words, "make bench PARTS=page", results)
    return {("docs/benchmarks.md", "page"): table}


def spread(milliseconds: list[float]) -> str:
    """Return median and maximum as text."""
    return f"median {statistics.median(milliseconds):.0f} ms, slowest {max(milliseconds):.0f} ms"
