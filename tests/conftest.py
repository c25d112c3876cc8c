"""Shared fixtures: the stand-in data, the real data where it is, and no network."""

import os
import socket
from pathlib import Path

import pytest

import fashion_cnn as fc
from fashion_cnn.data import DATA_DIR_VARIABLE, FASHION_MNIST_SHA256

ROOT = Path(__file__).resolve().parents[1]
TINY_DIR = ROOT / "data" / "tiny"

# The subprocesses of the tests run elsewhere; a relative path was meant from here.
if os.environ.get(DATA_DIR_VARIABLE):
    os.environ[DATA_DIR_VARIABLE] = str(Path(os.environ[DATA_DIR_VARIABLE]).absolute())


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Look up no other machine, so that a test cannot depend on one."""
    look_up = socket.getaddrinfo

    def look_up_this_machine(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(f"the tests run offline; {host} was looked up")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_this_machine)


@pytest.fixture(scope="session")
def tiny():
    return fc.load_fashion_mnist(TINY_DIR)


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
    """A network trained on the stand-in data by the book's recipe: model, history, checkpoint."""
    checkpoint = tmp_path_factory.mktemp("trained") / "best-cnn-model.keras"
    model = fc.build_cnn()
    history = fc.train(model, tiny, checkpoint=checkpoint, seed=0, verbose=0)
    return model, history, checkpoint


@pytest.fixture(scope="session")
def real_dir():
    """The directory of the real Fashion-MNIST, for tests marked real_data."""
    places = [Path("~/.keras/datasets/fashion-mnist").expanduser()]
    if os.environ.get("KERAS_HOME"):
        places = [Path(os.environ["KERAS_HOME"], "datasets", "fashion-mnist")]
    if os.environ.get(DATA_DIR_VARIABLE):
        places = [Path(os.environ[DATA_DIR_VARIABLE])]
    for place in places:
        if all((place / name).is_file() for name in FASHION_MNIST_SHA256):
            return place
    pytest.skip(f"no Fashion-MNIST in {places[0]}; set {DATA_DIR_VARIABLE} to run this test")


@pytest.fixture(scope="session")
def real(real_dir):
    return fc.load_fashion_mnist(real_dir)
