"""Measure all but training: import, loading, prediction, evaluation, throughput.

The epochs are those of the trainings, which must have been measured on this machine.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from measure import Results, Tables, machine, note, results_of, table_of, timed_python
from trainings import epoch_seconds, ratio

import fashion_cnn as fc
from fashion_cnn.training import chosen_precision

MATRIX = 4096
# Multiplications and additions for one image: twice (window × channels × outputs) in a layer.
CONV1, CONV2 = 2 * 9 * 32 * 28 * 28, 2 * 9 * 32 * 64 * 14 * 14
DENSE = 2 * (3136 * 100 + 100 * 10)


def epoch_flop(recipe: fc.Recipe) -> float:
    """Return the multiplications and additions of an epoch of 48,000 images.

    A layer computes its outputs and the gradients of its weights and of its inputs. The first layer
    needs none of its inputs; if it is frozen, none of its weights and outputs, either.
    """
    frozen = recipe.frozen
    return 48_000 * recipe.passes * ((2 - frozen) * CONV1 + (3 - frozen) * CONV2 + 3 * DENSE)


def in_fresh_process(code: str, repeats: int = 5) -> float:
    """Return the median seconds that the code takes, each time in a fresh process."""
    program = (
        f"import time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    )
    return statistics.median(float(timed_python("-c", program)[0]) for _ in range(repeats))


def seconds_of(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def matrix_product_rate(dtype: tf.DType) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    matrix = tf.ones((MATRIX, MATRIX), dtype)
    multiply = tf.function(lambda a: tf.reduce_sum(tf.matmul(a, a)[0]))
    multiply(matrix).numpy()
    return 2 * MATRIX**3 / min(seconds_of(lambda: multiply(matrix).numpy()) for _ in range(5))


def measure() -> Results:
    """Measure everything."""
    data = fc.load_fashion_mnist()
    model = fc.build_cnn()
    image = data.test.images[0]

    fc.predict(model, image)
    predictions = [seconds_of(lambda: fc.predict(model, image)) for _ in range(500)]
    pairs = []
    for _ in range(6):  # the first one warms up
        ours = seconds_of(lambda: fc.evaluate(model, data.test))
        keras = seconds_of(lambda: model.evaluate(*data.test, verbose=0))
        pairs.append((ours, keras))

    import_code = "import fashion_cnn, sys; assert 'tensorflow' not in sys.modules"
    load_code = "import fashion_cnn as fc; fc.load_fashion_mnist()"
    found = machine() | {
        "import": in_fresh_process(import_code),
        "load": in_fresh_process(load_code),
        "predict": statistics.median(predictions),
        "evaluate": statistics.median(ours for ours, _ in pairs[1:]),
        "evaluate_ratio": statistics.median(ours / keras for ours, keras in pairs[1:]),
        "rates": {dtype.name: matrix_product_rate(dtype) for dtype in (tf.float32, tf.bfloat16)},
    }
    return results_of("elsewhere") | {chosen_precision(fc.FAST): found}


def tables(results: Results) -> Tables:
    """Return the tables of all kinds of processors, by document and name."""
    trainings = results_of("trainings")
    text = "\n".join(render_table(part, trainings[kind]) for kind, part in results.items())
    return {("docs/benchmarks.md", "elsewhere"): text}


def render_table(results: Results, trainings: Results) -> str:
    """Return the Markdown table of one kind of processor."""
    runs = trainings["runs"]
    if any(results[name] != trainings[name] for name in ("hardware", "versions")):
        raise SystemExit("trainings and elsewhere are from different machines or versions")
    memory = (ratio(runs[side], runs["plain Keras"], "peak_memory") for side in ("BOOK", "FAST"))
    rows = [
        ("`import fashion_cnn`, without TensorFlow", f"{results['import']:.2f} s"),
        ("import and `load_fashion_mnist`: verify, read, scale, split", f"{results['load']:.2f} s"),
        ("`predict`, one image, warm, median of 500", f"{1000 * results['predict']:.1f} ms"),
        (
            "`evaluate`, 10,000 images",
            f"{results['evaluate']:.2f} s, {results['evaluate_ratio']:.2f} of `model.evaluate`",
        ),
        (
            "peak memory of a BOOK run, of a FAST run",
            "{:.2f}, {:.2f} of plain Keras".format(*memory),
        ),
    ]
    for side in ("BOOK", "FAST", "BEST"):
        recipe, dtype = getattr(fc, side), runs[side][0]["precision"]
        floor = epoch_flop(recipe) / results["rates"][dtype]
        seconds = statistics.median(map(epoch_seconds, runs[side]))
        what = f"an epoch of {side}, batch {recipe.batch_size}, {dtype}"
        rows.append((what, f"{seconds:.1f} s, {seconds / floor:.1f} × its floor of {floor:.1f} s"))
    rates = ", ".join(
        f"{rate / 1e12:.2f} TFLOP/s in {name}" for name, rate in results["rates"].items()
    )
    book, fast = (f"{epoch_flop(recipe) / 1e12:.2f}" for recipe in (fc.BOOK, fc.FAST))
    words = (
        f"Medians. The floor is an epoch's arithmetic ({book} TFLOP in BOOK and BEST, {fast} in "
        f"FAST) at the rate of a large matrix product ({rates}); the epochs include validation and "
        "saving, those of FAST tracing, too."
    )
    return table_of("| what | measured |", rows) + note(words, "make bench", results)
