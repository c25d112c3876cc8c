"""Time the command line and the web page as their users experience them: ``make page``.

It trains a network with FAST, serves it, uploads the drawings of notebooks/drawings in a real
browser, and writes a table of docs/benchmarks.md.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gradio_client
from bench import RESULTS, hardware, versions
from measure import ROOT, below_table, renew
from playwright.sync_api import Page, sync_playwright

PAGE = RESULTS.with_name("page.json")
PHOTOS = sorted((ROOT / "notebooks" / "drawings").glob("*.png"))
PROGRAM = [sys.executable, "-m", "fashion_cnn"]
PORT = 7859
COMMANDS, WARM_UPS, UPLOADS, AT_ONCE = 10, 5, 50, 50
# The time from the choice of a file to each of the two answers, in the browser's own clock.
STOPWATCH = """() => {
    const stopwatch = window.stopwatch = {};
    addEventListener("change", () => stopwatch.start = performance.now(),
                     {capture: true, once: true});
    const looked = document.querySelector("#looked"), answer = document.querySelector("#answer");
    const observer = new MutationObserver(() => {
        if (answer.querySelector(".answer")) stopwatch.answer ??= performance.now();
        if (looked.querySelector("img")) {
            stopwatch.looked = performance.now();
            observer.disconnect();
        }
    });
    for (const place of [answer, looked]) observer.observe(place, {childList: true, subtree: true});
}"""


def command_seconds(*args: str) -> float:
    """Return the median seconds of a whole process."""
    seconds = []
    for _ in range(COMMANDS):
        start = time.perf_counter()
        subprocess.run([*PROGRAM, *args], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def upload_milliseconds(page: Page, path: Path) -> tuple[float, float]:
    """Upload a picture; return the milliseconds to the answer and to where the network looked."""
    page.evaluate(STOPWATCH)
    page.locator("input[type=file]").first.set_input_files(path)
    page.wait_for_function("stopwatch.looked")
    times = page.evaluate("stopwatch")
    page.get_by_role("button", name="Remove Image").click()
    page.wait_for_function("!document.querySelector('#looked img')")
    return times["answer"] - times["start"], times["looked"] - times["start"]


def measure() -> dict[str, Any]:
    """Measure everything."""
    results: dict[str, Any] = {
        "hardware": hardware(),
        "versions": versions(),
        "help": command_seconds("--help"),
        "data": command_seconds("data"),
    }
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = f"{scratch}/model.keras"
        train = [*PROGRAM, "train", "--recipe", "fast", "--checkpoint", checkpoint]
        subprocess.run(train, check=True)
        demo = [*PROGRAM, "demo", checkpoint, "--port", str(PORT)]
        with subprocess.Popen(demo, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            url = f"http://127.0.0.1:{PORT}/"
            try:
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(
                        executable_path=shutil.which("chromium"),
                        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
                    )
                    page = browser.new_page()
                    page.goto(url, wait_until="networkidle")
                    times = [
                        upload_milliseconds(page, PHOTOS[number % len(PHOTOS)])
                        for number in range(WARM_UPS + UPLOADS)
                    ][WARM_UPS:]
                    browser.close()
                client = gradio_client.Client(url, verbose=False)
                files = [
                    gradio_client.handle_file(str(PHOTOS[n % len(PHOTOS)])) for n in range(AT_ONCE)
                ]
                start = time.perf_counter()
                for job in [client.submit(file, api_name="/predict") for file in files]:
                    job.result()
                results["at_once"] = time.perf_counter() - start
            finally:
                server.terminate()
    results["answers"], results["looks"] = map(list, zip(*times, strict=True))
    return results


def render_table() -> str:
    """Return the Markdown table."""
    results = json.loads(PAGE.read_text())
    rows = [
        ("`fashion-cnn --help`, the whole process", f"{results['help']:.2f} s"),
        ("`fashion-cnn data`, the whole process", f"{results['data']:.2f} s"),
        ("from the upload to the answer in the browser", _spread(results["answers"])),
        ("from the upload to the map of where the network looked", _spread(results["looks"])),
        (f"{AT_ONCE} uploads at once, all answered in full", f"{results['at_once']:.1f} s"),
    ]
    lines = ["| what | measured |", "|---|---|", *(f"| {what} | {how} |" for what, how in rows)]
    note = below_table(
        f"Commands: median of {COMMANDS}. Uploads: {len(results['answers'])} in sequence, cycling "
        f"through ten drawings, once warm, in headless Chromium on the same machine. `make page`; "
        f"{results['hardware']}; {results['versions']}."
    )
    return "\n".join([*lines, "", note, ""])


def _spread(milliseconds: list[float]) -> str:
    middle, slowest = statistics.median(milliseconds), max(milliseconds)
    return f"median {middle:.0f} ms, slowest {slowest:.0f} ms"


if __name__ == "__main__":
    renew("page", PAGE, measure, render_table)
