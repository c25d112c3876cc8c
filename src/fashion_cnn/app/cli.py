"""The command line, ``fashion-cnn``: a thin interface to the functions of the package.

Results go to standard output, progress and errors to standard error. TensorFlow, whose import takes
seconds, is imported only by the commands that need it, once the paths they are given are checked.
"""

import contextlib
import functools
import json
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

import fashion_cnn as fc
from fashion_cnn.app.doctor import findings
from fashion_cnn.app.page_model import free_directory
from fashion_cnn.app.words import aligned, choose_language, gather, in_language, spread
from fashion_cnn.data import DATA_DIR_VARIABLE, DatasetError, NotAvailableError, data_source
from fashion_cnn.language import LANGUAGE_VARIABLE, LANGUAGES, on_disk
from fashion_cnn.language import gettext as _

PROGRAM = "fashion-cnn"
RECIPES = {"book": fc.BOOK, "fast": fc.FAST, "best": fc.BEST}

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help=f"Directory with the four files of Fashion-MNIST; by default ${DATA_DIR_VARIABLE}, else "
    "Keras's cache.",
)
checkpoint_argument = click.argument("checkpoint", type=click.Path())
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(),
    help="A saved model; by default the network that comes with the package answers.",
)


def main() -> NoReturn:
    """Run the command line; exit with 0, 1 (failure), 2 (wrong usage) or 130 (interrupted)."""
    warnings.showwarning = lambda message, *_: _say(str(message))
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")
    choose_language(sys.argv[1:])
    try:
        sys.exit(in_language(commands)(prog_name=PROGRAM, standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as error:  # Ctrl-C; if it interrupted `train`, its cause says how to go on
        _say(str(error.__cause__ or "") or _("interrupted"))
        sys.exit(130)  # 128 plus the number of SIGINT, as in a shell
    except Exception as error:
        _say(_line(error))
        sys.exit(1)


def _say(message: str) -> None:
    """Write one line to standard error."""
    click.echo(f"{PROGRAM}: {' '.join(message.split())}", err=True)


def _line(error: Exception) -> str:
    """Return what went wrong; for an error of the operating system, without its number."""
    if isinstance(error, NotAvailableError):
        return _(
            "{summary} Run fashion-cnn data --fetch with internet access, put the four files of "
            "Fashion-MNIST there, or name their directory with --data-dir"
        ).format(summary=" ".join(str(error).splitlines()[:2]))
    if isinstance(error, OSError) and error.filename and error.strerror:
        return ": ".join((str(error.filename), _(error.strerror)))
    if isinstance(error, DatasetError | ImportError | OSError | RuntimeError | ValueError):
        return str(error).replace("resume=False", "--no-resume")
    return f"{type(error).__name__}: {error}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    envvar=LANGUAGE_VARIABLE,
    expose_value=False,
    help=f"English or Korean; by default ${LANGUAGE_VARIABLE}, else the locale. Some errors are in "
    "English only.",
)
@click.version_option(fc.__version__, message="%(prog)s %(version)s")
def commands() -> None:
    """Train a small convolutional network on Fashion-MNIST, and use it.

    \b
    To start:
      fashion-cnn doctor
      fashion-cnn predict shoe.jpg
      fashion-cnn train --recipe fast
      fashion-cnn evaluate best-cnn-model-fast.keras
      fashion-cnn report best-cnn-model-fast.keras
      fashion-cnn demo

    \b
    To complete commands with Tab (in zsh: zsh_source):
      eval "$(_FASHION_CNN_COMPLETE=bash_source fashion-cnn)"
    """


@commands.command()
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES), case_sensitive=False),
    default="book",
    help="book: as in the book; fast: nearly as accurate in one epoch; best: as accurate as "
    "possible.",
)
@data_dir_option
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    help="Where to save the best model; an existing one is replaced. By default, and by recipe: "
    "best-cnn-model.keras, best-cnn-model-fast.keras or best-cnn-model-best.keras; for stand-in "
    "data, stand-in-model.keras and so on.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42)
@click.option(
    "--resume/--no-resume", default=True, help="Resume an interrupted run, or start over."
)
def train(recipe: str, data_dir: str | None, checkpoint: str | None, **settings: Any) -> None:
    """Train the network and save the best model.

    If the data set is not on this machine, it is downloaded first (30 MB). After an interruption,
    by Ctrl-C or a crash, the same command resumes after the last finished epoch.

    \b
    Example:
      fashion-cnn train --recipe fast --checkpoint models/fast.keras
    """
    if checkpoint and not checkpoint.endswith(".keras"):
        message = _("expected a checkpoint file that ends in .keras, got {path}")
        raise click.UsageError(message.format(path=checkpoint))
    with contextlib.redirect_stdout(sys.stderr):  # where Keras's progress belongs, too
        data = fc.load_fashion_mnist(data_dir)
        click.echo(data.source)
        model = fc.build_cnn()
        from fashion_cnn.checkpoint import default_checkpoint  # imports Keras

        settings["checkpoint"] = checkpoint or default_checkpoint(data.source, RECIPES[recipe])
        settings["verbose"] = 1 if sys.stderr.isatty() else 2
        history = fc.train(model, data, RECIPES[recipe], **settings)
        loss, accuracy = fc.evaluate(model, data.validation)
    message = _("validation accuracy {accuracy:.4f}, loss {loss:.4f}, epochs: {n}")
    click.echo(message.format(accuracy=accuracy, loss=loss, n=len(history.epoch)))
    click.echo(_("saved in {checkpoint}").format(checkpoint=settings["checkpoint"]))


@commands.command()
@checkpoint_argument
@data_dir_option
def evaluate(checkpoint: str, data_dir: str | None) -> None:
    """Print a model's loss and accuracy on validation and test data.

    Compare models on the validation split; the test split is for the final figure.
    """
    model, data = _load_both(checkpoint, data_dir)
    rows = [(_("split"), _("images"), _("loss"), _("accuracy"))]
    for name, split in ((_("validation"), data.validation), (_("test"), data.test)):
        loss, accuracy = fc.evaluate(model, split)
        rows.append((name, f"{split.size:,}", f"{loss:.4f}", f"{accuracy:.4f}"))
    click.echo(aligned(rows))


@commands.command()
@checkpoint_option
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, for programs.")
@data_dir_option
def predict(
    checkpoint: str | None, images: tuple[str, ...], as_json: bool, data_dir: str | None
) -> None:
    """Predict the class of photos, or of images of the test split.

    IMAGE is a picture file, or the number of an image of the test split, counted from 0. (For a
    file whose name is a number, write ./7.) A photo should show one garment on a plain background,
    from the front, or one shoe from the side. If one picture cannot be read, the others are still
    predicted.

    \b
    Examples:
      fashion-cnn predict shoe.jpg coat.png
      fashion-cnn predict --checkpoint best-cnn-model.keras --json 0 1 2
    """
    for image in images:
        if image.endswith(".keras"):
            message = _("expected a picture, got a model; use --checkpoint {path}")
            raise click.UsageError(message.format(path=image))
    _check_exists(checkpoint)
    packaged = _("answers by the network that comes with the package")
    _say(_("answers by {checkpoint}").format(checkpoint=checkpoint) if checkpoint else packaged)
    test_split = functools.cache(lambda: fc.load_fashion_mnist(data_dir).test)
    pictures = []
    for image in images:
        try:
            if image.isascii() and image.isdigit():
                (pixels, true_class), fault = _test_image(int(image), test_split()), ""
            else:
                on_disk(image).stat()  # before OpenCV is imported
                steps = fc.photo_steps(image)
                pixels, true_class, fault = steps.centred, None, steps.remark
            pictures.append((image, pixels, true_class, fault))
        except (DatasetError, OSError, ValueError) as error:
            line = _line(error)
            _say(line if image in line else f"{image}: {line}")
    model = _load(checkpoint) if pictures else None
    answers = []
    for image, pixels, true_class, fault in pictures:
        prediction = fc.predict(model, pixels)
        remark = prediction.remark and "; ".join(filter(None, (prediction.remark, fault)))
        if remark:
            _say(f"{image}: {remark}")
        probabilities = dict(zip(fc.CLASS_NAMES, prediction.probabilities.tolist(), strict=True))
        answers.append(
            {
                "image": image,
                "class": fc.CLASS_NAMES[prediction.label],
                "true_class": true_class,
                "unlikeness": round(prediction.unlikeness, 3),
                "remark": remark,
                "probabilities": {name: round(p, 6) for name, p in probabilities.items()},
            }
        )
        if not as_json:
            truth = true_class and _(" (it is: {name})").format(name=_(true_class))
            click.echo(f"{image}: {prediction.class_name}{truth or ''}")
            ranked = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
            rows = [(_(name), f"{probabilities[name]:6.2%}") for name in ranked]
            click.echo(textwrap.indent(aligned(rows), "  "))
    if as_json:
        click.echo(json.dumps(answers, indent=2))
    sys.exit(len(answers) < len(images))


def _test_image(number: int, test: fc.Split) -> tuple[Any, str]:
    """Return an image of the test split and its class."""
    if number >= test.size:
        message = _("expected a number from 0 to {last}, got {number}")
        raise ValueError(message.format(last=test.size - 1, number=number))
    return test.images[number], fc.CLASS_NAMES[test.labels[number]]


@commands.command()
@checkpoint_argument
@data_dir_option
def report(checkpoint: str, data_dir: str | None) -> None:
    """Compare a model with figures of the study note and the book."""
    model, data = _load_both(checkpoint, data_dir)
    from fashion_cnn.checkpoint import load_history  # imports Keras

    history = load_history(checkpoint)
    if history is None:
        message = _("no history of {checkpoint} found beside it: its epochs and steps are unknown")
        _say(message.format(checkpoint=checkpoint))
    validation, test = fc.evaluate(model, data.validation), fc.evaluate(model, data.test)
    table = fc.reproduction_report(model, data, history, validation=validation, test=test)
    rows = [("", *table.columns), *table.to_records().tolist()]
    click.echo(aligned([row[:-1] for row in rows]) + "\n")
    click.echo(aligned([(row[0], row[-1]) for row in rows]) + "\n")
    note = _("the note: 혼자 공부하는 머신러닝 정리 15, a study note by MinJun Ju")
    click.echo(note + "\n" + _("the book: 혼자 공부하는 머신러닝+딥러닝 by Haesun Park, chapter 8"))


@commands.command()
@data_dir_option
@click.option("--fetch", is_flag=True, help="Download what is missing (30 MB in all).")
def data(data_dir: str | None, fetch: bool) -> None:
    """Say where the data set is and whether it is intact.

    \b
    Example:
      fashion-cnn data --fetch
    """
    click.echo(data_source(data_dir, download=fetch))


@commands.command()
@data_dir_option
def doctor(data_dir: str | None) -> None:
    """Check what the package needs; say how to fix what is wrong."""
    is_usable = True
    for state, name, says in findings(data_dir):
        click.echo(gather(f"{spread(state):6}{spread(name):14}{says}"))
        is_usable &= state != _("FIX")
    sys.exit(not is_usable)


@commands.command()
@checkpoint_option
@click.option(
    "--host",
    default="127.0.0.1",
    help="Which address to listen on. 0.0.0.0 admits everyone who can reach this machine.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=7860)
@click.option(
    "--allow-host",
    metavar="NAME",
    multiple=True,
    help="A proxy's name for the page, as in Colab, Codespaces or JupyterHub: the host in the "
    "browser's address bar. Can be given again for another name.",
)
def demo(checkpoint: str | None, host: str, port: int, allow_host: tuple[str, ...]) -> None:
    """Serve a web page that shows how your pictures are classified.

    \b
    Examples:
      fashion-cnn demo --port 8000
      fashion-cnn demo --allow-host glowing-waffle-7860.app.github.dev
    """
    from fashion_cnn.app.demo import serve  # a web server, which no other command needs

    _check_exists(checkpoint)
    click.echo(_("Starting the page …"), err=True)
    if host.lower() not in ("localhost", "127.0.0.1", "::1"):
        message = _("everyone who can reach this machine at {host} can open the page: no password")
        _say(message.format(host=host))
    serve(checkpoint, host, port, allowed=allow_host)


@commands.command()
@click.argument("directory", type=click.Path(file_okay=False))
@checkpoint_option
@click.option(
    "--names", metavar="NAMES", help="Ten class names with commas between them, for other data."
)
@click.option(
    "--examples",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of up to 30 pictures to show in place of the drawn ones, in order of their names.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Directory of the data that the network was trained on; without it, no accuracy is named.",
)
def page(
    directory: str,
    checkpoint: str | None,
    names: str | None,
    examples: str | None,
    data_dir: str | None,
) -> None:
    """Write the web page with your network to a folder that any web server can serve.

    With --data-dir, the page says how accurate the network is on the test images there. DIRECTORY
    is new or empty, or holds an older page, which is replaced.

    \b
    Example:
      fashion-cnn page my-page --checkpoint best-cnn-model.keras --data-dir fashion-mnist
    """
    _check_exists(checkpoint)
    free_directory(directory)
    pictures = [_prepared(p) for p in sorted(Path(examples).glob("[!.]*"))] if examples else None
    # It downloads nothing.
    data = fc.load_fashion_mnist(data_source(data_dir).directory) if data_dir else None
    model = fc.load_model(checkpoint) if names else _load(checkpoint)
    if checkpoint and not data:
        _say(_("the page will not say how accurate the network is; name its data with --data-dir"))
    fc.write_page(
        model,
        directory,
        name=Path(checkpoint or "").name,
        class_names=names.split(",") if names else None,
        examples=pictures,
        data=data,
    )
    message = _("written; to see it: python -m http.server --directory {directory}")
    click.echo(message.format(directory=directory))


def _prepared(path: Path) -> Any:
    """Prepare a picture; name it if that fails."""
    try:
        return fc.prepare_photo(path)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _check_exists(checkpoint: str | None) -> None:
    """Refuse a path that leads nowhere, before the seconds that TensorFlow takes."""
    if checkpoint and not on_disk(checkpoint).exists():
        message = _("expected a saved model at {path}, found no such file; create one with train")
        raise FileNotFoundError(message.format(path=checkpoint))


def _load(checkpoint: str | None) -> Any:
    """Load a model and say so if its answers mean nothing."""
    model = fc.load_model(checkpoint)
    from fashion_cnn.model import is_trained_on_stand_in  # imports Keras

    if is_trained_on_stand_in(model):
        message = _("{checkpoint} was trained on stand-in data: its answers mean nothing")
        _say(message.format(checkpoint=checkpoint))
    return model


def _load_both(checkpoint: str, data_dir: str | None) -> tuple[Any, fc.FashionMNIST]:
    """Load a model and the data set, and say which data it is."""
    _check_exists(checkpoint)
    data = fc.load_fashion_mnist(data_dir)
    _say(str(data.source))
    return _load(checkpoint), data
