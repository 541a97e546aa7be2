"""The command line as a person meets it: what it says, where it goes, and how it refuses.

Real processes are started by the tests of resuming; these run the same entry point in one process.
"""

import gc
import json
import math
import os
import subprocess
import sys
import zipfile
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import poise.cli.inspect as poise_inspect
from poise.balance import BALANCES
from poise.cli.console import preparing
from poise.cli.progress import Progress, duration
from poise.config import OPTIMIZERS
from poise.constraints import CONSTRAINTS
from poise.losses import LOSSES
from poise.models import INITIALIZERS, OPS, PRESETS
from poise.optimizers import WRAPPERS
from poise.penalties import PENALTIES
from poise.runs import JsonLines, Run, State, Status
from poise.schedules import SCHEDULES

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--batch", "8", "--steps", "4"]
VECTORS = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--steps", "4"]


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


def test_auto_prints_each_choice_with_its_reason(poise: Any) -> None:
    done = poise("train", "digits", "--recipe", "auto", "--batch", "8", "--steps", "2", "--set", "evaluate.samples=50")
    assert "recipe auto" in done.stdout
    assert "  z_dim = 64: 1,797 images of 8 x 8: " in done.stdout
    assert "  augment = none: 8 x 8 has little that could be changed" in done.stdout
    assert "  batch = " not in done.stdout  # that was given
    dry = poise("train", "digits", "--recipe", "auto", "--dry-run")
    assert "  batch = 64: 1,797 images: 64 at a time" in dry.stderr
    assert "batch: 64" in dry.stdout


def test_a_search_without_its_package_says_what_to_install(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = poise("tune", "digits", "--trials", "1", code=2)
    assert "a search needs Optuna, which is not installed: pip install 'poise[tune]'" in done.stderr


def test_train_sample_show_and_runs(poise: Any, tmp_path: Path) -> None:
    trained = poise("train", "digits", *TINY)
    assert "digits: 1,797 images of 8 x 8 x 1, 10 classes (--conditional lets the networks know them)" in trained.stdout
    assert "Finished at step 4" in trained.stdout
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    for name in ("config.yaml", "log.jsonl", "metrics.jsonl", "events.jsonl", "samples/00000004.png"):
        assert (run / name).exists(), name
    assert f"poise sample {run.name}" in trained.stdout
    picture = opened(run / "samples/00000004.png")
    assert picture.text == {"run": run.name, "step": "4", "seed": "0"}

    sampled = poise("sample", run.name, "-n", "6", "--grid", "g.png", "--out", "single", "--seed", "3")
    made = "a picture of 6 samples in g.png; 6 samples in single (6 files)"
    assert sampled.stdout == f"{run.name}, best checkpoint (step 4), seed 3: {made}\n"
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_named_with_the_way_out(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    append = JsonLines.append
    monkeypatch.setattr(JsonLines, "append", lambda rows, row: append(JsonLines(Path("/dev/full")), row))
    said = poise("train", "ring8", *VECTORS, "--run", "r", code=1).stderr
    assert "No space left on device: /dev/full; make room and give the same command again: a training" in said


def test_samples_never_replace_pictures_of_ones_own(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", "--recipe", "vanilla", *VECTORS, "--run", "r")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/00001.png").write_bytes(b"mine")
    refused = poise("sample", "r", "-n", "3", "--out", "photos", code=2)
    assert "photos/00001.png is there, and no sample that poise wrote: give another --out" in refused.stderr
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "photos").iterdir()] == [("00001.png", b"mine")]
    for count in ("3", "2"):
        poise("sample", "r", "-n", count, "--out", "own")
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["00000.png", "00001.png"]


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
    assert "(g_optimizer.lr: {class: cosine, from: 0.002, to: 2e-05} -> 0.001);" in refused.stderr
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
    said = poise("train", "data", *TINY[:-1], "8", "--run", "r", code=2).stderr
    assert "run r was made with other settings (the content of data has changed)" in said


def test_a_run_that_failed_says_so_and_is_not_retried_unchanged(poise: Any, tmp_path: Path) -> None:
    hopeless = ["train", "digits", *TINY[:-1], "500", "--recipe", "wgan-gp", "--run", "r", "--set", "penalties=none"]
    explode = [*hopeless, "--set", "d_optimizer={class: SGD, lr: 1e9}", "--set", "g_optimizer={class: SGD, lr: 1e9}"]
    failed = poise(*explode, "--watch", "warn", code=1)
    assert "is not finite" in failed.stderr
    assert "no weight was changed by it" in failed.stderr
    events = [json.loads(line) for line in (tmp_path / "r/events.jsonl").read_text().splitlines()]
    assert [(it["kind"], it["severity"]) for it in events] == [("non_finite", "severe")]
    assert json.loads(poise("runs", ".", "--json").stdout)[0]["state"] == "failed"
    assert "the same settings would fail in the same way" in poise(*explode, code=2).stderr


def test_a_run_that_the_watch_gives_up_says_so_and_is_not_retried_unchanged(poise: Any, tmp_path: Path) -> None:
    hopeless = ["train", "digits", *TINY[:-1], "500", "--recipe", "wgan-gp", "--run", "r", "--set", "penalties=none"]
    explode = [*hopeless, "--set", "d_optimizer={class: SGD, lr: 1e9}", "--set", "watch.rollbacks=0"]
    failed = poise(*explode, code=1)
    assert failed.stderr.startswith("error: run r failed at step ")
    assert "is not finite" in failed.stderr
    assert "nothing is left to be tried" in failed.stderr
    assert "poise doctor r says more" in failed.stdout
    assert json.loads(poise("runs", ".", "--json").stdout)[0]["state"] == "failed"
    assert "the same settings would fail in the same way" in poise(*explode, code=2).stderr


# Bad input: exit code 2, a message that names the thing and the way out, and no file touched.


def test_missing_path(poise: Any) -> None:
    assert "nowhere/images" in poise("train", "nowhere/images", code=2).stderr
    assert "did you mean 'digits'" in poise("train", "digit", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "wgan-pg"], "there is no recipe 'wgan-pg' (did you mean 'wgan-gp'?)"),
        (["--recipe", "no.yaml"], "no.yaml cannot be read"),
        (["--set", "bach=3"], "there is no setting 'bach' (did you mean 'batch'?)"),
        (["--set", "g_optimizer.class=Adan"], "there is no class of torch.optim 'Adan' (did you mean 'Adam'?)"),
        (["--set", "loss=hing"], "there is no loss 'hing' (did you mean 'hinge'?)"),
        (
            ["--batch", "2000"],
            "batch is 2000, but digits has 1,741 samples to train on, and 56 that are held out; take",
        ),
        (["--size", "12"], "12"),
        (["--set", "size=12"], "12"),
        (["--recipe", "vanilla", "--size", "256", "--steps", "1"], "dcgan makes images of"),
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
    assert "1 file could not be read and left out:" in done.stdout
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
    make_run(tmp_path / "runs/amber-heron")
    listed = poise("runs").stdout
    assert "killed" in listed
    assert "30 steps would be redone" in listed
    assert "130 / 200 steps" in listed


def test_quick_verbs_load_little(tmp_path: Path) -> None:
    """``--help``, ``runs`` and ``show`` stay quick because of what they do not import."""
    run = Run(tmp_path / "runs/amber-heron")
    run.prepare()
    run.write_config("format: 1\n")
    heavy = {"torch", "numpy", "rich", "PIL", "sklearn", "lightning_fabric"}
    quick = heavy | {"pydantic", "filelock", "yaml"}
    for arguments, unwanted in (
        (["--help"], quick),
        (["runs"], quick),
        (["runs", "runs", "--json"], quick),
        (["show"], quick),
        (["show", "amber-heron"], quick),
        (["train", "--help"], heavy),
    ):
        code = (
            f"import sys; sys.argv = ['poise', *{arguments}]\n"
            "from poise.cli import main\n"
            "try: main()\n"
            f"finally: print(sorted({unwanted} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert done.stderr.strip() == "[]", arguments


def test_training_digits_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """The time to the first step is mostly imports, and the garbage collector's walks over what they leave."""
    code = (
        f"import gc, sys; sys.argv = ['poise', 'train', 'digits', *{TINY}]\n"
        "from poise.cli import main\n"
        "try: main()\n"
        "finally:\n"
        "    unwanted = {'sklearn', 'scipy', 'pandas', 'matplotlib', 'torchvision', 'datasets'}\n"
        "    print(sorted(unwanted & set(sys.modules)), gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] True True"


def test_loading_leaves_the_garbage_collector_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = gc.get_freeze_count()
    with preparing():  # torch is there already
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("what a failed import left is garbage"))
    seen = []

    def load() -> None:
        with preparing():
            seen.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        load()
    assert [*seen, gc.isenabled()] == [False, True]


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
    poise("train", "digits", *TINY, "--run", "r", "--set", "g_optimizer.lr=0.05", "--set", "precision=32-true")
    said = poise("sample", "r", "-n", "3", "--walk", name).stdout
    assert said == f"r, best checkpoint (step 4), seed 0: a walk past 3 samples in {name}\n"
    with Image.open(tmp_path / name) as animation:
        assert animation.n_frames > 10  # frames that are too alike are stored as one
        assert animation.size == (128, 128)
    assert "a walk is a .gif, .webp, .png file" in poise("sample", "r", "--walk", "x.mp4", code=2).stderr


def test_the_picture_of_all_samples_is_a_png(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    assert "g.jpg: the picture of all samples is a PNG" in poise("sample", "r", "--grid", "g.jpg", code=2).stderr
    assert not (tmp_path / "g.jpg").exists()


def test_a_path_that_cannot_be_written_is_named_as_it_was_given(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for option, given in (
        ("--grid", "file/g.png"),
        ("--grid", "folder.png"),
        ("--out", "file"),
        ("--walk", "file/w.gif"),
    ):
        refused = poise("sample", "r", "-n", "2", option, given, code=2)
        assert refused.stderr.startswith(f"error: {given} cannot be written: "), refused.stderr
        assert ".tmp" not in refused.stderr


def test_fewer_samples_leave_none_of_an_earlier_call(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    poise("sample", "r", "-n", "6", "--out", "o")
    Image.new("L", (4, 4)).save(tmp_path / "o/00005.png")  # not of poise
    Image.new("L", (4, 4)).save(tmp_path / "o/mine.png")
    (tmp_path / "o/00004.png").rename(tmp_path / "o/00009.png")  # renamed by a person
    poise("sample", "r", "-n", "2", "--out", "o")
    left = sorted(path.name for path in (tmp_path / "o").iterdir())
    assert left == ["00000.png", "00001.png", "00005.png", "00009.png", "mine.png"]


def test_damaged_checkpoints(poise: Any, tmp_path: Path) -> None:
    poise("train", "digits", *TINY, "--run", "r")
    text = (tmp_path / "r/config.yaml").read_text()
    (tmp_path / "r/config.yaml").write_text(text.replace("width: 4", "width: 8"))
    refused = poise("sample", "r", code=2)
    assert "00000004.safetensors does not fit r/config.yaml (Error(s) in loading state_dict for " in refused.stderr
    assert ": size mismatch for " in refused.stderr
    assert refused.stderr.count("\n") == 1
    (tmp_path / "r/config.yaml").write_text(text)
    poise("train", "digits", *TINY[:-1], "6", "--run", "r")
    best = Run(tmp_path / "r").checkpoints.best()
    assert best is not None
    best.path.write_bytes(b"")
    sampled = poise("sample", "r", "-n", "2")
    assert sampled.stderr.count("is damaged") == 1
    assert "r, last checkpoint" in sampled.stdout


def test_points_are_drawn_when_their_data_is_gone(poise: Any, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(5, 3, (300, 2)).astype(np.float32)
    np.save(tmp_path / "mine.npy", points)
    poise("train", "mine.npy", *VECTORS, "--run", "r")
    assert poise("sample", "r", "--grid", "a.png").stderr == ""
    np.save(tmp_path / "mine.npy", points + 1)
    changed = poise("sample", "r", "--grid", "b.png").stderr
    assert changed == "warning: drawn without the real points: mine.npy has changed since the training\n"
    (tmp_path / "mine.npy").unlink()
    moved = poise("sample", "r", "--grid", "c.png").stderr
    assert moved.startswith("warning: drawn without the real points: mine.npy: the path does not exist")
    assert moved.count("\n") == 1
    assert opened(tmp_path / "c.png").size == opened(tmp_path / "a.png").size


# What is printed, where, and on what.


def test_names_are_printed_as_they_are(poise: Any, tmp_path: Path) -> None:
    folder(tmp_path / "photos [raw]")
    done = poise("train", "photos [raw]", *TINY, "--run", "y[/z] :smile:")
    assert done.stdout.startswith("preparing photos [raw]\nphotos [raw]: 20 images of 8 x 8 x 3\n")
    assert "Run z] :smile: in y[/z] :smile:, recipe" in done.stdout
    assert "poise sample 'y[/z] :smile:' -n 64" in done.stdout


def test_preparing_is_said_once_and_not_into_a_result(poise: Any, tmp_path: Path) -> None:
    import yaml

    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(5000, 3)).astype(np.float32))
    done = poise("train", "v.npy", "--dry-run")
    assert done.stderr == "preparing v.npy\n"
    assert yaml.safe_load(done.stdout)["data"] == "v.npy"
    assert poise("train", "v.npy", "--dry-run").stderr == ""
    folder(tmp_path / "images", n=12)
    assert poise("train", "images", *TINY, "--run", "r", "--json").stderr.count("preparing images\n") == 1


def test_a_terminal_of_few_signs_ends_no_training(poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = TextIOWrapper(BytesIO(), "ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    poise("train", "digits", *TINY, "--run", "r", "--set", "log.every_steps=1")
    ascii_only.flush()
    assert b"Finished at step 4" in ascii_only.buffer.getvalue()
    assert b"G ?????" in ascii_only.buffer.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_a_run_whose_name_is_no_text(poise: Any, tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xff")
    poise("train", "ring8", *VECTORS, "--run", name)
    assert "r?: finished" in poise("show", name).stdout
    assert "r?   finished" in poise("runs", ".").stdout
    assert "r?, best checkpoint" in poise("sample", name, "-n", "3").stdout


# The ways out.


def test_wrong_use_is_answered_as_usual(poise: Any) -> None:
    refused = poise("show", "--jsn", code=2).stderr
    assert refused.startswith("Usage: poise show [OPTIONS] [run]\nTry 'poise show -h' for help.\n")
    assert "No such option: --jsn" in refused
    assert "unexpected extra argument" in poise("runs", "a", "b", code=2).stderr
    assert "No such command 'shw'" in poise("shw", code=2).stderr
    assert "Usage: poise" in poise(code=2).stderr


def test_interruption(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(poise_inspect, "find", interrupt)
    assert poise("show", code=130).stderr == "error: interrupted\n"


def test_a_defect_is_owned_without_a_traceback(poise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: object) -> None:
        raise LookupError("no such\nthing")

    monkeypatch.setattr(poise_inspect, "find", fail)
    monkeypatch.delenv("POISE_DEBUG", raising=False)
    said = poise("show", code=1).stderr
    assert said.startswith("unexpected error: LookupError: no such; this is a defect of poise")
    assert said.count("\n") == 1
    monkeypatch.setenv("POISE_DEBUG", "1")
    assert "Traceback" in poise("show", code=1).stderr


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "poise", "runs"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


# Runs that are damaged are shown as far as they can be.


def make_run(path: Path, state: State = State.RUNNING, reason: str = "") -> Run:
    run = Run(path)
    run.prepare()
    run.write_config("format: 1\nbatch: 8\n")
    run.log.append({"step": 130, "nimg": 8320, "d_loss": 0.5, "g_loss": 0.7, "img_per_s": 512.0, "seconds": 2.0})
    run.checkpoints.save(100, 6400, b"")
    run.write_status(Status(state, 100, 6400, 200, None, 1.5, 1, "here", reason))
    return run


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED, State.FAILED])
def test_steps_to_redo_are_told_of_whatever_broke_off(poise: Any, tmp_path: Path, state: State) -> None:
    make_run(tmp_path / "runs/a", state, "OSError: disk full\nand more")
    assert "30 steps would be redone; OSError: disk full\n" in poise("runs").stdout
    assert "30 steps would be redone by going on" in poise("show").stdout
    assert json.loads(poise("show", "--json").stdout)["steps_to_redo"] == 30


def test_a_finished_run_has_nothing_to_redo(poise: Any, tmp_path: Path) -> None:
    make_run(tmp_path / "runs/a", State.FINISHED)
    assert "redone" not in poise("runs").stdout + poise("show").stdout


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (
            {"step": 9, "swd": 0.25, "features": "raw", "fake_samples": 2000},
            "swd            0.25 at step 9 (raw features, 2,000",
        ),
        ({"step": 9, "kid": 0.5, "modes": 8, "seed": 3}, "modes          8 at step 9\n"),
        ({"step": 9, "swd": None, "kid": 0.5}, "kid            0.5 at step 9\n"),
        ({"fid": 1.5, "fake_samples": "many"}, "fid            1.5 at step \n"),
        ({"step": 9}, "checkpoints    100"),
    ],
)
def test_any_metrics_are_shown(poise: Any, tmp_path: Path, row: dict[str, Any], shown: str) -> None:
    make_run(tmp_path / "runs/a").metrics.append(row)
    done = poise("show").stdout
    assert shown in done
    assert "seed " not in done
    assert json.loads(poise("show", "--json").stdout)["metrics"] == row


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (
            "log.jsonl",
            '{"step": "many", "nimg": null, "seconds": [1], "d_loss": "low", "g_loss": {}, "img_per_s": true}\n',
        ),
        ("log.jsonl", '[1]\n{"step": 1e999, "nimg": -1}\n'),
        ("log.jsonl", "\udcff\n"),
        ("status.json", '{"state": "stopped", "step": "x", "nimg": [], "target_steps": "y", "reason": 3, "new": 1}'),
        ("status.json", '{"state": "stopped", "target_kimg": 5}'),
        ("status.json", '{"state": "dancing"}'),
        ("status.json", "[]"),
        ("metrics.jsonl", "{}\n"),
        ("events.jsonl", '{"kind": "odd"}\n{"severity": 3, "step": "x"}\n'),
    ],
)
def test_one_damaged_file_hides_nothing_else(poise: Any, tmp_path: Path, file: str, content: str) -> None:
    make_run(tmp_path / "runs/good")
    make_run(tmp_path / "runs/bad")
    (tmp_path / "runs/bad" / file).write_bytes(content.encode(errors="surrogateescape"))
    listed = poise("runs").stdout
    assert "\nbad " in listed
    assert "130 / 200 steps" in listed
    assert len(json.loads(poise("runs", "--json").stdout)) == 2
    assert "checkpoints    100" in poise("show", "bad").stdout
    assert json.loads(poise("show", "bad", "--json").stdout)["config"] == {"format": 1, "batch": 8}


def test_a_status_keeps_what_is_right_in_it(poise: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs/a")
    (run.path / "status.json").write_text('{"state": "stopped", "step": "x", "target_kimg": 5, "reason": "because"}')
    assert "stopped  8.3 / 5 kimg" in poise("runs").stdout


@pytest.mark.parametrize("config", [b"format: 1\nrecipe: caf\xe9\n", b"format: 1\nloss: [\n"])
def test_a_config_that_cannot_be_read(poise: Any, tmp_path: Path, config: bytes) -> None:
    run = make_run(tmp_path / "runs/a")
    run.config_path.write_bytes(config)
    facts = json.loads(poise("show", "--json").stdout)
    assert facts["config"] is None
    assert facts["config_error"].startswith("runs/a/config.yaml is not YAML: ")
    assert "format: 1" in poise("show").stdout


# Progress.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("poise.cli.progress.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_in_a_pipe_the_first_line_comes_with_the_first_numbers(clock: SimpleNamespace) -> None:
    file = StringIO()
    trainer: Any = SimpleNamespace(steps=0, nimg=0)
    progress = Progress(Console(file=file, width=200), steps=100, kimg=None, max_seconds=None)
    progress.start(trainer)
    came = []
    for second in range(1, 30):
        clock.seconds, trainer.steps, lines = 100.0 + second, second, file.getvalue().count("\n")
        if second == 3:
            progress.row({"d_loss": 0.5})
        progress.after_step(trainer)
        if file.getvalue().count("\n") > lines:
            came.append(second)
    assert came == [3, 13, 23]
    assert "d_loss 0.500" in file.getvalue().splitlines()[0]


@pytest.mark.parametrize(("steps", "kimg"), [(None, math.inf), (None, math.nan), (None, 1e300), (10**400, None)])
def test_an_end_that_is_never_reached_is_shown(clock: SimpleNamespace, steps: int | None, kimg: float | None) -> None:
    file = StringIO()
    trainer: Any = SimpleNamespace(steps=0, nimg=0)
    progress = Progress(Console(file=file, width=200), steps, kimg, max_seconds=math.inf)
    progress.start(trainer)
    clock.seconds, trainer.steps, trainer.nimg = 200.0, 5, 320
    progress.end(trainer)
    assert "years left" in file.getvalue()
    assert duration(math.nan) == "years"


# What networks are made of.


def test_show_prints_each_layer(poise: Any) -> None:
    layers = "generator=['linear 2*2*16', relu, upsample, 'conv 8', relu, upsample, 'conv 1 filter=3', tanh]"
    poise("train", "digits", "--steps", "2", "--batch", "8", "--set", layers, "--set", "z_dim=4")
    shown = poise("show").stdout
    # linear: 4 * 64 weights + 64 biases; conv 8: 16 * 8 * 9 + 8, at 4 x 4 positions; conv 1: 8 * 9 + 1, at 8 x 8.
    assert "generator: 1,553 parameters, 23,296 multiply-adds a sample" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["linear", "2*2*16", "2*2*16", "320", "256"] in lines
    assert ["conv", "8", "4*4*8", "1,160", "18,432"] in lines
    assert ["conv", "1", "filter=3", "8*8*1", "73", "4,608"] in lines
    assert "discriminator: " in shown
    facts = json.loads(poise("show", "--json").stdout)
    assert facts["networks"]["generator"][0] == {
        "layer": "linear 2*2*16",
        "shape": [16, 2, 2],
        "parameters": 320,
        "cost": 256,
    }


@pytest.mark.parametrize("content", ["", "[]", "{", '{"generator": [{"layer": "x"}]}', '{"generator": 3}'])
def test_show_does_without_networks(poise: Any, tmp_path: Path, content: str) -> None:
    poise("train", "ring8", "--steps", "1", "--batch", "8", "--run", "one")
    (tmp_path / "one" / "networks.json").write_text(content)
    assert "multiply-adds" not in poise("show", "one").stdout


# Networks that grow.

GROWING = "{class: progressive, width: 4, grow_kimg: 0.1, fade_kimg: 0.05}"


@pytest.fixture
def grow(poise: Any) -> Any:
    def grow(*arguments: str) -> Any:
        networks = ("--set", f"generator={GROWING}", "--set", f"discriminator={GROWING}")
        return poise(
            "train", "digits", "--recipe", "progressive", "--batch", "10", *networks, "--run", "one", *arguments
        )

    return grow


def test_show_prints_growing_networks_at_their_full_size(poise: Any, grow: Any) -> None:
    grow("--steps", "2")
    networks = json.loads(poise("show", "one", "--json").stdout)["networks"]
    full = PRESETS["progressive"].generator(z_dim=64, shape=(1, 8, 8), width=4)
    assert sum(layer["parameters"] for layer in networks["generator"]) == sum(it.numel() for it in full.parameters())
    assert [4, 8, 8] in [layer["shape"] for layer in networks["generator"]]
    assert [4, 8, 8] in [layer["shape"] for layer in networks["discriminator"]]
    assert "8*8*4" in poise("show", "one").stdout


def test_a_run_that_ends_before_its_networks_are_grown_is_warned_of(poise: Any, grow: Any) -> None:
    done = grow("--steps", "14")
    assert (
        "Warning: 14 steps show about 0.14 kimg, and the networks have their full size of 8 x 8 after 0.15: give "
        "--kimg 0.15 or more, or let them grow earlier by grow_kimg\n"
    ) in done.stdout
    assert "Finished at step 14" in done.stdout
    assert "ends_before_grown; trains on" in poise("show", "one").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--steps", "15"),
        ("--steps", "3", "--set", "balance.d_steps=5"),
        ("--steps", "15", "--set", "balance={class: balanced}", "--set", "loss=vanilla"),
        ("--kimg", "0.15"),
    ],
)
def test_a_run_that_is_long_enough_is_not_warned_of(poise: Any, grow: Any, arguments: tuple[str, ...]) -> None:
    assert "Warning" not in grow(*arguments).stdout
    facts = json.loads(poise("show", "one", "--json").stdout)
    assert facts["nimg"] >= 150


def test_groups_that_do_not_divide_the_batch_are_refused_before_there_is_a_run(poise: Any, tmp_path: Path) -> None:
    layers = "discriminator=['conv 4 stride=2', 'minibatch_stddev group=3', 'linear 1']"
    arguments = ("train", "digits", "--steps", "1", "--set", layers, "--run", "one")
    assert poise(*arguments, "--batch", "8", code=2).stderr == (
        "error: batch is 8, which does not fit the discriminator: minibatch_stddev has groups of 3 and was given 8 "
        "samples; give a batch that they divide, or another group=\n"
    )
    assert not (tmp_path / "one").exists()
    poise(*arguments, "--batch", "9")


# What can be named.


def test_parts_lists_everything_that_can_be_named(poise: Any) -> None:
    shown = poise("parts").stdout
    tables = (LOSSES, PENALTIES, CONSTRAINTS, BALANCES, SCHEDULES, OPTIMIZERS, WRAPPERS, PRESETS, OPS, INITIALIZERS)
    for table in tables:
        for name in table:
            assert f"\n  {name}" in shown
    assert ":math:" not in shown
    assert "label_smoothing=0.0" in shown


def test_parts_of_one_kind_as_json(poise: Any) -> None:
    shown = json.loads(poise("parts", "balances", "--json").stdout)
    assert [it["name"] for it in shown["balances"]] == list(BALANCES)
    assert shown["balances"][5]["options"] == {"lambda": "1.0", "pretrain_d": "0"}
    assert "(did you mean 'losses'?)" in poise("parts", "loses", code=2).stderr


def test_parts_that_networks_and_players_begin_with(poise: Any) -> None:
    """What is not a part of its own in a config, but an option of one."""
    shown = json.loads(poise("parts", "--json").stdout)
    options = {kind: {it["name"]: it["options"] for it in entries} for kind, entries in shown.items()}
    assert options["layer-options"] == {
        "any": {"name": "null", "initializer": "null", "spectral_norm": "false", "trainable": "null"}
    }
    assert options["initializers"]["normal"] == {"mean": "0.0", "std": "0.02"}
    assert options["warm-ups"] == {"autoencoder": {"steps": "", "encoder": "", "optimizer": "Adam"}}
    # Of a class of torch with the defaults of a config.
    assert options["optimizers"]["Adam"]["lr"] == options["optimizers"]["Rprop"]["lr"] == "0.0002"
    assert options["optimizers"]["Adam"]["fused"] == "true"
    assert "fused" not in options["optimizers"]["Rprop"]
    assert "params" not in options["optimizers"]["SGD"]
    does = {it["name"]: it["does"] for entries in shown.values() for it in entries}
    assert does["xavier"] == "Draw every weight from a normal distribution by its inputs and outputs; in place."
    assert does["autoencoder"] == "The generator begins as the decoder of an autoencoder, for so many steps."
