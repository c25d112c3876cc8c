"""The command line, ``fashion-cnn``: a thin face over the verbs of the package.

Results go to standard output, progress and errors to standard error. Nothing here imports
TensorFlow before a command needs it.
"""

import contextlib
import functools
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click
import numpy as np

import fashion_cnn as fc
from fashion_cnn.data import DATA_DIR_VARIABLE, DatasetError, NotAvailableError, data_source
from fashion_cnn.unlikeness import unlikeness

if TYPE_CHECKING:
    import keras

PROGRAM = "fashion-cnn"
DEFAULT_CHECKPOINT = "best-cnn-model.keras"
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


class InterruptedRun(click.ClickException):
    """A training that Ctrl-C ended; the message says from where it goes on."""

    exit_code = INTERRUPTED


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help=f"Where the four files of Fashion-MNIST are. Else ${DATA_DIR_VARIABLE}, else Keras's "
    "cache.",
)
checkpoint_argument = click.argument("checkpoint", type=click.Path())


def main() -> NoReturn:
    """Run the command line; end with 0, 1 after a failure, 2 after a wrong call, 130 if stopped."""
    warnings.showwarning = lambda message, *_: _say(str(message))
    try:
        sys.exit(commands(prog_name=PROGRAM, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        usage = error.ctx.get_usage() if error.ctx else ""
        _say(f"{error.format_message()} {usage}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _say(error.format_message())
        sys.exit(error.exit_code)
    except click.Abort:
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except (DatasetError, ImportError, OSError, ValueError) as error:  # the verbs' refusals
        _say(_line(error))
        sys.exit(1)


def _say(message: str) -> None:
    """Write one line to standard error."""
    click.echo(f"{PROGRAM}: {' '.join(message.split())}", err=True)


def _line(error: Exception) -> str:
    """Return what went wrong; an error of the system without its number."""
    if isinstance(error, NotAvailableError):
        return (
            f"{error.summary} Connect this machine to the internet, or put the four files of "
            "Fashion-MNIST there, or name their place with --data-dir"
        )
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name=PROGRAM)
def commands() -> None:
    """Train a small convolutional network on Fashion-MNIST, and use it.

    \b
    For a start:
      fashion-cnn doctor
      fashion-cnn train --recipe fast
      fashion-cnn predict best-cnn-model.keras shoe.jpg
      fashion-cnn demo
    """


@commands.command()
@click.option(
    "--recipe",
    type=click.Choice(["book", "fast", "best"], case_sensitive=False),
    default="book",
    show_default=True,
    help="The book's training; its accuracy in two epochs; or as accurate as can be.",
)
@data_dir_option
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    default=DEFAULT_CHECKPOINT,
    show_default=True,
    help="Where the best model is saved. A model there is replaced.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with a training that was cut off, or start over.",
)
def train(recipe: str, data_dir: str | None, checkpoint: str, seed: int, resume: bool) -> None:
    """Train the network and save the best model.

    The data set is downloaded first if it is not on this machine (30 MB). Cut off, by Ctrl-C or
    by a crash, the same command goes on after the last finished epoch.

    \b
    Example:
      fashion-cnn train --recipe fast --checkpoint models/fast.keras
    """
    _import_tensorflow()
    from fashion_cnn.report import save_history

    with contextlib.redirect_stdout(sys.stderr):  # where Keras's progress belongs, too
        data = fc.load_fashion_mnist(data_dir)
        click.echo(data.source)
        model = fc.build_cnn()
        try:
            history = fc.train(
                model,
                data,
                getattr(fc, recipe.upper()),
                checkpoint=checkpoint,
                seed=seed,
                resume=resume,
                verbose=1 if sys.stderr.isatty() else 2,
            )
        except KeyboardInterrupt as interrupt:
            click.echo()  # Keras leaves its line unfinished
            raise InterruptedRun(str(interrupt) or "interrupted before the first epoch") from None
        save_history(history, checkpoint)
        loss, accuracy = fc.evaluate(model, data.validation)
    click.echo(f"validation accuracy {accuracy:.4f}, loss {loss:.4f}, {len(history.epoch)} epochs")
    click.echo(f"saved in {checkpoint}")


@commands.command()
@checkpoint_argument
@data_dir_option
def evaluate(checkpoint: str, data_dir: str | None) -> None:
    """Print a model's loss and accuracy on validation and test split.

    Compare models by the validation split; the test split is for the last word on one.

    \b
    Example:
      fashion-cnn evaluate best-cnn-model.keras
    """
    _import_tensorflow()
    model = fc.load_model(checkpoint)
    data = fc.load_fashion_mnist(data_dir)
    _say(str(data.source))
    click.echo(f"{'split':12}{'images':>8}{'loss':>10}{'accuracy':>10}")
    for name in ("validation", "test"):
        split = getattr(data, name)
        loss, accuracy = fc.evaluate(model, split)
        click.echo(f"{name:12}{len(split.labels):8,}{loss:10.4f}{accuracy:10.4f}")


@commands.command()
@checkpoint_argument
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, for programs.")
@data_dir_option
def predict(checkpoint: str, images: tuple[str, ...], as_json: bool, data_dir: str | None) -> None:
    """Predict the class of photos, or of images of the test split.

    IMAGE is a picture file, or a number: an image of the test split, from 0. (A file whose name is
    a number: ./7.) Photos show one garment on a plain background, shoes with the toe to the left.
    If one picture cannot be read, the others are predicted all the same.

    \b
    Examples:
      fashion-cnn predict best-cnn-model.keras shoe.jpg coat.png
      fashion-cnn predict best-cnn-model.keras --json 0 1 2
    """
    _import_tensorflow()
    model = fc.load_model(checkpoint)
    test_split = functools.cache(lambda: fc.load_fashion_mnist(data_dir).test)
    answers, failed = [], False
    for image in images:
        try:
            answer = _answer(model, image, test_split)
        except (DatasetError, OSError, ValueError) as error:
            _say(_line(error))
            failed = True
            continue
        answers.append(answer)
        if not as_json:
            click.echo(_table(answer))
    if as_json:
        click.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    sys.exit(failed)


def _answer(
    model: "keras.Sequential", image: str, test_split: Callable[[], fc.Split]
) -> dict[str, Any]:
    """Predict one picture and return what is to be printed, as JSON data."""
    true_class = None
    if image.isascii() and image.isdigit():
        images, labels = test_split()
        if int(image) >= len(labels):
            raise ValueError(f"expected a number from 0 to {len(labels) - 1}, got {image}")
        pixels, true_class = images[int(image)], fc.CLASS_NAMES[labels[int(image)]]
    else:
        pixels = fc.prepare_photo(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.UnlikeDataWarning)  # told in other words
        prediction = fc.predict(model, pixels)
    (measure,) = unlikeness(pixels[np.newaxis])
    if measure > 1:
        _say(
            f"{image}: unlike the clothes that the network has learned from (unlikeness "
            f"{measure:.1f}, where 1 is rare); do not rely on the prediction"
        )
    return {
        "image": image,
        "class": prediction.class_name,
        "true_class": true_class,
        "unlikeness": round(float(measure), 3),
        "probabilities": {
            name: round(float(probability), 6)
            for name, probability in zip(fc.CLASS_NAMES, prediction.probabilities, strict=True)
        },
    }


def _table(answer: dict[str, Any]) -> str:
    """Return the lines for one picture: the class, then the probabilities, the largest first."""
    title = f"{answer['image']}: {answer['class']}"
    if answer["true_class"]:
        title += f" (it is: {answer['true_class']})"
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    return "\n".join([title, *(f"  {name:12}{value:8.2%}" for name, value in ranked)])


@commands.command()
@checkpoint_argument
@data_dir_option
def report(checkpoint: str, data_dir: str | None) -> None:
    """Put a model beside the figures of the note and the book.

    \b
    Example:
      fashion-cnn report best-cnn-model.keras
    """
    _import_tensorflow()
    from fashion_cnn.report import load_history

    model = fc.load_model(checkpoint)
    data = fc.load_fashion_mnist(data_dir)
    history = load_history(checkpoint)
    if history is None:
        _say(f"no history of {checkpoint} beside it, so its epochs and steps are not known")
    validation, test = fc.evaluate(model, data.validation), fc.evaluate(model, data.test)
    click.echo(repr(fc.reproduction_report(model, data, history, validation=validation, test=test)))


@commands.command()
@data_dir_option
@click.option("--fetch", is_flag=True, help="Download what is missing (30 MB in all).")
def data(data_dir: str | None, fetch: bool) -> None:
    """Say where the data set is and whether it is sound.

    \b
    Example:
      fashion-cnn data --fetch
    """
    try:
        click.echo(data_source(data_dir, fetch=fetch))
    except NotAvailableError as error:
        if fetch:
            raise
        raise click.ClickException(f"{error} Add --fetch to download it") from None


@commands.command()
@data_dir_option
def doctor(data_dir: str | None) -> None:
    """Look at what the package needs; say how to mend what is wrong.

    \b
    Example:
      fashion-cnn doctor
    """
    from fashion_cnn.doctor import findings

    is_well = True
    with contextlib.suppress(ImportError):  # which is one of the findings
        _import_tensorflow()
    for finding in findings(data_dir):
        is_well &= finding.is_well
        click.echo(f"{'ok' if finding.is_well else 'MEND':6}{finding.name:14}{finding.says}")
    sys.exit(not is_well)


@commands.command()
@click.argument("checkpoint", type=click.Path(), default=DEFAULT_CHECKPOINT)
@data_dir_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Which address to listen on. 0.0.0.0 lets everyone in who can reach this machine.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
def demo(checkpoint: str, data_dir: str | None, host: str, port: int) -> None:
    """Serve a web page that predicts your pictures, on this machine.

    Without CHECKPOINT it uses best-cnn-model.keras; if there is no such file yet, the page offers
    to train a network and to save it there.

    \b
    Example:
      fashion-cnn demo --port 8000
    """
    click.echo("Starting the page …", err=True)
    _import_tensorflow()
    try:
        from fashion_cnn.demo import serve
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the page needs {error.name}, which is not installed; install the extra: "
            'pip install --constraint constraints.txt ".[demo]" in a clone of the repository'
        ) from None
    serve(
        checkpoint,
        data_dir,
        host,
        port,
        on_start=lambda url: click.echo(f"The page is at {url} (Ctrl-C ends it)"),
    )


def _import_tensorflow() -> None:
    """Import TensorFlow without the notes on CUDA that no setting of its own keeps back."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
