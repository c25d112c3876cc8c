import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unicodedata
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import DIGITS, DRAWINGS, TINY_DIR, content_of
from PIL import Image

import fashion_cnn as fc
from fashion_cnn import __main__ as program
from fashion_cnn import language
from fashion_cnn.app import cli
from fashion_cnn.app.words import LOCALE_VARIABLES, in_language
from fashion_cnn.checkpoint import load_history
from fashion_cnn.data import DATA_DIR_VARIABLE

PROGRAM = [sys.executable, "-m", "fashion_cnn"]
NAMES = sorted(cli.commands.commands)


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command line in this process; return exit code, standard output and error."""

    def call(*args):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main sets
        monkeypatch.setenv("LANGUAGE", os.environ["LANGUAGE"])  # so does it
        monkeypatch.setattr(sys, "argv", ["fashion-cnn", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            program.main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


@pytest.fixture(autouse=True)
def _english_and_tiny_unless_asked(monkeypatch):
    for name in (language.LANGUAGE_VARIABLE, *LOCALE_VARIABLES):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(TINY_DIR))


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of the trained model in its own directory, with its history."""
    shutil.copy(trained[2].with_suffix(".history.json"), tmp_path / "model.history.json")
    return shutil.copy(trained[2], tmp_path / "model.keras")


def test_there_is_a_command_for_each_verb_and_a_version(run):
    assert NAMES == ["data", "demo", "doctor", "evaluate", "page", "predict", "report", "train"]
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: fashion-cnn")
    assert all(name in err for name in NAMES)
    assert run("--version") == (0, f"fashion-cnn {fc.__version__}\n", "")


def width(text):
    """Return how many columns of a terminal a text takes."""
    return sum(2 if "가" <= letter <= "힣" else 1 for letter in text)


def test_the_shell_completes_commands_and_values(run, monkeypatch):
    monkeypatch.setenv("_FASHION_CNN_COMPLETE", "bash_complete")
    for words, found in (("tr", ["train"]), ("train --recipe b", ["book", "best"])):
        monkeypatch.setenv("COMP_WORDS", f"fashion-cnn {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
        assert run()[:2] == (0, "".join(f"plain,{word}\n" for word in found))


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_is_complete_in_both_languages(name, run, monkeypatch):
    command = cli.commands.commands[name] if name else cli.commands
    code, english, err = run("--language", "en", *name.split(), "--help")
    assert (code, err) == (0, "")
    assert not re.search("[가-힣]", english)
    for example in re.findall(r"^ {4}fashion-cnn (.*)$", english, re.MULTILINE):
        called, *args = shlex.split(example)
        assert called == (name or called)
        in_language(cli.commands.commands[called]).make_context(called, args)  # refuses what cannot

    for columns in (50, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, korean, err = run("--language", "ko", *name.split(), "--help")
        assert (code, err) == (0, "")
        assert "사용법: fashion-cnn" in korean
        for text in (english, korean):
            assert all(o in text for p in command.params for o in p.opts if o[0] == "-")
        lines = [line for line in korean.splitlines() if "fashion-cnn" not in line]
        assert all(width(line) <= max(columns, 52) for line in lines)


def test_import_help_and_data_do_without_tensorflow_and_a_pipe_may_end_early(tmp_path):
    right = ["--help", "train --help", "data"]
    wrong = ["predict no.png", "predict --checkpoint no.keras 0", "report . --data-dir no"]
    wrong += ["evaluate no.keras", "demo --checkpoint no.keras", "train --data-dir no", "page ."]
    code = (
        "import sys, fashion_cnn as fc, fashion_cnn.photo\n"
        "from fashion_cnn.__main__ import main\n"
        "fc.predict, fc.plot_images\n"
        f"for args in {right + wrong}:\n"
        "    sys.argv = ['fashion-cnn', *args.split()]\n"
        "    try: main()\n"
        f"    except SystemExit as end: assert bool(end.code) == (args in {wrong}), args\n"
        "sys.exit(bool({'tensorflow', 'keras', 'babel'} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "stand-in data" in out.stdout
    shell = "$P --help | head -1 && $P --language ko data"
    if os.name == "posix":
        environment = os.environ | {"P": shlex.join(PROGRAM), "PYTHONIOENCODING": "cp1252"}
        done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("args", "code", "english", "korean"),
    [
        ("fly", 2, "No such command 'fly'", "'fly' 명령은 없습니다."),
        ("train --recipe slow", 2, "'book', 'fast', 'best'", "값이 올바르지 않습니다: 'slow' 대신"),
        ("train --seed -1", 2, "0<=x<=4294967295", "범위를 벗어난 값입니다: -1."),
        ("train --seed one", 2, "not a valid integer", "정수가 아닙니다: 'one'."),
        ("train --checkpoint model.h5", 2, "ends in .keras, got model.h5", "model.h5"),
        ("train --checkpoint .", 2, "is a directory", "파일이 아니라 디렉터리입니다: '.'."),
        ("data --data-dir a.png", 2, "is a file", "디렉터리가 아니라 파일입니다: 'a.png'"),
        ("predict", 2, "Missing argument 'IMAGE...'.", "인수가 빠졌습니다: '이미지...'"),
        ("predict --json=1 0", 2, "does not take a value", "옵션에는 값을 쓸 수 없습니다."),
        ("predict a.keras a.png", 2, "--checkpoint a.keras", "--checkpoint a.keras처럼"),
        ("predict none.png", 1, "none.png: No such file", "파일이나 디렉터리가 없습니다"),
        ("predict 99999", 1, "from 0 to 199, got 99999", "0부터 199까지인데 99999번"),
        ("demo --port", 2, "requires an argument", "'--port' 옵션에 값이 1개 필요합니다."),
        ("data x y", 2, "unexpected extra arguments (x y)", "필요 없는 인수가 있습니다(x y)"),
        ("data --data-dir none", 1, "found none. Check its spelling", "none 디렉터리가 없습니다."),
        ("evaluate none.keras", 1, "found no such file", "none.keras 모델 파일이 없습니다. train"),
        ("page .", 1, "or an older page, found /", "페이지가 필요하지만 /"),
        ("page new --examples .", 1, "a.keras, which cannot be read", "a.keras"),
        ("evaluate a.keras", 1, "expected a saved model", "a.keras"),
        ("--language fr data", 2, "'fr' is not one of 'en', 'ko'", "'fr' 대신 'en', 'ko' 가운데"),
    ],
)
def test_mistakes_are_said_in_a_sentence_and_an_exit_code(
    args, code, english, korean, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.keras").write_bytes(b"PK, but no more")
    (tmp_path / "a.png").write_text("no picture")
    starts = {"en": ("fashion-cnn: ", "Error: "), "ko": ("fashion-cnn: ", "오류: ")}
    for locale, says in (("en_US.UTF-8", english), ("ko_KR.UTF-8", korean)):
        monkeypatch.setenv("LANGUAGE", "")
        monkeypatch.setenv("LANG", locale)
        got, out, err = run(*args.split())
        assert (got, out) == (code, "")
        last = err.splitlines()[-1]
        assert last.startswith(starts[locale[:2]])
        assert says in last
        assert not re.search("Traceback|[.?][.]$", err)


def test_an_error_that_nobody_expected_is_one_line_with_its_kind(run, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyError("a\nb")

    monkeypatch.setattr(cli, "data_source", fail)
    assert run("data") == (1, "", "fashion-cnn: KeyError: 'a\\nb'\n")


def test_ctrl_c_is_one_line_and_130(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt(*(["interrupted in epoch 3"] if args else []))

    monkeypatch.setattr(cli, "data_source", lambda *_, **__: interrupt())
    assert run("data") == (130, "", "\nfashion-cnn: interrupted\n")
    monkeypatch.setattr(fc, "train", interrupt, raising=False)
    code, out, err = run("train")
    assert (code, out) == (130, "")
    assert err.endswith("fashion-cnn: interrupted in epoch 3\n")


@pytest.mark.parametrize(("recipe", "name"), [("book", ""), ("fast", "-fast"), ("best", "-best")])
def test_train_names_the_model_after_the_recipe_and_its_remedies(recipe, name, run, monkeypatch):
    def refuse(*args, checkpoint, resume, **settings):
        raise ValueError(f"{checkpoint} {resume}, or train with resume=False to start over")

    monkeypatch.setattr(fc, "train", refuse, raising=False)
    err = run("train", "--recipe", recipe)[2]
    expected = f"stand-in-model{name}.keras True, or train with --no-resume to start over\n"
    assert err.endswith(f"fashion-cnn: {expected}")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_train_resumes_after_ctrl_c_and_saves_what_it_says(tmp_path, tiny):
    def start(*args):
        command = [*PROGRAM, *args, "train", "--checkpoint", tmp_path / "model.keras"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, encoding="utf-8")

    interrupted = start()
    assert any(line.startswith("Epoch 3/") for line in interrupted.stderr)
    interrupted.send_signal(signal.SIGINT)
    out, err = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, out) == (130, "")
    says = r"fashion-cnn: interrupted in epoch (\d+); train again with the same arguments to go on"
    finished = int(re.fullmatch(says, err.splitlines()[-1])[1]) - 1
    assert "Traceback" not in err

    resumed = start("--language", "ko")
    out, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err
    assert "대체 데이터" in err
    assert f"{finished}번째까지 끝낸 훈련을 이어 갑니다" in err
    assert re.search(r"25/25 - .*val_accuracy: ", err)  # 800 images by 32
    result, saved = out.splitlines()
    assert saved == f"저장 위치: {tmp_path / 'model.keras'}"
    says = r"검증 정확도 (\d\.\d{4}), 손실 (\d\.\d{4}), 에포크 (\d+)번"
    accuracy, loss, epochs = map(float, re.fullmatch(says, result).groups())
    expected = fc.evaluate(fc.load_model(tmp_path / "model.keras"), tiny.validation)
    assert (loss, accuracy) == pytest.approx(expected, abs=1e-4)
    assert epochs == len(load_history(tmp_path / "model.keras").epoch)


def test_evaluate_prints_what_evaluate_computes(run, trained, checkpoint, tiny):
    named = checkpoint.rename(checkpoint.with_name(unicodedata.normalize("NFD", "모델.keras")))
    code, out, err = run("evaluate", unicodedata.normalize("NFC", str(named)))
    assert code == 0
    assert "stand-in data" in err
    header, *rows = map(str.split, out.splitlines())
    assert header == ["split", "images", "loss", "accuracy"]
    for (split, images, *figures), name in zip(rows, ("validation", "test"), strict=True):
        assert (split, images) == (name, "200")
        expected = fc.evaluate(trained[0], getattr(tiny, name))
        np.testing.assert_allclose([float(figure) for figure in figures], expected, atol=1e-4)


def test_predict_prints_what_predict_predicts(run, trained, checkpoint, tiny, tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.rint(255 * tiny.test.images[4, ..., 0]).astype("uint8")).save(photo)
    code, out, err = run("predict", "--checkpoint", checkpoint, "--json", 4, photo, 7)
    assert code == 0
    assert f"answers by {checkpoint}" in err
    answers = json.loads(out)
    assert [answer["image"] for answer in answers] == ["4", str(photo), "7"]
    images = tiny.test.images[4], fc.prepare_photo(photo), tiny.test.images[7]
    expected = [fc.predict(trained[0], image) for image in images]
    truths = [None if i is None else fc.CLASS_NAMES[tiny.test.labels[i]] for i in (4, None, 7)]
    for answer, prediction, truth in zip(answers, expected, truths, strict=True):
        assert (answer["class"], answer["true_class"]) == (prediction.class_name, truth)
        assert list(answer["probabilities"]) == list(fc.CLASS_NAMES)
        shown = list(answer["probabilities"].values())
        np.testing.assert_allclose(shown, prediction.probabilities, atol=1e-4)

    title, *lines = run("predict", "--checkpoint", checkpoint, 4)[1].splitlines()
    assert title == f"4: {expected[0].class_name} (it is: {truths[0]})"
    rows = [re.match(r"  (.*?) +([\d.]+)%$", line).groups() for line in lines]
    percents = {name: float(percent) for name, percent in rows}
    assert list(percents.values()) == sorted(percents.values(), reverse=True)
    shown = [percents[name] for name in fc.CLASS_NAMES]
    np.testing.assert_allclose(shown, 100 * expected[0].probabilities, atol=0.01)


def test_predict_answers_the_rest_when_a_picture_is_bad_and_says_what_is_doubtful(run, tmp_path):
    text, small, noise = (tmp_path / f"{name}.png" for name in ("text", "small", "noise"))
    text.write_text("no picture")
    Image.new("L", (5, 5)).save(small)
    pixels = np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(noise)
    jeans, coat = DRAWINGS / "jeans.png", DRAWINGS / "coat.png"
    code, out, err = run("predict", text, jeans, "missing.png", small, noise, coat, "--json")
    assert code == 1
    answers = json.loads(out)
    assert [answer["image"] for answer in answers] == [str(jeans), str(noise), str(coat)]
    assert answers[0]["class"] == "Trouser"
    assert [answer["unlikeness"] > 1 for answer in answers] == [False, True, False]
    lines = [line for line in err.splitlines() if line.startswith("fashion-cnn: ")]
    assert "answers by the network that comes with the package" in lines[0]
    for line, says in zip(
        lines[1:],
        [
            f"got {text}, which cannot be read",
            "missing.png: No such file or directory",
            "small.png: expected",
            f"{noise}: This does not look like the clothes I learned from: try one",
            f"{coat}: I am not sure: it could also be ",
        ],
        strict=True,
    ):
        assert says in line
    korean = run("--language", "ko", "predict", jeans)[1]
    assert "바지" in korean
    assert not re.search("[A-Z]", korean.partition("jeans")[2])
    in_json = [run("--language", name, "predict", jeans, "--json")[1] for name in ("en", "ko")]
    assert in_json[0] == in_json[1]


def test_report_is_the_packages_report(run, trained, tiny, checkpoint):
    model, history, _ = trained
    splits = {name: fc.evaluate(model, getattr(tiny, name)) for name in ("validation", "test")}
    code, out, err = run("report", checkpoint)
    assert code == 0
    assert err.count("model.keras was trained on stand-in data: its answers mean nothing") == 1
    expected = fc.reproduction_report(model, tiny, history, **splits)
    blocks = [block.splitlines() for block in out.split("\n\n")]
    figures, verdicts, sources = ([re.split("  +", line) for line in block] for block in blocks)
    assert [source[0][:9] for source in sources] == ["the note:", "the book:"]
    assert figures == [["", *expected.columns[:3]], *map(list, expected.iloc[:, :3].itertuples())]
    assert verdicts == [["", "verdict"], *map(list, expected.iloc[:, 3:].itertuples())]
    checkpoint.with_name("model.history.json").unlink()
    code, out, err = run("report", checkpoint)
    assert code == 0
    assert "no history of" in err
    assert "parameters" in out
    assert "epoch" not in out


def columns(lines):
    """Return where the second and later columns of a table's lines begin, each layout once."""
    starts = [[cell.start() for cell in re.finditer(r"(?<=  )\S", line)] for line in lines]
    return {
        tuple(width(line[:i]) for i in cells) for line, cells in zip(lines, starts, strict=True)
    }


def test_tables_are_korean_and_aligned(run, checkpoint):
    out, err = run("--language", "ko", "evaluate", checkpoint)[1:]
    assert out.split()[:5] == ["세트", "이미지", "개수", "손실", "정확도"]
    assert len(columns(out.splitlines())) == 1
    assert f"{checkpoint}: 대체 데이터로 훈련한 모델이므로 예측에" in err
    title, *rows = run("--language", "ko", "predict", "--checkpoint", checkpoint, 4)[1].splitlines()
    assert re.fullmatch(r"4: [가-힣 ]+ \(정답: [가-힣 ]+\)", title)
    assert len({width(row) for row in rows}) == 1
    out = run("--language", "ko", "report", checkpoint)[1]
    assert [len(columns(block.splitlines())) for block in out.split("\n\n")] == [1, 1, 1]
    assert max(map(width, out.splitlines())) <= 80
    assert "모델 파라미터" in out


def test_data_fetches_only_when_asked_to(run, keras_cache, serve, mirrors, tiny_is_real):
    url, requests = serve(TINY_DIR)
    mirrors(url)
    code, out, err = run("data")
    assert (code, out, requests) == (1, "", [])
    assert "Run fashion-cnn data --fetch with internet access" in err
    assert not keras_cache.exists()
    code, out, _ = run("data", "--fetch")
    assert code == 0
    assert out.startswith("Fashion-MNIST (SHA-256 verified) in ")
    assert len(requests) == 4
    assert run("data") == (0, out, "")


def test_no_data_and_no_internet_is_one_line(run, keras_cache, mirrors, checkpoint):
    mirrors("http://127.0.0.1:9/")
    for command in ("train", f"evaluate {checkpoint}", f"predict --checkpoint {checkpoint} 0"):
        code, out, err = run(*command.split())
        assert (code, out) == (1, "")
        last = err.splitlines()[-1]
        assert last.startswith("fashion-cnn: Fashion-MNIST is not complete on this machine")
        assert last.endswith("or name their directory with --data-dir")
        assert "127.0.0.1" not in last
    last = run("--language", "ko", "train")[2].splitlines()[-1]
    assert last.startswith("fashion-cnn: 이 컴퓨터에 패션 MNIST 파일이 다 갖추어져 있지 않고")
    assert last.endswith("--data-dir로 파일이 있는 디렉터리를 지정하세요")


CHECKED = ["Python", "TensorFlow", "Keras", "devices", "Graphviz", "Korean font", "data"]


def found_by_doctor(out):
    """Return the state and text of each of the doctor's lines, by name."""
    lines = re.findall(r"^(ok|FIX|note) +(.+?)  +(.+)$", out, re.MULTILINE)
    return {name: (state, says) for state, name, says in lines}


def test_doctor_says_what_is_there(run):
    code, out, _ = run("doctor")
    found = found_by_doctor(out)
    assert (code, list(found)) == (0, CHECKED)
    assert all(state == "ok" for state, _ in found.values()), out
    assert sys.version.split()[0] in found["Python"][1]
    assert found["Keras"][1] == keras.__version__
    assert re.search("CPU:0.* fast compute in b?float(16|32)$", found["devices"][1])
    assert "stand-in data" in found["data"][1]


def test_doctor_names_a_fix_only_where_it_follows_from_the_error(run, monkeypatch, keras_cache):
    def fail(*args):
        raise ValueError("'x' is not a valid value\nfor backend.")

    monkeypatch.setitem(sys.modules, "pygraphviz", None)  # as if it were not installed
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr(tf.config, "list_physical_devices", fail)
    monkeypatch.setattr("fashion_cnn.app.doctor.korean_font", lambda: None)
    code, out, _ = run("doctor")
    found = found_by_doctor(out)
    assert (code, list(found)) == (1, CHECKED)
    wrong = {name: says for name, (state, says) in found.items() if state == "FIX"}
    assert list(wrong) == ["Keras", "devices", "Graphviz", "data"]
    assert wrong["Keras"].endswith("got torch. Fix: KERAS_BACKEND=tensorflow")
    assert wrong["devices"] == "this check failed: 'x' is not a valid value for backend"
    assert wrong["Graphviz"].endswith(". Fix: pip install pygraphviz")
    assert wrong["data"].endswith(". Fix: fashion-cnn data --fetch")
    assert found["Korean font"][0] == "note"
    assert 'Fix: pip install "fashion-cnn[ko]"' in found["Korean font"][1]

    korean = run("--language", "ko", "doctor", "--data-dir", "nowhere")[1].splitlines()
    lines = [re.match(r"(정상|오류|참고)  .+?  +(?=\S)", line) for line in korean]
    assert len({width(line[0]) for line in lines}) == 1
    assert korean[2].endswith("torch입니다. 해결 방법: KERAS_BACKEND=tensorflow")
    assert "경로를 확인하세요" in korean[-1]
    assert "--fetch" not in korean[-1]  # which cannot help


def test_doctor_names_versions_outside_the_bounds_of_the_package(run, monkeypatch, tmp_path):
    needed = ["", "numpy>=1,<99", "keras>=99", "not-there>=1", "click<1; extra == 'x'"]
    bounds = "\nRequires-Dist: ".join(needed)
    (tmp_path / "fashion_cnn-9.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for python, fix in (("<99", ". Fix: pip install fashion-cnn"), ("<3", "")):
        lines = f"Name: fashion-cnn\nRequires-Python: {python}{bounds}"
        (tmp_path / "fashion_cnn-9.dist-info" / "METADATA").write_text(lines)
        state, says = found_by_doctor(run("doctor")[1])["versions"]
        assert (state, "keras>=99" in says, "python<3" in says) == ("FIX", True, not fix)
        assert says.endswith(f" {keras.__version__}{fix}")
        assert not re.search("numpy|click|there", says)


def test_page_writes_what_write_page_writes(run, trained, checkpoint, tiny, tmp_path):
    pictures, pages = tmp_path / "pictures", [tmp_path / name for name in ("a", "b", "c")]
    pictures.mkdir()
    (pictures / ".DS_Store").touch()
    drawings = [shutil.copy(DRAWINGS / f"{name}.png", pictures) for name in ("coat", "jeans")]
    own = ["--names", ",".join(DIGITS), "--examples", pictures, "--data-dir", TINY_DIR]
    code, out, _ = run("page", pages[0], "--checkpoint", checkpoint, *own)
    assert (code, out) == (0, f"written; to see it: python -m http.server --directory {pages[0]}\n")
    own = {"class_names": DIGITS, "examples": [fc.prepare_photo(path) for path in drawings]}
    fc.write_page(trained[0], pages[1], name="model.keras", data=tiny, **own)
    assert content_of(pages[0]) == content_of(pages[1])
    code, _, err = run("page", pages[2], "--checkpoint", checkpoint)
    assert (code, "the page will not say how accurate" in err) == (0, True)
    assert b"accuracy" not in content_of(pages[2])["model/model.json"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::"])
def test_demo_says_what_another_host_means(run, monkeypatch, host):
    asked = []
    monkeypatch.setattr("fashion_cnn.app.demo.serve", lambda *args, **_: asked.append(args))
    code, _, err = run("demo", "--host", host, "--port", 8000)
    assert (code, asked) == (0, [(None, host, 8000)])
    says = f"everyone who can reach this machine at {host} can open the page"
    assert (says in err and "no password" in err) == (host in ("0.0.0.0", "::"))


@pytest.mark.parametrize(
    ("before", "variables", "is_korean"),
    [
        ("", {}, False),
        ("--language ko", {}, True),
        ("--language=ko", {"LC_ALL": "en_US.UTF-8"}, True),
        ("--language en", {"FASHION_CNN_LANGUAGE": "ko", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"FASHION_CNN_LANGUAGE": "ko", "LANG": "en_US.UTF-8"}, True),
        ("", {"FASHION_CNN_LANGUAGE": "en", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"LANG": "ko"}, True),
        ("", {"LANG": "kok_IN.UTF-8"}, False),  # Konkani
        ("", {"LC_MESSAGES": "ko_KR@euckr", "LANG": "en_US.UTF-8"}, True),
        ("", {"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, False),
        ("", {"LANGUAGE": "ko:en", "LC_ALL": "en_US.UTF-8"}, True),
        ("", {"LANGUAGE": "en:ko", "LC_ALL": "ko_KR.UTF-8"}, False),
    ],
)
def test_language_is_that_of_the_option_the_variable_or_the_locale(
    before, variables, is_korean, run, monkeypatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, out, err = run(*before.split(), "data", "--help")
    assert (code, err) == (0, "")
    assert out.startswith("사용법: fashion-cnn data" if is_korean else "Usage: fashion-cnn data")
    assert bool(re.search("[가-힣]", out)) == is_korean


def test_an_unknown_language_is_a_mistake(run, monkeypatch):
    monkeypatch.setenv(language.LANGUAGE_VARIABLE, "fr")
    code, out, err = run("data")
    assert (code, out) == (2, "")
    assert "'fr' is not one of 'en', 'ko'" in err
