"""Evaluations of runs: what is measured by default, how it is said, what is never compared, and what fails quietly."""

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from poise.config import EvaluateConfig, parse
from poise.data import Data, load
from poise.data.array import from_array
from poise.errors import ConfigError, MetricError, MissingExtraError
from poise.hooks import Evaluate, Save
from poise.metrics import BETTER, METRICS, metrics_of
from poise.metrics.features import FEATURES
from poise.recipes import resolve
from poise.runs import Checkpoints, JsonLines, Run, State, read_rows
from poise.session import Evaluation, Outcome, Sampler, Session
from poise.session.evaluation import said_when_long
from poise.trainer import Trainer

CPU = torch.device("cpu")
SMALL = ["generator.width=8", "discriminator.width=8", "batch=32", "evaluate.every_kimg=0.06", "log.every_steps=2"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys.modules["poise.metrics.features.classifier"], "_LEAST_SHOWN", 300)
    monkeypatch.setattr(sys.modules["poise.metrics.features.classifier"], "_PASSES", 1)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def pictures(count: int = 80) -> Data:
    """Images without labels."""
    return load(np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8))


def as_samples(data: Data, count: int) -> torch.Tensor:
    return data.tensor(np.arange(count))


def evaluation(data: Data, cache: Path | None = None, seed: int = 0, **settings: Any) -> Evaluation:
    return Evaluation(data, EvaluateConfig(**settings), CPU, cache=cache, seed=seed)


def train(data: Data, run: Run, *assignments: str, steps: int = 6, **options: Any) -> Outcome:
    config = resolve(data, None, {"steps": steps}, [*SMALL, *assignments])
    return Session(config, data, run, device="cpu", **options).train()


# What is measured.


def test_labelled_images_are_measured_by_their_own_classifier(digits: Data) -> None:
    made = evaluation(digits)
    assert (made.features, made.metrics, made.metric) == ("classifier", ("kid", "fid"), "kid")
    assert not made.higher_is_better


def test_other_data_is_measured_as_it_is() -> None:
    few = replace(pictures(40), labels=np.arange(40) % 2, classes=("a", "b"))  # too few to learn from
    vectors = from_array(np.random.default_rng(0).normal(size=(50, 3)), None, "vectors")
    for data, features in ((pictures(), "raw"), (few, "raw"), (vectors, "standardized")):
        made = evaluation(data)
        assert (made.features, made.metrics, made.metric) == (features, ("swd",), "swd")


def test_where_the_density_is_known_the_best_is_what_is_nearest_to_it() -> None:
    made = evaluation(load("ring8"))
    assert (made.features, made.metrics, made.metric) == ("standardized", ("modes", "swd"), "mixture_kl")
    assert not made.higher_is_better


def test_the_number_to_choose_by_is_measured_too(digits: Data) -> None:
    made = evaluation(digits, metric="recall")
    assert (made.metrics, made.metric, made.higher_is_better) == (("prdc", "kid", "fid"), "recall", True)


def test_inception_is_taken_for_images_without_labels_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from poise.session import evaluation as module

    monkeypatch.setattr(module, "find_spec", lambda name: object())
    assert module.chosen_features("auto", pictures(), CPU) == "raw"
    assert module.chosen_features("auto", pictures(), torch.device("cuda")) == "inception"
    assert module.chosen_features("raw", pictures(), torch.device("cuda")) == "raw"
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert module.chosen_features("auto", pictures(), torch.device("cuda")) == "raw"


def test_every_metric_gives_the_numbers_that_the_table_says(digits: Data, tmp_path: Path) -> None:
    """And real data scores well in all of them."""
    made = evaluation(digits, tmp_path, metrics=[name for name in METRICS if name != "modes"], samples=600)
    row = made.score(as_samples(digits, 600))
    for name in made.metrics:
        assert set(METRICS[name].numbers) <= set(row)
    assert row["fid"] < 1
    assert abs(row["kid"]) < 0.05
    assert min(row["precision"], row["recall"], row["coverage"]) > 0.6
    assert (row["classes"], len(row["class_shares"])) == (10, 10)
    assert row["memorization"] == 1  # they are copies
    assert row["memorization_z"] < -3
    identity = made.extractor("classifier").identity
    assert {name: row[name] for name in ("features", "features_id", "other_features")} == {
        "features": "classifier",
        "features_id": identity,
        "other_features": {"swd": "raw"},
    }
    assert (row["real_samples"], row["fake_samples"], row["seed"]) == (600, 600, 0)
    json.dumps(row)


def test_perfect_points_capture_all_modes() -> None:
    ring = load("ring8")
    row = evaluation(ring, samples=2500).score(as_samples(ring, 2500))
    assert (row["modes"], row["features"]) == (8, "standardized")
    assert row["other_features"] == dict.fromkeys(METRICS["modes"].numbers, "raw")  # in the units of the density
    assert row["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert max(row["modes_kl"], row["mixture_kl"]) < 0.01
    assert "features_id" not in row


def test_samples_are_rounded_as_saved_images_are(digits: Data) -> None:
    made = evaluation(digits, metrics=["swd"], samples=200)
    samples = as_samples(digits, 200)
    assert made.score(samples) == made.score(samples + 0.4 / 127.5)
    assert (
        made.score(samples.clamp(-1, 0.99) * 3)["swd"] == made.score((samples.clamp(-1, 0.99) * 3).clamp(-1, 1))["swd"]
    )


def test_the_seed_is_said_and_chooses_the_real_samples(digits: Data) -> None:
    one, other = (evaluation(digits, seed=seed, metrics=["swd"], samples=100) for seed in (1, 2))
    assert one.score(as_samples(digits, 100))["seed"] == 1
    assert set(one.chosen.tolist()) != set(other.chosen.tolist())


def test_features_of_real_samples_are_computed_once(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"metrics": ["fid"], "samples": 300}
    first = evaluation(digits, tmp_path, **settings)
    row = first.score(as_samples(digits, 300))
    seen: list[str] = []
    again = evaluation(digits, tmp_path, **settings)
    extractor = again.extractor("classifier")
    real = extractor.of
    monkeypatch.setattr(extractor, "of", lambda rows, what: (seen.append(what), real(rows, what))[1])
    assert again.score(as_samples(digits, 300)) == row
    assert seen == ["samples"]
    for path in (tmp_path / "metrics").glob("features-*"):
        path.write_bytes(path.read_bytes()[:-9])
    assert evaluation(digits, tmp_path, **settings).score(as_samples(digits, 300)) == row


def test_the_nearest_training_samples_are_named(digits: Data) -> None:
    made = evaluation(digits, features="raw")
    copied = as_samples(digits, 50)
    copied[10:] = torch.rand(40, 1, 8, 8)
    pairs = made.nearest_pairs(copied, 10)
    assert pairs.shape == (20, 8, 8, 1)
    assert (pairs[::2] == pairs[1::2]).all()


# What is refused.


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": "fid,kdi"}, r"evaluate.metrics: there is no metric 'kdi' \(did you mean 'kid'\?\)"),
        ({"metric": "kid_std"}, "evaluate.metric is 'kid_std': no checkpoint is chosen by this"),
        (
            {"features": "inceptoin"},
            r"features is 'inceptoin': there are none of this name \(did you mean 'inception'\?\)",
        ),
        (
            {"metrics": "fid", "metric": "kid"},
            r"metric is kid, which is not measured: add it to evaluate.metrics \(fid",
        ),
        ({"metrics": "memorization"}, "memorization gives no number to choose a checkpoint by; add one"),
        ({"metrics": []}, "evaluate.metrics"),
    ],
)
def test_wrong_settings(digits: Data, settings: dict[str, Any], words: str) -> None:
    fields = resolve(digits, None, {"steps": 1}).model_dump(by_alias=True)
    with pytest.raises(ConfigError, match=words):
        parse(fields | {"evaluate": settings})


def test_settings_may_be_lists_or_text() -> None:
    assert EvaluateConfig(metrics="fid, prdc") == EvaluateConfig(metrics=["fid", "prdc"])
    assert metrics_of(["kid", "recall", "precision"]) == ("kid", "prdc")
    assert BETTER["precision"] == "higher"
    assert "memorization" not in BETTER


@pytest.mark.parametrize(
    ("metrics", "features", "words"),
    [
        ("modes", "auto", "modes are counted where the density of the data is known .* leave modes out"),
        ("classes", "auto", "need labels of 2 or more classes, and this data has none"),
        ("kid", "classifier", "need labels of 2 or more classes, and this data has none"),
    ],
)
def test_what_the_data_lacks(metrics: str, features: str, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        evaluation(pictures(), metrics=f"{metrics},swd", features=features)


def test_a_package_that_is_missing_is_said_before_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    run = Run(tmp_path / "r")
    with pytest.raises(MissingExtraError, match=r"needs? the 'timm' package"):
        train(pictures(), run, "evaluate.features=dinov2")
    assert not run.path.exists()


def test_samples_with_nan_are_refused_before_they_are_rounded(digits: Data) -> None:
    samples = as_samples(digits, 50)
    samples[7, 0, 0, 0] = math.nan
    with pytest.raises(MetricError, match="1 of 50 samples hold NaN or infinite values"):
        evaluation(digits).score(samples)


# The training.


def test_a_training_writes_how_its_numbers_were_measured(digits: Data, tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    train(digits, run, "evaluate.samples=200", steps=4)
    rows = read_rows(run.metrics.path)
    assert [row["step"] for row in rows] == [2, 4]
    for row in rows:
        assert {"kid", "kid_std", "fid", "features_id"} <= set(row)
        assert (row["features"], row["real_samples"], row["fake_samples"], row["seed"]) == ("classifier", 200, 200, 0)
    best = run.checkpoints.best().best
    assert best["value"] == min(row["kid"] for row in rows)
    assert (best["metric"], best["features"], best["fake_samples"]) == ("kid", "classifier", 200)


def test_evaluations_that_fail_are_events_and_said_once(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = iter([MetricError("no features here"), MetricError("no features here"), ValueError("other")])
    monkeypatch.setattr(Session, "_scores", lambda self, trainer: (_ for _ in ()).throw(next(reasons)))
    run, lines = Run(tmp_path / "r"), []
    assert train(digits, run, "batch=64", steps=3, say=lines.append).state is State.FINISHED
    events = [it for it in read_rows(run.events.path) if it["kind"] == "evaluation_failed"]
    assert [it["evidence"]["error"] for it in events] == ["no features here", "no features here", "ValueError: other"]
    assert {it["severity"] for it in events} == {"warning"}
    said = [line for line in lines if "failed" in line]
    assert said == [
        "Warning: the evaluation at step 1 failed: no features here; training goes on",
        "Warning: the evaluation at step 3 failed: ValueError: other; training goes on",
    ]
    assert read_rows(run.metrics.path) == []
    assert run.checkpoints.last().step == 3


def test_what_metrics_warn_of_is_said_once(digits: Data, tmp_path: Path) -> None:
    lines: list[str] = []
    train(digits, Run(tmp_path / "r"), "evaluate.samples=60", "evaluate.metrics=fid", steps=6, say=lines.append)
    assert sum(line.startswith("Warning: FID of 60 samples in 128 dimensions") for line in lines) == 1


def test_classes_of_too_few_samples_are_left_out_and_said(digits: Data) -> None:
    lines: list[str] = []
    settings = EvaluateConfig(samples=45, metrics="swd", features="raw")
    made = Evaluation(digits, settings, CPU, say=lines.append)
    labels = made.fake_labels
    sides = (labels, torch.from_numpy(digits.labels[made.chosen]))
    counts = torch.stack([side.bincount(minlength=10) for side in sides]).amin(0)
    few = [name for name, count in zip(digits.classes, counts, strict=True) if count < 4]
    assert 0 < len(few) < 8
    row = made.by_class(as_samples(digits, 45), labels)
    assert list(row["kid_by_class"]) == [name for name in digits.classes if name not in few]
    assert lines == [f"No KID of {', '.join(few)}: a class needs 4 real and 4 generated samples"]
    assert made.by_class(as_samples(digits, 45), torch.full((45,), int(counts.argmin()))) == {}
    assert lines[1].startswith("No KID of 0, 1, 2, 3, 4, 5, 6, 7 and 2 more: ")


def test_labels_of_fakes_are_drawn_apart_from_those_of_the_real_samples(digits: Data) -> None:
    """Two halves of the data with equal counts of classes have a KID below 0: on average it must be 0."""
    made = evaluation(digits, samples=1000)
    assert digits.labels is not None
    labels, chosen = made.fake_labels, torch.from_numpy(digits.labels[made.chosen])
    assert not torch.equal(labels.bincount(), chosen.bincount())
    assert torch.equal(labels, evaluation(digits, samples=1000).fake_labels)
    assert not torch.equal(labels, evaluation(digits, samples=1000, seed=1).fake_labels)
    rare = replace(digits, labels=np.arange(len(digits)) // 1500, classes=("often", "rare"))
    assert evaluation(rare, samples=5000).fake_labels.double().mean() == pytest.approx(297 / 1797, abs=0.02)


def test_no_column_of_vectors_outweighs_the_others() -> None:
    """Dollars, years and shares: where years and shares have collapsed, the numbers say so."""
    rng = np.random.default_rng(0)
    rows = rng.normal((50_000, 40, 0.3), (20_000, 12, 0.1), (4000, 3)).astype(np.float32)
    data = from_array(rows[:2000], None, "vectors")
    made = evaluation(data, metrics="swd,prdc")
    fakes = rows[2000:]
    good = made.score(torch.from_numpy((fakes - data.scaling.center) / data.scaling.scale))
    fakes[:, 1:] = (40, 0.3)
    bad = made.score(torch.from_numpy((fakes - data.scaling.center) / data.scaling.scale))
    assert bad["swd"] > 5 * good["swd"]
    assert bad["coverage"] < 0.1 < 0.9 < good["coverage"]
    assert good["features"] == bad["features"] == "standardized"
    assert "other_features" not in good


def test_only_what_was_trained_on_counts_as_copied(digits: Data) -> None:
    aside = np.arange(500, 1000)
    made = Evaluation(
        digits, EvaluateConfig(samples=300, metrics="memorization,kid", features="raw"), CPU, held_out=aside
    )
    seen, unseen = (made.score(digits.tensor(rows))["memorization_z"] for rows in (np.arange(300), aside[:300]))
    assert seen < -3 < unseen
    pairs = made.nearest_pairs(digits.tensor(np.arange(1000, 1020)), 5)
    assert np.array_equal(pairs[::2], pairs[1::2])


def test_numbers_of_other_features_are_not_compared(digits: Data, tmp_path: Path) -> None:
    """The first evaluation after a change of features is the best so far, whatever its number."""
    run = Run(tmp_path / "r")
    train(digits, run, "evaluate.samples=100", steps=4)
    assert run.checkpoints.best().best["features"] == "classifier"
    options = ["evaluate.samples=100", "evaluate.metrics=fid", "evaluate.features=raw"]
    train(digits, run, *options, steps=6, allow_change=True)
    best = run.checkpoints.best()
    assert (best.best["metric"], best.best["features"], best.step) == ("fid", "raw", 6)
    assert best.best["value"] > 1000  # pixels are far apart, and nothing says that this is worse than before


class Scores:
    """Rows of these values, as evaluations of one training give them."""

    def __init__(self, directory: Path, **options: Any) -> None:
        directory.mkdir(exist_ok=True)
        self.checkpoints = Checkpoints(directory / "checkpoints")
        self.rows: list[dict[str, Any]] = []
        lines = JsonLines(directory / "metrics.jsonl")
        self.hook = Evaluate(lines, lambda trainer: self.rows.pop(0), "m", 0.008, Save(self.checkpoints), **options)

    def best_of(self, *rows: dict[str, Any]) -> int:
        """The step that is best after these rows, one a step."""
        self.rows = list(rows)
        networks = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
        Trainer(*networks, z_dim=2).fit(torch.randn(8, 2), steps=len(rows), batch=8, hooks=[self.hook])
        return self.checkpoints.best().step


def test_the_direction_of_the_metric_decides(tmp_path: Path) -> None:
    rows = [{"m": 0.5}, {"m": 0.9}, {"m": 0.1}]
    assert Scores(tmp_path / "low").best_of(*rows) == 3
    assert Scores(tmp_path / "high", higher_is_better=True).best_of(*rows) == 2


@pytest.mark.parametrize("changed", ["features", "features_id", "real_samples", "fake_samples", "seed"])
def test_only_numbers_that_were_measured_alike_are_compared(tmp_path: Path, changed: str) -> None:
    how = {"features": "a", "features_id": "1", "real_samples": 9, "fake_samples": 9, "seed": 0}
    assert Scores(tmp_path / "same").best_of({"m": 1.0} | how, {"m": 2.0} | how) == 1
    assert Scores(tmp_path / "other").best_of({"m": 1.0} | how, {"m": 2.0} | how | {changed: "b"}) == 2


def test_a_failing_hook_warns_where_nobody_is_told(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "r")
    with pytest.warns(UserWarning, match="the evaluation failed: pop from empty list"):
        Trainer(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), z_dim=2).fit(
            torch.randn(8, 2), steps=1, batch=8, hooks=[scores.hook]
        )


def test_long_work_is_said_once() -> None:
    lines: list[str] = []
    progress = said_when_long(lines.append, seconds=-1)
    for _ in range(2):
        assert list(progress("counting", range(3), 3)) == [0, 1, 2]
    assert lines == ["Evaluation: counting"]
    quick = said_when_long(lines.append, seconds=60)
    assert list(quick("other", range(3), 3)) == [0, 1, 2]
    assert len(lines) == 1


# The command.


@pytest.fixture
def trained(poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("POISE_CACHE", str(tmp_path / "cache"))
    settings = [part for it in (*SMALL, "evaluate.samples=150") for part in ("--set", it)]
    poise("train", "digits", "--run", "r", "--steps", "4", *settings)
    return Run(tmp_path / "r")


def test_evaluate_prints_what_was_measured_and_how(poise: Any, trained: Run) -> None:
    before = {path: path.read_bytes() for path in trained.path.rglob("*") if path.is_file()}
    said = poise("evaluate", "r").stdout
    best = trained.checkpoints.best().step
    assert said.startswith(f"r, best checkpoint (step {best}): 150 samples against 150 real ones, seed 0\n")
    for number in ("fid", "kid", "precision", "recall", "density", "coverage", "classes_kl", "memorization_z"):
        assert f"\n  {number} " in said
    assert "classifier: held-out accuracy " in said
    (row,) = read_rows(trained.evaluations.path)
    assert row["checkpoint"] == "best"
    training = {it["step"]: it for it in read_rows(trained.metrics.path)}[best]
    assert row["kid"] == pytest.approx(training["kid"], rel=1e-3)
    assert {path: path.read_bytes() for path in before} == before  # the training's own files


def test_show_tells_evaluations_and_their_features(poise: Any, trained: Run) -> None:
    said = poise("show", "r").stdout
    assert "(classifier features, 150 samples)" in said
    assert "evaluated by itself" not in said
    poise("evaluate", "r", "--metrics", "kid,swd", "--features", "classifier")
    said = poise("show", "r").stdout
    assert "\n  evaluated by itself, best checkpoint:\n    kid " in said
    assert re.search(r"\n    swd .* \(raw features, 150 samples\)\n", said)
    assert json.loads(poise("show", "r", "--json").stdout)["evaluation"]["other_features"] == {"swd": "raw"}


def test_parts_lists_metrics_and_features(poise: Any) -> None:
    for kind, names in (("metrics", METRICS), ("features", FEATURES)):
        (listed,) = json.loads(poise("parts", kind, "--json").stdout).values()
        assert [it["name"] for it in listed] == list(names)
        assert all(it["does"] and not it["options"] for it in listed)


def test_evaluate_as_json(poise: Any, trained: Run) -> None:
    options = ["--metrics", "fid,prdc", "--samples", "140", "--seed", "5", "--checkpoint", "last", "--json"]
    facts = json.loads(poise("evaluate", "r", *options).stdout)
    assert facts == {"run": "r", **read_rows(trained.evaluations.path)[0]}
    assert (facts["checkpoint"], facts["step"], facts["fake_samples"], facts["seed"]) == ("last", 4, 140, 5)
    assert {"fid", "precision", "recall", "density", "coverage"} < set(facts)
    assert "kid" not in facts


def test_evaluate_measures_what_no_checkpoint_is_chosen_by(poise: Any, trained: Run) -> None:
    row = json.loads(poise("evaluate", "r", "--metrics", "memorization", "--json").stdout)
    assert {"memorization", "memorization_z"} <= set(row)
    assert "kid" not in row


def test_numbers_that_cannot_be_stored_are_shown(poise: Any, trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rows: JsonLines, row: Any) -> None:
        raise PermissionError(13, "Permission denied", str(rows.path))

    monkeypatch.setattr(JsonLines, "append", refuse)
    done = poise("evaluate", "r", "--metrics", "swd", "--json")
    assert json.loads(done.stdout)["swd"] > 0
    assert "evaluations.jsonl: Permission denied; not stored" in done.stderr.replace("\n", "")


def test_evaluate_finds_data_that_has_moved(poise: Any, tmp_path: Path) -> None:
    for name, level in (("x", 0), ("other", 1)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(level).normal(level, 1, (200, 3)).astype(np.float32))
    poise("train", "x.npy", "--run", "r", "--steps", "2")
    (tmp_path / "x.npy").rename(tmp_path / "y.npy")
    gone = poise("evaluate", "r", code=2).stderr
    assert gone.startswith("error: run r was trained on x.npy: ")
    assert "--data PATH says where it is now" in gone
    assert json.loads(poise("evaluate", "r", "--data", "y.npy", "--json").stdout)["swd"] > 0
    wrong = poise("evaluate", "r", "--data", "other.npy", code=2).stderr
    assert "other.npy is not what r was trained on, or has changed since" in wrong


def test_evaluate_draws_the_nearest_pairs(poise: Any, trained: Run, tmp_path: Path) -> None:
    said = poise("evaluate", "r", "--metrics", "kid", "--neighbours", "near.png", "--features", "raw").stdout
    assert said.endswith("the nearest samples, each beside its training neighbour, in near.png\n")
    with Image.open(tmp_path / "near.png") as image:
        assert image.info["run"] == "r"
    assert "PNG file" in poise("evaluate", "r", "--neighbours", "near.gif", code=2).stderr


def test_a_run_goes_on_after_an_evaluation_as_without(poise: Any, trained: Run) -> None:
    poise("evaluate", "r", "--metrics", "kid")
    settings = [part for it in (*SMALL, "evaluate.samples=150") for part in ("--set", it)]
    poise("train", "digits", "--run", "r", "--steps", "6", *settings)
    assert [row["step"] for row in read_rows(trained.metrics.path)] == [2, 4, 6]
    assert len(read_rows(trained.evaluations.path)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics", "kdi"], "there is no metric 'kdi' (did you mean 'kid'?)"),
        (["--metrics", "modes"], "modes are counted where the density of the data is known"),
        (["--features", "best"], "evaluate.features is 'best': there are none of this name"),
        (
            ["--metrics", "kid", "--samples", "3"],
            "there are 3 real samples, and this metric needs at least 4: give more",
        ),
    ],
)
def test_evaluate_refuses(poise: Any, trained: Run, options: list[str], words: str) -> None:
    assert words in poise("evaluate", "r", *options, code=2).stderr
    assert not trained.evaluations.path.exists()


def test_evaluate_refuses_data_that_has_changed(poise: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(300, 2)).astype(np.float32))
    poise("train", "x.npy", "--run", "r", "--steps", "2", *(part for it in SMALL for part in ("--set", it)))
    assert "swd" in poise("evaluate", "r").stdout
    assert "run r makes vectors" in poise("evaluate", "r", "--neighbours", "n.png", code=2).stderr
    np.save(tmp_path / "x.npy", rng.normal(size=(300, 2)).astype(np.float32))
    assert "x.npy is not what r was trained on, or has changed since" in poise("evaluate", "r", code=2).stderr


def test_a_diverged_generator_is_named(poise: Any, trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampler, "generate", lambda self, z, **options: torch.full((len(z), 1, 8, 8), math.nan))
    assert "150 of 150 samples hold NaN" in poise("evaluate", "r", code=2).stderr
