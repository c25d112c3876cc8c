"""Compare what the page answers to photos without a server with what the package answers.

``python benchmarks/in_browser.py path``, where the path is the directory of real photos that
docs/photos.md describes; our twelve drawings are added.
"""

import functools
import shutil
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
from measure import ROOT
from playwright.sync_api import sync_playwright
from real_photos import RIGHT, RealPhotos, prepared

import fashion_cnn as fc

FIRST = "[...document.querySelectorAll('#bars button')].findIndex(b => b.matches('.first'))"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def page_labels(model: keras.Sequential, paths: list[Path]) -> list[int]:
    """Return what the page answers to pictures: labels, -1 where it finds nothing."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        fc.write_page(model, scratch)
        handler = functools.partial(SimpleHTTPRequestHandler, directory=scratch)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page, labels = browser.new_page(), []
        for path in paths:
            page.goto(f"http://127.0.0.1:{server.server_port}/network.html?lang=en")
            page.wait_for_selector("[data-ready]", state="attached")
            page.locator("#file").set_input_files(path)
            page.wait_for_function("!/^(Preparing|$)/.test(document.all.remark.textContent)")
            page.evaluate(DRAWN)
            labels.append(page.evaluate(FIRST) if page.locator("#steps li").count() else -1)
        server.shutdown()
        return labels


def main() -> None:
    """Print the figures."""
    photos = [p for f in RIGHT for p in sorted(Path(sys.argv[1], f).glob("*.jpg"))]
    drawings = sorted((ROOT / "notebooks" / "drawings").glob("*.png"))
    model = fc.load_model()
    found = np.array(page_labels(model, photos + drawings))
    images = np.array([prepared(path) for path in photos + drawings])
    expected = model.predict_on_batch(images).argmax(axis=1)
    n = len(photos)
    print(f"photos: {np.mean(found[:n] == expected[:n]):.1%} of {n} labels agree")
    print(f"drawings: {np.sum(found[n:] == expected[n:])} of {len(drawings)} agree")
    real = RealPhotos(images[:n], np.array([path.parent.name for path in photos]))
    for who, labels in (("package", expected), ("page", found)):
        is_right = real.right(np.eye(len(fc.CLASS_NAMES) + 1, dtype=np.float32)[labels[:n], :-1])
        print(f"{who}: {is_right[real.is_garment].mean():.1%} of {real.is_garment.sum()} right")


if __name__ == "__main__":
    main()
