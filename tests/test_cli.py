"""The command line as a person meets it: what it says, where it goes, and how it refuses.

Real processes are started by the tests of resuming; these run the same entry point in one process.
"""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from poise.cli import main
from poise.runs import Run, State, Status

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--batch", "8", "--steps", "4"]
VECTORS = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--steps", "4"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Done(NamedTuple):
    """What a command left: as of a process."""

    stdout: str
    stderr: str


@pytest.fixture
def poise(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command line in a directory of its own; in this process, which has torch loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POISE_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path, code: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["poise", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        done = Done(*capsys.readouterr())
        assert exit_.value.code == code, done.stdout + done.stderr
        return done

    return run


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def folder(path: Path, n: int = 20, side: int = 8) -> Path:
    path.mkdir()
    for index in range(n):
        pixels = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


# The way through.


def test_train_sample_show_and_runs(poise: Any, tmp_path: Path) -> None:
    trained = poise("train", "digits", *TINY)
    assert "digits: 1,797 images of 8 x 8 x 1, 10 classes" in trained.stdout
    assert "Finished at step 4" in trained.stdout
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    for name in ("config.yaml", "log.jsonl", "metrics.jsonl", "events.jsonl", "samples/00000004.png"):
        assert (run / name).exists(), name
    assert f"poise sample {run.name}" in trained.stdout
    picture = opened(run / "samples/00000004.png")
    assert picture.text == {"run": run.name, "step": "4", "seed": "0"}

    sampled = poise("sample", run.name, "-n", "6", "--grid", "g.png", "--out", "single", "--seed", "3")
    assert sampled.stdout.startswith(f"6 samples of {run.name}, best checkpoint (step 4), seed 3")
    assert len(list((tmp_path / "single").glob("*.png"))) == 6
    assert opened(tmp_path / "single/00000.png").size == (8, 8)
    assert opened(tmp_path / "g.png").text["step"] == "4"

    shown = poise("show")
    assert f"{run.name}: finished, 4 / 4 steps" in shown.stdout
    assert "loss:\n  class: relativistic" in shown.stdout
    facts = json.loads(poise("show", run.name, "--json").stdout)
    assert facts["state"] == "finished"
    assert facts["config"]["batch"] == 8

    listed = poise("runs")
    assert run.name in listed.stdout
    assert "finished" in listed.stdout
    assert [it["name"] for it in json.loads(poise("runs", "--json").stdout)] == [run.name]


def test_the_same_command_finds_its_run_again(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY)
    again = poise("train", "digits", *TINY)
    assert "is finished already, at step 4" in again.stdout
    longer = poise("train", "digits", *TINY[:-1], "6")
    assert "Going on from step 4" in longer.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 1
    poise("train", "digits", *TINY, "--seed", "1")
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_vectors(poise: Any, tmp_path: Path) -> None:
    poise("train", "ring8", *VECTORS, "--run", "ring")
    assert opened(tmp_path / "ring/samples/00000004.png").size[0] >= 400
    poise("sample", "ring", "-n", "100", "--out", "out", "--grid", "plot.png")
    points = np.load(tmp_path / "out/samples.npy")
    assert (points.shape, points.dtype) == ((100, 2), np.float32)
    assert (tmp_path / "plot.png").exists()


def test_an_array_of_ones_own(poise: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(5, 3, (300, 5)).astype(np.float32))
    poise("train", "mine.npy", *VECTORS, "--run", "r")
    poise("sample", "r", "-n", "10", "--out", "out")
    assert np.load(tmp_path / "out/samples.npy").shape == (10, 5)
    refused = poise("sample", "r", "--grid", "g.png", code=2)
    assert "vectors of 5 dimensions have no picture; write the numbers with --out DIR" in refused.stderr


def test_a_folder_with_classes_and_a_zip_of_it(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    folder(tmp_path / "data/cats")
    folder(tmp_path / "data/dogs")
    assert "40 images of 8 x 8 x 3, 2 classes" in poise("train", "data", *TINY, "--run", "a").stdout
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted((tmp_path / "data").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    assert "40 images of 8 x 8 x 3, 2 classes" in poise("train", "data.zip", *TINY, "--run", "b").stdout


def test_dry_run_prints_the_whole_config_and_trains_nothing(poise: Any, tmp_path: Path) -> None:
    import yaml

    done = poise("train", "digits", "--dry-run", "--recipe", "wgan-gp", "--set", "g_optimizer.lr=3e-4", "--kimg", "7")
    config = yaml.safe_load(done.stdout)
    assert config["recipe"] == "wgan-gp"
    assert (config["kimg"], config["steps"]) == (7, None)
    assert config["g_optimizer"]["lr"] == 3e-4
    assert config["balance"] == {"class": "alternating", "d_steps": 5}
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mine.yaml").write_text(done.stdout)
    assert poise("train", "digits", "--dry-run", "--recipe", "mine.yaml").stdout == done.stdout


def test_json_result_alone_on_standard_output(poise: Any) -> None:
    done = poise("train", "digits", *TINY, "--run", "r", "--json")
    assert json.loads(done.stdout)["state"] == "finished"
    assert "Finished at step 4" in done.stderr
    assert json.loads(poise("sample", "r", "-n", "2", "--out", "o", "--json").stdout)["count"] == 2
    assert {it["name"] for it in json.loads(poise("recipes", "--json").stdout)} >= {
        "relativistic",
        "vanilla",
        "wgan-gp",
    }


@pytest.mark.parametrize("recipe", ["relativistic", "vanilla", "wgan-gp"])
@pytest.mark.parametrize("data", ["digits", "grid25"])
def test_every_recipe_trains(poise: Any, recipe: str, data: str) -> None:
    poise("train", data, "--recipe", recipe, *(TINY if data == "digits" else VECTORS), "--run", "r")


def test_flip_and_size(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", "--size", "16", "--flip", *TINY, "--run", "r")
    facts = json.loads(poise("show", "r", "--json").stdout)
    assert (facts["config"]["size"], facts["config"]["flip"]) == (16, True)


# Changes of settings.


def test_a_changed_setting_is_refused_with_the_difference_or_taken(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    before = (tmp_path / "r/config.yaml").read_bytes()
    changed = ["train", "digits", *TINY[:-1], "8", "--run", "r", "--set", "g_optimizer.lr=0.001"]
    refused = poise(*changed, code=2)
    assert "g_optimizer.lr: 0.0005 -> 0.001" in refused.stderr
    assert "--allow-change" in refused.stderr
    assert (tmp_path / "r/config.yaml").read_bytes() == before
    taken = poise(*changed, "--allow-change")
    assert "Going on from step 4" in taken.stdout
    events = [json.loads(line)["kind"] for line in (tmp_path / "r/events.jsonl").read_text().splitlines()]
    assert events == ["finished", "settings_changed", "resumed", "finished"]


def test_changed_data_is_noticed(poise: Any, tmp_path: Path) -> None:
    folder(tmp_path / "data")
    poise("train", "data", *TINY, "--run", "r")
    (tmp_path / "data/3.png").unlink()
    assert "fingerprint" in poise("train", "data", *TINY[:-1], "8", "--run", "r", code=2).stderr


def test_a_run_that_failed_says_so_and_is_not_retried_unchanged(poise: Any, tmp_path: Path) -> None:
    hopeless = ["train", "digits", *TINY[:-1], "500", "--recipe", "wgan-gp", "--run", "r", "--set", "penalties=none"]
    explode = [*hopeless, "--set", "d_optimizer={class: SGD, lr: 1e9}", "--set", "g_optimizer={class: SGD, lr: 1e9}"]
    failed = poise(*explode, code=1)
    assert "is not finite" in failed.stderr
    assert "no weight was changed by it" in failed.stderr
    events = [json.loads(line) for line in (tmp_path / "r/events.jsonl").read_text().splitlines()]
    assert [(it["kind"], it["severity"]) for it in events] == [("non_finite", "severe")]
    assert json.loads(poise("runs", ".", "--json").stdout)[0]["state"] == "failed"
    assert "the same settings would fail in the same way" in poise(*explode, code=2).stderr


# Bad input: exit code 2, a message that names the thing and the way out, and no file touched.


def test_missing_path(poise: Any) -> None:
    assert "nowhere/images" in poise("train", "nowhere/images", code=2).stderr
    assert "did you mean 'digits'" in poise("train", "digit", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "wgan"], "there is no recipe 'wgan' (did you mean 'wgan-gp'?)"),
        (["--recipe", "no.yaml"], "no.yaml cannot be read"),
        (["--set", "bach=3"], "there is no setting 'bach' (did you mean 'batch'?)"),
        (["--set", "g_optimizer.class=Adan"], "torch.optim has no 'Adan' (did you mean 'Adam'?)"),
        (["--set", "loss=hing"], "there is no loss 'hing' (did you mean 'hinge'?)"),
        (["--batch", "2000"], "batch is 2000, but digits has 1,797 samples"),
        (["--size", "12"], "12"),
        (["--set", "size=12"], "12"),
        (["--size", "256", "--steps", "1"], "dcgan makes images of"),
        (["--device", "cuda:9"], "device 'cuda:9' cannot be used"),
        (["--device", "quantum"], "device 'quantum' cannot be used"),
        (["--set", "precision=16-mixed"], "precision '16-mixed' is refused"),
        (["--kimg", "-1"], "kimg is -1.0"),
        (["--steps", "many"], "Invalid value for '--steps'"),
    ],
)
def test_wrong_settings(poise: Any, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = poise("train", "digits", *arguments, code=2)
    assert words in done.stderr
    assert done.stderr.count("\n") <= 4
    assert not (tmp_path / "runs").exists()


def test_flip_of_vectors(poise: Any) -> None:
    assert "flip is for images" in poise("train", "ring8", "--flip", code=2).stderr


def make_bad_data(path: Path) -> dict[str, Path]:
    (path / "empty").mkdir()
    folder(path / "one", n=1)
    texts = path / "texts"
    folder(texts)
    (texts / "a.png").write_text("not an image")
    (texts / "b.png").write_text("neither")
    (path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    with zipfile.ZipFile(path / "slip.zip", "w") as archive:
        archive.write(path / "one/0.png", "../../x.png")
        archive.write(path / "one/0.png", "y.png")
    np.save(path / "nan.npy", np.array([[1.0, 2.0], [np.nan, 4.0], [1, 2]], np.float32))
    np.save(path / "rank.npy", np.zeros((3, 2, 2, 2, 2), np.float32))
    return {
        "empty": path / "empty",
        "one": path / "one",
        "texts": texts,
        "broken.zip": path / "broken.zip",
        "../../x": path / "slip.zip",
        "nan.npy": path / "nan.npy",
        "rank.npy": path / "rank.npy",
    }


def test_bad_data(poise: Any, tmp_path: Path) -> None:
    bad = make_bad_data(tmp_path)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for named, path in bad.items():
        done = poise("train", path, code=2)
        assert done.stderr.startswith("error: "), named
        assert named in done.stderr, done.stderr
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "x.png").exists()


def test_an_unreadable_file_is_named_and_left_out(poise: Any, tmp_path: Path) -> None:
    folder(tmp_path / "data", n=30)
    (tmp_path / "data/bad.png").write_text("not an image")
    done = poise("train", "data", *TINY, "--run", "r")
    assert "1 files could not be read" in done.stdout or "1 file could not be read" in done.stdout
    assert "bad.png" in done.stdout


def test_run_directories(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    assert "is not a run of poise" in poise("train", "digits", *TINY, "--run", "other", code=2).stderr
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("mine")
    assert "is a file" in poise("train", "digits", *TINY, "--run", "file", code=2).stderr
    assert "cannot be made" in poise("train", "digits", *TINY, "--run", "file/below", code=2).stderr
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/log.jsonl").write_text('{"step": 1}\n')
    assert "has no config.yaml" in poise("train", "digits", *TINY, "--run", "logs", code=2).stderr
    assert (tmp_path / "logs/log.jsonl").read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("verb", ["show", "sample", "stop"])
def test_no_such_run(poise: Any, verb: str) -> None:
    assert "there is no run under runs/" in poise(verb, code=2).stderr
    assert "there is no run 'brave-otter'" in poise(verb, "brave-otter", code=2).stderr


def test_a_killed_run_is_listed_with_what_would_be_redone(poise: Any, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs/amber-heron")
    run.prepare()
    run.write_config("format: 1\n")
    run.log.append({"step": 130, "nimg": 8320, "d_loss": 0.5, "g_loss": 0.7, "img_per_s": 512.0, "seconds": 2.0})
    run.checkpoints.save(100, 6400, b"")
    run.write_status(Status(State.RUNNING, 100, 6400, 200, None, 1.5, 1, "here"))
    listed = poise("runs").stdout
    assert "killed" in listed
    assert "30 steps would be redone" in listed
    assert "130 / 200 steps" in listed


def test_quick_verbs_load_no_torch(tmp_path: Path) -> None:
    """``--help``, ``runs`` and ``show`` stay quick because of what they do not import."""
    run = Run(tmp_path / "runs/amber-heron")
    run.prepare()
    run.write_config("format: 1\n")
    heavy = "{'torch', 'numpy', 'rich', 'PIL', 'sklearn', 'lightning_fabric'}"
    for arguments in (["--help"], ["runs"], ["show"], ["train", "--help"]):
        code = (
            f"import sys; sys.argv = ['poise', *{arguments}]\n"
            "from poise.cli import main\n"
            "try: main()\n"
            f"finally: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert done.stderr.strip() == "[]", arguments


@pytest.mark.parametrize("verb", ["train", "sample", "show", "runs", "recipes", "stop"])
def test_every_verb_has_help(poise: Any, verb: str) -> None:
    assert "Usage: " in poise(verb, "--help").stdout


def test_version(poise: Any) -> None:
    assert poise("--version").stdout.startswith("poise 0.")


def test_sample_alone_makes_a_picture_to_look_at(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    assert "r/generated.png" in poise("sample", "r").stdout
    assert opened(tmp_path / "r/generated.png").text["seed"] == "0"


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.png"])
def test_walk(poise: Any, tmp_path: Path, name: str) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    poise("sample", "r", "-n", "3", "--walk", name)
    with Image.open(tmp_path / name) as animation:
        assert animation.n_frames > 40
        assert animation.size == (128, 128)
    assert "a walk is a .gif, .webp, .png file" in poise("sample", "r", "--walk", "x.mp4", code=2).stderr
