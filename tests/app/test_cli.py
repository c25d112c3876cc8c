import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT, TINY_DIR
from PIL import Image

import fashion_cnn as fc
from fashion_cnn import language
from fashion_cnn.app.cli import commands, main
from fashion_cnn.app.words import LOCALE_VARIABLES
from fashion_cnn.checkpoint import load_history
from fashion_cnn.data import DATA_DIR_VARIABLE

PROGRAM = [sys.executable, "-m", "fashion_cnn"]
NAMES = sorted(commands.commands)


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command line in this process; return exit code, standard output and error."""

    def call(*args):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main sets
        monkeypatch.setattr(sys, "argv", ["fashion-cnn", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


@pytest.fixture(autouse=True)
def _english_unless_asked(monkeypatch):
    for name in (language.LANGUAGE_VARIABLE, *LOCALE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(language, "_chosen", None)  # which main sets


@pytest.fixture(autouse=True)
def _tiny_is_the_data(monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(TINY_DIR))


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of the trained model in its own directory, with its history."""
    shutil.copy(trained[2].with_suffix(".history.json"), tmp_path / "model.history.json")
    return shutil.copy(trained[2], tmp_path / "model.keras")


def test_there_is_a_command_for_each_verb():
    assert NAMES == ["data", "demo", "doctor", "evaluate", "predict", "report", "train"]


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_an_example_that_can_be_called(name, run):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    examples = re.findall(r"^ +fashion-cnn (.*)$", out.partition("Example")[2], re.MULTILINE)
    assert examples
    for example in examples:
        called, *args = shlex.split(example)
        assert called == name
        commands.commands[name].make_context(name, args)  # refuses what cannot be parsed


def test_help_and_data_do_without_tensorflow_and_english_without_a_catalogue():
    code = (
        "import sys\n"
        "from fashion_cnn.app.cli import commands\n"
        "for args in (['--help'], ['train', '--help'], ['data']):\n"
        "    try: commands(args)\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(bool({'tensorflow', 'keras', 'babel'} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "stand-in data" in out.stdout


def test_version_is_the_packages(run):
    assert run("--version")[1].split()[-1] == fc.__version__


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, None),  # the help
        (["fly"], 2, "No such command 'fly'"),
        (["train", "--recipe", "slow"], 2, "'book', 'fast', 'best', 'robust'"),
        (["train", "--seed", "-1"], 2, "0<=x<=4294967295"),
        (["train", "--checkpoint", "model.h5"], 1, "/model.h5'"),
        (["predict"], 2, "Missing argument 'IMAGE...'. Usage: fashion-cnn predict ["),
        (["predict", "model.keras", "shoe.jpg"], 2, "--checkpoint model.keras"),
        (["demo", "--port", "0"], 2, "1<=x<=65535"),
        (["evaluate", "none.keras"], 1, "none.keras, found no such file"),
        (["report", "none.keras"], 1, "none.keras, found no such file"),
        (["demo", "--checkpoint", "damaged.keras"], 1, "expected a saved model"),
        (["data", "--data-dir", "nowhere"], 1, "nowhere, found none. Check its spelling"),
        (["train", "--data-dir", "damaged"], 1, "train-labels-idx1-ubyte.gz is damaged"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(args, code, says, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged.keras").write_bytes(b"PK, but no more")
    shutil.copytree(TINY_DIR, tmp_path / "damaged")
    (tmp_path / "damaged" / "train-labels-idx1-ubyte.gz").write_bytes(b"changed")
    got, out, err = run(*args)
    assert got == code
    assert out == ""
    if says is None:
        assert err.startswith("Usage: fashion-cnn")
        assert len(err.splitlines()) > len(NAMES)
        return
    *progress, last = err.splitlines()
    assert last.startswith("fashion-cnn: ")
    assert says in last
    assert not any("Traceback" in line or line.startswith("fashion-cnn") for line in progress)


@pytest.mark.slow
def test_train_saves_what_it_says(tmp_path):
    checkpoint = tmp_path / "models" / "fast.keras"
    args = ["train", "--recipe", "fast", "--checkpoint", str(checkpoint), "--seed", "3"]
    done = subprocess.run([*PROGRAM, *args], capture_output=True, text=True, check=True)
    accuracy, loss, epochs = re.match(
        r"validation accuracy (\d\.\d{4}), loss (\d\.\d{4}), epochs: (\d+)\n", done.stdout
    ).groups()
    assert done.stdout.splitlines()[1:] == [f"saved in {checkpoint}"]
    assert re.search(r"8/8 - .*val_accuracy: ", done.stderr)  # 800 images, 1.25 times, by 128
    assert "cudart" not in done.stderr  # TensorFlow's chatter
    model = keras.models.load_model(checkpoint)
    keras_loss, keras_accuracy = model.evaluate(
        *fc.load_fashion_mnist(TINY_DIR).validation, verbose=0
    )
    assert float(accuracy) == pytest.approx(keras_accuracy, abs=1e-4)
    assert float(loss) == pytest.approx(keras_loss, abs=1e-4)
    assert int(epochs) == len(load_history(checkpoint).epoch) == 1


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes(tmp_path):
    def start(name, **kwargs):
        return subprocess.Popen(
            [*PROGRAM, "train", "--checkpoint", str(tmp_path / name), "--seed", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A background shell makes its children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    undisturbed = start("undisturbed.keras")
    _, err = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, err

    interrupted = start("interrupted.keras")
    for line in interrupted.stderr:
        if line.startswith("Epoch 3/"):
            interrupted.send_signal(signal.SIGINT)
            break
    out, err = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert out == ""
    last = err.splitlines()[-1]
    epoch = re.match(
        r"fashion-cnn: interrupted in epoch (\d+); train again with the same arguments to go on$",
        last,
    )
    assert epoch, err
    assert "Traceback" not in err

    resumed = start("interrupted.keras")
    out, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err
    assert f"Resuming after epoch {int(epoch[1]) - 1} of" in err
    assert "saved in" in out
    for ours, theirs in zip(
        fc.load_model(tmp_path / "interrupted.keras").get_weights(),
        fc.load_model(tmp_path / "undisturbed.keras").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_evaluate_prints_what_keras_computes(run, checkpoint, tiny):
    code, out, err = run("evaluate", checkpoint)
    assert code == 0
    assert "stand-in data" in err
    header, *rows = [line.split() for line in out.splitlines()]
    assert header == ["split", "images", "loss", "accuracy"]
    assert [row[0] for row in rows] == ["validation", "test"]
    model = keras.models.load_model(checkpoint)
    for name, images, loss, accuracy in rows:
        split = getattr(tiny, name)
        assert int(images.replace(",", "")) == len(split.labels)
        expected = model.evaluate(*split, verbose=0)
        np.testing.assert_allclose([float(loss), float(accuracy)], expected, atol=1e-4)


def test_predict_prints_what_keras_predicts(run, checkpoint, tiny, tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.rint(255 * tiny.test.images[4, ..., 0]).astype("uint8")).save(photo)
    code, out, _ = run("predict", "--checkpoint", checkpoint, "--json", 4, photo, 7)
    assert code == 0
    answers = json.loads(out)
    assert [answer["image"] for answer in answers] == ["4", str(photo), "7"]
    images = np.stack([tiny.test.images[4], fc.prepare_photo(photo), tiny.test.images[7]])
    expected = keras.models.load_model(checkpoint).predict(images, verbose=0)
    for answer, probabilities in zip(answers, expected, strict=True):
        assert list(answer["probabilities"]) == list(fc.CLASS_NAMES)
        np.testing.assert_allclose(
            list(answer["probabilities"].values()), probabilities, rtol=1e-4, atol=1e-5
        )
        assert answer["class"] == fc.CLASS_NAMES[probabilities.argmax()]
    truths = [answer["true_class"] for answer in answers]
    assert truths == [
        fc.CLASS_NAMES[tiny.test.labels[4]],
        None,
        fc.CLASS_NAMES[tiny.test.labels[7]],
    ]

    code, out, _ = run("predict", "--checkpoint", checkpoint, 4)
    title, *lines = out.splitlines()
    assert title == f"4: {answers[0]['class']} (it is: {truths[0]})"
    rows = [re.match(r"  (.*?) +([\d.]+)%$", line).groups() for line in lines]
    assert {name: float(percent) for name, percent in rows} == pytest.approx(
        {name: 100 * p for name, p in zip(fc.CLASS_NAMES, expected[0], strict=True)}, abs=0.01
    )
    percents = [float(percent) for _, percent in rows]
    assert percents == sorted(percents, reverse=True)


def test_predict_answers_the_rest_when_a_picture_is_bad(run, checkpoint, tmp_path):
    text, missing = tmp_path / "text.png", tmp_path / "missing.png"
    text.write_text("no picture")
    code, out, err = run(
        "predict", "--checkpoint", checkpoint, text, "0", missing, "99999", "1", "--json"
    )
    assert code == 1
    assert [answer["image"] for answer in json.loads(out)] == ["0", "1"]
    _, _, *lines = [line for line in err.splitlines() if line.startswith("fashion-cnn: ")]
    assert f"got {text}, which cannot be read" in lines[0]
    assert lines[1] == f"fashion-cnn: {missing}: No such file or directory"
    assert "expected a number from 0 to" in lines[2]
    assert run("predict", "--checkpoint", checkpoint, text)[:2] == (1, "")


def test_predict_warns_of_what_is_unlike_the_data(run, checkpoint, tmp_path):
    noise = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(noise)
    code, out, err = run("predict", "--checkpoint", checkpoint, noise, "--json")
    assert code == 0
    assert json.loads(out)[0]["unlikeness"] > 1
    warning = f"fashion-cnn: {noise}: This does not look like the clothes I learned from: try one"
    assert err.splitlines()[-1].startswith(warning)
    assert err.count("look like") == 1


def test_predict_works_without_a_model_and_says_which_network_answers(run, checkpoint):
    drawing = ROOT / "notebooks" / "drawings" / "jeans.png"
    code, out, err = run("predict", drawing, "--json")
    assert code == 0
    assert json.loads(out)[0]["class"] == "Trouser"
    assert "answers by the network that comes with the package" in err
    assert f"answers by {checkpoint}" in run("predict", "--checkpoint", checkpoint, drawing)[2]


def test_predict_says_when_it_is_not_sure_and_which_picture_is_refused(run, tmp_path):
    small = tmp_path / "small.png"
    Image.new("L", (5, 5)).save(small)
    code, _, err = run("predict", ROOT / "notebooks" / "drawings" / "coat.png", small)
    assert code == 1
    assert "coat.png: I am not sure: it could also be " in err
    assert err.splitlines()[-1].startswith(f"fashion-cnn: {small}: expected a longer side")


def test_class_names_are_korean_in_tables_and_english_in_json(run):
    drawing = ROOT / "notebooks" / "drawings" / "jeans.png"
    shown = run("--language", "ko", "predict", drawing)[1]
    assert "바지" in shown
    assert "Trouser" not in shown
    korean = run("--language", "ko", "predict", drawing, "--json")[1]
    assert korean == run("--language", "en", "predict", drawing, "--json")[1]
    assert json.loads(korean)[0]["class"] == "Trouser"


def test_report_is_the_packages_report(run, trained, tiny, checkpoint):
    model, history, _ = trained
    splits = {
        "validation": fc.evaluate(model, tiny.validation),
        "test": fc.evaluate(model, tiny.test),
    }
    code, out, err = run("report", checkpoint)
    assert code == 0
    assert err.count("\n") == 2  # what the model was trained on, and what it is evaluated on
    assert out == fc.reproduction_report(model, tiny, history, **splits).to_string() + "\n"
    assert "steps per epoch" in out


@pytest.mark.parametrize("what", ["none", "of another run", "damaged"])
def test_report_without_a_history_leaves_its_rows_out(what, run, checkpoint):
    record = checkpoint.with_name("model.history.json")
    if what == "none":
        record.unlink()
    elif what == "of another run":
        keras.models.load_model(checkpoint).save(checkpoint)
    else:
        record.write_text(record.read_text()[:-20])
    code, out, err = run("report", checkpoint)
    assert code == 0
    assert "no history of" in err
    assert "parameters" in out
    assert "epoch" not in out


def test_a_model_trained_on_stand_in_data_is_named_as_such(run, checkpoint):
    for command in (
        ["predict", "--checkpoint", checkpoint, 0],
        ["evaluate", checkpoint],
        ["report", checkpoint],
    ):
        assert "model.keras was trained on stand-in data: its answers mean" in run(*command)[2]


def test_data_fetches_only_when_asked_to(run, keras_cache, serve, mirrors, tiny_is_real):
    url, requests = serve(TINY_DIR)
    mirrors(url)
    code, out, err = run("data")
    assert (code, out, requests) == (1, "", [])
    assert not keras_cache.exists()
    code, out, _ = run("data", "--fetch")
    assert code == 0
    assert out.startswith("Fashion-MNIST (SHA-256 verified) in ")
    assert len(requests) == 4
    assert run("data") == (0, out, "")
    (keras_cache / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    code, out, err = run("data")
    assert (code, out) == (1, "")
    assert "t10k-labels-idx1-ubyte.gz is damaged" in err
    assert err.endswith("Add --fetch to download it\n")


def test_no_data_and_no_internet_is_one_line(run, keras_cache, mirrors, checkpoint):
    mirrors("http://127.0.0.1:9/")
    for command in (
        ["train"],
        ["evaluate", checkpoint],
        ["predict", "--checkpoint", checkpoint, 0],
    ):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        last = err.splitlines()[-1]
        assert last.startswith("fashion-cnn: Fashion-MNIST is not complete on this machine")
        assert last.endswith("or name their directory with --data-dir")
        assert "127.0.0.1" not in last


def findings(out):
    """Return the state and text of each of the doctor's lines, by name."""
    lines = [re.match(r"(ok|FIX|note) +(.+?)  +(.+)$", line).groups() for line in out.splitlines()]
    return {name: (state, says) for state, name, says in lines}


CHECKED = ["Python", "TensorFlow", "Keras", "devices", "bf16", "Graphviz", "Korean font", "data"]


def test_doctor_says_what_is_there(run):
    code, out, _ = run("doctor")
    found = findings(out)
    assert list(found) == CHECKED
    assert all(state == "ok" for state, _ in found.values()), out
    assert code == 0
    assert sys.version.split()[0] in found["Python"][1]
    assert found["Keras"][1] == keras.__version__
    assert "CPU:0" in found["devices"][1]
    assert "stand-in data" in found["data"][1]


def test_doctor_says_how_to_fix_it(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)  # as if it were not installed
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    code, out, _ = run("doctor", "--data-dir", tmp_path / "nowhere")
    assert code == 1
    found = findings(out)
    assert list(found) == CHECKED
    wrong = {name: says for name, (state, says) in found.items() if state == "FIX"}
    assert list(wrong) == ["Keras", "Graphviz", "data"]
    assert "unset KERAS_BACKEND" in wrong["Keras"]
    assert "pip install --force-reinstall pygraphviz" in wrong["Graphviz"]
    assert wrong["data"].endswith("Fix: fashion-cnn data --fetch")


def test_doctor_takes_no_korean_font_for_a_failure(run, monkeypatch):
    monkeypatch.setattr("fashion_cnn.app.doctor.korean_font", lambda: None)
    code, out, _ = run("doctor")
    state, says = findings(out)["Korean font"]
    assert (code, state) == (0, "note")
    assert "pip install koreanize-matplotlib" in says


ENGLISH_HELP = """\
Usage: fashion-cnn data [OPTIONS]

  Say where the data set is and whether it is intact.

  Example:
    fashion-cnn data --fetch

Options:
  --data-dir DIRECTORY  Directory with the four files of Fashion-MNIST; by
                        default $FASHION_CNN_DATA_DIR, else Keras's cache.
  --fetch               Download what is missing (30 MB in all).
  -h, --help            Show this message and exit.
"""
KOREAN_HELP = """\
사용법: fashion-cnn data [옵션]

  데이터의 위치와 상태를 확인합니다.

  예:
    fashion-cnn data --fetch

옵션:
  --data-dir 디렉터리  패션 MNIST 파일 네 개가 있는 디렉터리. 지정하지 않으면
                       $FASHION_CNN_DATA_DIR, 그것도 없으면 케라스 캐시를
                       씁니다.
  --fetch              없는 파일을 내려받습니다(모두 30MB).
  -h, --help           이 도움말을 보여 줍니다.
"""


@pytest.mark.parametrize(
    ("before", "variables", "is_korean"),
    [
        ("", {}, False),
        ("--language ko", {}, True),
        ("--language=ko", {"LC_ALL": "en_US.UTF-8"}, True),
        ("--language en", {"FASHION_CNN_LANGUAGE": "ko", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"FASHION_CNN_LANGUAGE": "ko", "LANG": "en_US.UTF-8"}, True),
        ("", {"FASHION_CNN_LANGUAGE": "en", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"FASHION_CNN_LANGUAGE": "", "LANG": "ko_KR.UTF-8"}, True),
        ("", {"LANG": "ko"}, True),
        ("", {"LANG": "kok_IN.UTF-8"}, False),  # Konkani
        ("", {"LC_MESSAGES": "ko_KR@euckr", "LANG": "en_US.UTF-8"}, True),
        ("", {"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"LANGUAGE": "fr:ko:en", "LC_ALL": "fr_FR.UTF-8"}, True),
        ("", {"LANGUAGE": "en:ko", "LC_ALL": "ko_KR.UTF-8"}, False),
    ],
)
def test_language_is_that_of_the_option_the_variable_or_the_locale(
    before, variables, is_korean, run, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = KOREAN_HELP if is_korean else ENGLISH_HELP
    assert run(*before.split(), "data", "--help") == (0, expected, "")


@pytest.mark.parametrize("args", ["--help --language ko", "--language ko -h", "--language ko"])
def test_language_holds_for_whatever_stands_before_it(args, run):
    text = "".join(run(*args.split())[1:])
    assert "사용법: fashion-cnn" in text
    assert not english_in(text)


# What stays in a Korean text: names, and what is typed.
NAMES_AND_CODE = re.compile(
    r"^ +fashion-cnn .*$|'.*?'|--?[a-z][\w-]*|\$\w+|[\w.-]+\.keras|\[[a-z|]+\]"
    r"|fashion-cnn|Ctrl-C|MNIST|JSON|MB|\b(book|fast|best|robust|resume|en|ko|x)\b",
    re.MULTILINE,
)


def english_in(text):
    """Return the English words of a text but names and code; broken lines are joined first."""
    text = re.sub(r"-\n +", "-", text)
    return set(re.findall("[A-Za-z]+", NAMES_AND_CODE.sub("", text))) - set(NAMES)


@pytest.mark.parametrize("name", [None, *NAMES])
def test_help_has_no_english_left(name, run):
    code, out, err = run("--language", "ko", *filter(None, [name]), "--help")
    assert (code, err) == (0, "")
    assert "사용법: fashion-cnn" in out
    assert not english_in(out)
    params = (commands.commands[name] if name else commands).params
    assert all(option in out for param in params for option in param.opts if option[0] == "-")
    english = run("--language", "en", *filter(None, [name]), "--help")[1]
    assert english_in(english)
    assert not re.search("[가-힣]", english)


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_korean_help_fits_the_terminal(columns, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run("--language", "ko", "predict", "--help")[1].splitlines()
    assert all(width(line) <= max(columns, 52) for line in lines if "fashion-cnn" not in line)
    texts = [re.match(r"  -.*?\S  +(?=\S)", line) for line in lines]
    assert len({width(text[0]) for text in texts if text}) == 1


def width(text):
    """Return how many columns of a terminal a text takes."""
    return sum(2 if "가" <= letter <= "힣" else 1 for letter in text)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ("fly", 2, "'fly' 명령은 없습니다. 사용법: fashion-cnn [옵션] 명령 [인수]..."),
        ("evaluat x", 2, "'evaluat' 명령은 없습니다. 비슷한 이름: 'evaluate'. 사용법"),
        ("--language ko", 2, "명령이 빠졌습니다. 사용법"),
        ("--language fr data", 2, "'fr' 대신 'en', 'ko' 가운데 하나를 쓰세요. 사용법"),
        ("--bogus", 2, "'--bogus' 옵션은 없습니다. 사용법"),
        ("train --recipe slow", 2, "'--recipe' 값이 올바르지 않습니다: 'slow' 대신 'book', 'fast'"),
        ("train --seed -1", 2, "0<=x<=4294967295 범위를 벗어난 값입니다: -1. 사용법"),
        ("train --seed one", 2, "정수가 아닙니다: 'one'. 사용법: fashion-cnn train [옵션]"),
        ("train --sed 1", 2, "'--sed' 옵션은 없습니다. 비슷한 이름: '--seed'. 사용법"),
        ("train --checkpoint .", 2, "파일이 아니라 디렉터리입니다: '.'. 사용법"),
        ("data --data-dir text.png", 2, "디렉터리가 아니라 파일입니다: 'text.png'. 사용법"),
        (
            "predict",
            2,
            "다음 인수가 빠졌습니다: '이미지...'. 사용법: fashion-cnn predict [옵션] 이미지",
        ),
        ("predict --json=1 0", 2, "'--json' 옵션에는 값을 쓸 수 없습니다."),
        (
            "predict a.keras",
            2,
            "그림이 들어갈 자리에 모델이 있습니다. --checkpoint a.keras처럼",
        ),
        ("demo --port", 2, "'--port' 옵션에 값이 1개 필요합니다."),
        ("data x y", 2, "필요 없는 인수가 있습니다(x y). 사용법"),
        ("data --data-dir nowhere", 1, "nowhere 디렉터리가 없습니다. 경로를 확인하세요"),
        ("evaluate none.keras", 1, "none.keras 모델 파일이 없습니다. train으로 먼저 훈련해"),
        ("predict none.png", 1, "none.png: 파일이나 디렉터리가 없습니다"),
        ("predict 99999", 1, "이미지 번호는 0부터 199까지인데 99999번을 요청했습니다"),
    ],
)
def test_mistakes_are_told_in_korean(args, code, says, run, tmp_path, monkeypatch):
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    got, out, err = run(*args.split())
    assert (got, out) == (code, "")
    last = err.splitlines()[-1]
    assert last.startswith("fashion-cnn: ")
    assert says in last


def test_a_variable_that_names_no_language_is_a_mistake(run, monkeypatch):
    monkeypatch.setenv(language.LANGUAGE_VARIABLE, "fr")
    code, out, err = run("data")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'fr' is not one of 'en', 'ko'" in err


def test_tables_are_korean_and_aligned(run, checkpoint):
    code, out, err = run("--language", "ko", "evaluate", checkpoint)
    assert code == 0
    header, *rows = out.splitlines()
    assert header.split() == ["세트", "이미지", "개수", "손실", "정확도"]
    assert [row.split()[0] for row in rows] == ["검증", "테스트"]
    assert len(set(map(width, [header, *rows]))) == 1
    assert f"{checkpoint}: 대체 데이터로 훈련한 모델이므로 예측에" in err

    code, out, err = run("--language", "ko", "predict", "--checkpoint", checkpoint, 4)
    title, *rows = out.splitlines()
    assert re.fullmatch(r"4: [가-힣 ]+ \(정답: [가-힣 ]+\)", title)
    assert len(set(map(width, rows))) == 1
    assert f"{checkpoint} 모델로 예측합니다" in err

    code, out, err = run("--language", "ko", "report", checkpoint)
    assert len(set(map(width, out.splitlines()))) == 1
    assert "모델 파라미터" in out
    checkpoint.with_name("model.history.json").unlink()
    assert (
        f"{checkpoint}의 훈련 기록 파일이 없어서"
        in run("--language", "ko", "report", checkpoint)[2]
    )


def test_doctor_speaks_korean(run, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr("fashion_cnn.app.doctor.korean_font", lambda: None)
    code, out, _ = run("--language", "ko", "doctor", "--data-dir", tmp_path / "nowhere")
    assert code == 1
    lines = [
        re.match(r"(정상|오류|참고)  (.+?)  +(.+)$", line).groups() for line in out.splitlines()
    ]
    found = {name: (state, says) for state, name, says in lines}
    assert list(found) == [
        *("Python", "TensorFlow", "Keras", "장치", "bf16", "Graphviz", "한글 글꼴", "데이터"),
    ]
    assert found["Keras"] == (
        "오류",
        "백엔드가 tensorflow여야 하는데 torch입니다. "
        "해결 방법: KERAS_BACKEND 환경 변수를 지우거나 tensorflow로 설정",
    )
    assert found["한글 글꼴"][0] == "참고"
    assert found["데이터"][1].endswith("해결 방법: fashion-cnn data --fetch")
    assert (
        len(
            {
                width(line[: line.index(says)])
                for line, (*_, says) in zip(out.splitlines(), lines, strict=True)
            }
        )
        == 1
    )


@pytest.mark.slow
def test_train_speaks_korean(tmp_path):
    args = ["--language", "ko", "train", "--recipe", "fast", "--checkpoint", "best.keras"]
    done = subprocess.run(
        [*PROGRAM, *args], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    result, saved = done.stdout.splitlines()
    assert re.fullmatch(r"검증 정확도 \d\.\d{4}, 손실 \d\.\d{4}, 에포크 1번", result)
    assert saved == "저장 위치: best.keras"
    assert "대체 데이터, 위치: " in done.stderr


def test_no_data_and_no_internet_is_one_line_of_korean(run, keras_cache, mirrors):
    mirrors("http://127.0.0.1:9/")
    code, out, err = run("--language", "ko", "train")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("fashion-cnn: 이 컴퓨터에 패션 MNIST 파일이 다 갖추어져 있지 않고")
    assert last.endswith("--data-dir로 파일이 있는 디렉터리를 지정하세요")
    assert "--fetch를 붙이면 내려받습니다" in run("--language", "ko", "data")[2]


def test_demo_without_its_extra_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "fashion_cnn.app.demo", raising=False)
    code, _, err = run("demo")
    assert code == 1
    assert "needs uvicorn" in err
    assert ".[demo]" in err


@pytest.mark.parametrize(
    ("host", "is_open"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True)],
)
def test_demo_says_what_another_host_means(run, monkeypatch, host, is_open):
    asked = []
    monkeypatch.setattr("fashion_cnn.app.demo.serve", lambda *args, **_: asked.append(args))
    code, _, err = run("demo", "--host", host, "--port", 8000)
    assert (code, asked) == (0, [(None, host, 8000)])
    assert (f"everyone who can reach this machine at {host} can open the page" in err) == is_open
    assert ("there is no password" in err) == is_open


SCRIPT = Path(sys.executable).with_name("fashion-cnn")


def shell(command, cwd, **variables):
    """Run a line of shell, in which $P is the program."""
    environment = os.environ | {"P": str(SCRIPT), "FASHION_CNN_DATA_DIR": str(TINY_DIR)}
    environment |= {name: value for name, value in variables.items() if value is not None}
    for name in [name for name, value in variables.items() if value is None]:
        environment.pop(name, None)
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        ("$P --help | head -1", {}),
        ("$P data | head -c 1", {}),
        ("$P data >&-", {}),
        ("$P data 2>&-", {}),
        ("$P data >/dev/full", {}),
        ("$P evaluate none.keras 2>&-", {}),
        ("$P data", {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}),
        ("$P evaluate 한국어.keras", {"PYTHONIOENCODING": "ascii"}),
        ("$P evaluate '~nosuchuser/x.keras'", {}),
        ("$P data --data-dir '~nosuchuser/x'", {}),
        ("$P --help", {"COLUMNS": "20"}),
        ("$P train --checkpoint ''", {}),
        ("$P evaluate $'a\\xff.keras'", {"PYTHONIOENCODING": "utf-8:strict"}),
        ("$P data", {"HOME": None}),
        ("$P data", {"HOME": "/nowhere", "FASHION_CNN_DATA_DIR": None, "KERAS_HOME": None}),
        ("$P data", {"FASHION_CNN_DATA_DIR": None, "KERAS_HOME": "~nosuchuser/x"}),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_odd_surroundings_give_no_traceback(command, variables, tmp_path):
    done = shell(command, tmp_path, **variables)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in (0, 1)


@pytest.mark.slow
def test_training_with_closed_outputs_is_a_training(tmp_path):
    done = shell("$P train --recipe fast --checkpoint best.keras >&- 2>&-", tmp_path)
    assert done.returncode == 0
    fc.load_model(tmp_path / "best.keras")


def test_control_characters_of_names_do_not_reach_the_terminal(run, checkpoint, tmp_path):
    path = tmp_path / "a\x1b]0;owned\x07b\x9bm.png"
    shutil.copy(ROOT / "notebooks" / "drawings" / "dress.png", path)
    code, out, _ = run("predict", "--checkpoint", checkpoint, path)
    assert code == 0
    assert "owned" in out
    path.write_bytes(b"no picture")
    _, _, err = run("predict", "--checkpoint", checkpoint, path)
    assert "owned" in err
    for text in (out, err):
        assert all(line.isprintable() for line in text.splitlines())


def test_json_has_no_nan(run, tmp_path):
    model = fc.build_cnn(filters=(2, 3))
    model.set_weights([weights * np.nan for weights in model.get_weights()])
    model.save(tmp_path / "nan.keras")
    code, out, err = run("predict", "--checkpoint", tmp_path / "nan.keras", "--json", "0")
    assert (code, out) == (1, "")
    assert "expected finite weights" in err


def catches_ctrl_c(process):
    """Tell whether a process has a handler for SIGINT, as Python has once it has started."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1]
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_ctrl_c_at_any_moment_gives_no_traceback(tmp_path):
    """From the moment when the program has taken over from Python, until Python has ended."""
    for wait in np.arange(0, 0.3, 0.01):
        with subprocess.Popen(
            [SCRIPT, "data", "--data-dir", TINY_DIR],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:
            while not catches_ctrl_c(process):
                pass
            while catches_ctrl_c(process):
                pass
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert b"Traceback" not in err
        assert process.returncode in (0, 130, -signal.SIGINT)
