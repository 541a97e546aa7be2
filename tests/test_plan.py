"""Plans: tables of trials, what is trained of them, and which differences are beyond seed noise."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from poise.data import load
from poise.errors import ConfigError
from poise.recipes import resolve
from poise.runs import Run, State
from poise.trainer import Hook, Trainer
from poise.tuning import Plan, differences_of, find_plan, holm, shipped_plans, summary

SMALL = """
data: ring8
recipe: relativistic
set:
  {generator.width: 8, discriminator.width: 8, batch: 32, z_dim: 2, execution: eager, evaluate.samples: 64,
   evaluate.metrics: swd, kimg: 1, evaluate.every_kimg: 0.25}
"""
TWO = f"""{SMALL}
seeds: 2
trials:
  as it is:
  slow G: {{g_optimizer.lr: 1e-6}}
"""


@pytest.fixture(autouse=True)
def _plan(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)


# The way through.


def test_runs_what_is_not_done_and_compares(poise: Any, tmp_path: Path) -> None:
    first = poise("plan", "two.yaml")
    assert "Plan two in studies/two: 2 trials, 2 seeds each, on ring8, compared by swd" in first.stdout
    assert "4 of 4: slow G, seed 1, run studies/two/slow-g/" in first.stdout
    assert re.search(r"as it is +2 of 2 ", first.stdout)
    assert "Welch's t-test of every two trials over their seeds" in first.stdout
    facts = json.loads(poise("plan", "two.yaml", "--json").stdout)
    assert [trial["name"] for trial in facts["trials"]] == ["as it is", "slow G"]
    for trial in facts["trials"]:
        values = [run["value"] for run in trial["runs"]]
        assert trial["mean"] == pytest.approx(np.mean(values))
        assert trial["sd"] == pytest.approx(np.std(values, ddof=1))
        assert [run["state"] for run in trial["runs"]] == ["complete"] * 2
    assert json.loads((tmp_path / "studies/two/plan.json").read_text())["trials"] == facts["trials"]
    again = poise("plan", "two.yaml")
    assert "of 4:" not in again.stdout
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()[first.stdout.splitlines().index("") :]


def test_only_what_changed_is_trained(poise: Any, tmp_path: Path) -> None:
    poise("plan", "two.yaml")
    (tmp_path / "two.yaml").write_text(TWO.replace("1e-6", "1e-5"))
    done = poise("plan", "two.yaml").stdout
    assert re.findall(r"\d of 4: (.*), run", done) == ["slow G, seed 0", "slow G, seed 1"]
    longer = poise("plan", "two.yaml", "--set", "kimg=2").stdout
    assert longer.count("Going on from step") == 4


def test_what_the_data_decided_is_said_once(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO.replace("recipe: relativistic", "recipe: auto"))
    assert poise("plan", "two.yaml", "--set", "kimg=0.5").stdout.count("  loss = relativistic: vectors: ") == 1


def test_a_plan_is_not_made_shorter_than_what_is_trained(poise: Any, tmp_path: Path) -> None:
    poise("plan", "two.yaml", "--set", "kimg=0.5")
    assert poise("plan", "two.yaml").stdout.count("Going on from step") == 4
    (tmp_path / "two.yaml").write_text(f"{TWO}  new: {{g_optimizer.lr: 1e-5}}\n")
    refused = poise("plan", "two.yaml", "--set", "kimg=0.5", code=2).stderr
    assert "as it is, seed 0 was trained to 1.024 kimg already, further than the others would be" in refused
    assert "of 6:" in poise("plan", "two.yaml").stdout


def test_a_run_that_breaks_is_left_out_with_its_reason(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(f"{TWO}  breaks: {{g_optimizer.lr: 1e30}}\n")
    done = poise("plan", "two.yaml").stdout
    assert re.search(r"breaks +0 of 2", done)
    assert re.search(r"left out: breaks, seed 0: .*non_finite", done)
    again = poise("plan", "two.yaml").stdout
    assert "of 6:" not in again  # it would break again
    assert re.search(r"left out: breaks, seed 1: .*non_finite", again)
    (tmp_path / "all.yaml").write_text(
        TWO.replace("as it is:", "as it is: {g_optimizer.lr: 2e30}").replace("1e-6", "1e30")
    )
    assert "no run of 4 came to its end: as it is, seed 0: " in poise("plan", "all.yaml", code=1).stderr


class Breaks(Hook):
    def after_step(self, trainer: Trainer) -> None:
        raise OSError("the disk is full")


def test_an_error_is_that_of_its_run_alone(poise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    own = "hooks: [{import: 'test_plan:Breaks'}]"
    (tmp_path / "two.yaml").write_text(TWO.replace("as it is:", f"as it is: {{{own}}}"))
    facts = json.loads(poise("plan", "two.yaml", "--trust", "test_plan", "--json").stdout)
    broken, fine = facts["trials"]
    assert [(run["state"], run["reason"]) for run in broken["runs"]] == [("failed", "OSError: the disk is full")] * 2
    assert [run["state"] for run in fine["runs"]] == ["complete"] * 2


def test_the_page_needs_nothing_from_elsewhere(poise: Any, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    done = poise("plan", "two.yaml")
    assert "page  studies/two/plan.html" in done.stdout
    page = (tmp_path / "studies/two/plan.html").read_text()
    for heading in ("Trials", "Differences", "Curves", "Samples", "Settings"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count('<img width="240"') == 4
    assert not re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?!data:)', page)


def test_without_plotly_there_is_no_page(poise: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("poise.tuning.page.find_spec", lambda name: None)
    assert "no page: it needs Plotly, pip install 'poise[report]'" in poise("plan", "two.yaml").stdout
    assert (tmp_path / "studies/two/plan.json").exists()
    assert not (tmp_path / "studies/two/plan.html").exists()


@pytest.mark.parametrize("place", ["plan", "set", "option"])
def test_the_size_of_images(place: str, poise: Any, tmp_path: Path) -> None:
    set_ = "{size: 16, steps: 1, evaluate.samples: 50}" if place == "set" else "{steps: 1, evaluate.samples: 50}"
    size = "size: 16\n" if place == "plan" else ""
    trials = "seeds: 1\ntrials: {a: {batch: 8}, b: {batch: 4}}\n"
    (tmp_path / "two.yaml").write_text(f"data: digits\nrecipe: vanilla\n{size}set: {set_}\n{trials}")
    poise("plan", "two.yaml", *(["--set", "size=16"] if place == "option" else []))
    (run,) = (path for path in (tmp_path / "studies/two/a").iterdir() if path.is_dir())
    assert "size: 16" in Run(run).config_path.read_text()


def test_one_seed_tells_nothing_of_noise(poise: Any, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO.replace("seeds: 2", "seeds: [7]"))
    done = poise("plan", "two.yaml").stdout
    assert "it takes two seeds or more of a trial" in done
    (run,) = (path for path in (tmp_path / "studies/two/as-it-is").iterdir() if path.is_dir())
    assert "seed: 7" in Run(run).config_path.read_text()
    assert Run(run).state() is State.FINISHED


# The plan that comes along.


def test_the_first_four_are_as_they_are_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POISE_CACHE", str(tmp_path / "cache"))
    plan = Plan.read(find_plan("first-four"))
    data = load(plan.data)
    assert (plan.data, plan.seeds) == ("digits", (0, 1, 2))
    configs = {
        trial.name[0]: plan.config(trial, 1, lambda recipe, further: resolve(data, recipe, {}, further))
        for trial in plan.trials
    }
    rows = {name: (it.batch, it.g_optimizer.lr, it.d_optimizer.lr) for name, it in configs.items()}
    assert rows == {"A": (64, 2e-4, 2e-4), "B": (128, 1e-4, 4e-4), "C": (64, 1e-4, 1e-4), "D": (64, 2e-4, 2e-4)}
    assert (configs["C"].loss.class_, configs["C"].penalties["wgan_gp"].weight) == ("wasserstein", 10)
    assert configs["D"].constraints["spectral_norm"].to == "D"
    assert configs["D"].model_copy(update={"constraints": {}}) == configs["A"]
    assert {it.seed for it in configs.values()} == {1}


@pytest.mark.parametrize("name", ["plans/first-four.yaml", "first-four", "first-four.yaml"])
def test_plans_that_come_along_are_found_everywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_plan(name) == shipped_plans()["first-four"]


def test_a_file_comes_before_a_plan_that_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/first-four.yaml").write_text(TWO)
    assert find_plan("plans/first-four.yaml") == Path("plans/first-four.yaml")


def test_the_first_four_train_in_one_command(poise: Any) -> None:
    small = [
        "kimg=0.5",
        "evaluate.every_kimg=0.25",
        "evaluate.samples=64",
        "generator.width=4",
        "discriminator.width=4",
    ]
    options = [part for it in small for part in ("--set", it)]
    facts = json.loads(poise("plan", "plans/first-four.yaml", *options, "--json").stdout)
    assert [trial["name"][0] for trial in facts["trials"]] == ["A", "B", "C", "D"]
    assert all(run["state"] == "complete" for trial in facts["trials"] for run in trial["runs"])
    assert len(facts["differences"]) == 6


# Noise.


def test_welch_by_hand() -> None:
    """Two samples of three: t and the degrees of freedom by Welch's and Satterthwaite's formulas."""
    first, second = [1.0, 2.0, 3.0], [4.0, 8.0, 12.0]
    (found,) = differences_of({"a": first, "b": second})
    variances = 1.0 / 3, 16.0 / 3
    error = np.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / sum(it**2 / 2 for it in variances)
    assert found.difference == 6.0
    assert found.p == pytest.approx(2 * stats.t.sf(6.0 / error, freedom))
    half = stats.t.ppf(0.975, freedom) * error
    assert (found.low, found.high) == pytest.approx((6.0 - half, 6.0 + half))
    assert not found.is_beyond_noise


def test_seed_noise_alone_is_seldom_called_a_difference() -> None:
    """Of four trials that are alike, with three seeds each, one pair or more is in at most 5 % of the cases."""
    rng = np.random.default_rng(0)
    cases = 400
    false = sum(
        any(it.is_beyond_noise for it in differences_of({name: list(rng.normal(size=3)) for name in "abcd"}))
        for _ in range(cases)
    )
    assert false / cases < 0.05 + 3 * np.sqrt(0.05 * 0.95 / cases)


def test_a_difference_far_beyond_the_spread_is_found() -> None:
    found = differences_of({"a": [1.0, 1.1, 0.9], "b": [3.0, 3.1, 2.9], "c": [1.0, 1.05, 0.95]})
    assert [it.is_beyond_noise for it in found] == [True, False, True]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_without_spread_there_is_no_test() -> None:
    assert differences_of({"a": [1.0], "b": [2.0, 3.0]}) == []
    assert differences_of({"a": [1.0, 1.0], "b": [2.0, 2.0]}) == []
    assert summary([]) is None
    assert summary([2.0]).spread is None


# Bad input.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"{SMALL}\ntrials:\n  A: {{}}\n  B: {{}}\n  A: {{batch: 8}}\n",
            "is not YAML (line 11: 'A' is there twice, first in",
        ),
        (f"{SMALL}\ntrials:\n- name: A\n- name: A\n  batch: 8\n", "two trials are named 'A'; give each its own name"),
        (f"{SMALL}\ntrials:\n- name: A\n- batch: 8\n", "trial 2 has no name"),
        (f"{SMALL}\ntrials: {{a b: {{}}, A-B: {{}}}}", "trials 'a b' and 'A-B' would both be in a directory a-b"),
        (f"{SMALL}\ntrials: {{A: {{}}}}", "trials are two names or more"),
        (f"{SMALL}\ntrials: {{A: 3, B: {{}}}}", "trial 'A' is 3: give a mapping of settings"),
        (f"{SMALL}\ntrials: {{A: {{recipe: [1]}}, B: {{}}}}", "trial 'A': recipe is [1]: give a name"),
        (f"{SMALL}\ntrials: {{A: {{}}, B: {{}}}}", "trials 'A' and 'B' have the same settings; leave one out"),
        (
            f"{SMALL}\ntrials: {{A: {{bacth: 8}}, B: {{}}}}",
            "trial 'A': there is no setting 'bacth' (did you mean 'batch'?)",
        ),
        (f"{SMALL}\ntrials: {{A: {{generator.widht: 8}}, B: {{}}}}", "trial 'A': generator: mlp has no option 'widht'"),
        (f"{SMALL}\ntrials: {{A: {{recipe: vanila}}, B: {{}}}}", "trial 'A': there is no recipe 'vanila'"),
        (
            f"{SMALL}\ntrials: {{A: {{evaluate.samples: 8}}, B: {{}}}}",
            "are not evaluated alike, so they cannot be compared",
        ),
        (f"{SMALL}\nseeds: 0\ntrials: {{A: {{}}, B: {{batch: 8}}}}", "seeds is 0: give how many"),
        (
            f"{SMALL}\nseeds: [1, 1]\ntrials: {{A: {{}}, B: {{batch: 8}}}}",
            "seeds is [1, 1]: give how many, or a list of",
        ),
        (
            f"{SMALL}\nsedes: 3\ntrials: {{A: {{}}, B: {{batch: 8}}}}",
            "there is no 'sedes' in a plan (did you mean 'seeds'?)",
        ),
        ("trials: {A: {}, B: {batch: 8}}", "data is missing"),
        (SMALL, "trials is missing"),
        ("data: ring8\nset: [1]\ntrials: {A: {}, B: {batch: 8}}", "set is a mapping of settings"),
        ("data: ring8\nsize: big\ntrials: {A: {}, B: {batch: 8}}", "size is 'big': give a number"),
        ("data: [ring8]\ntrials: {A: {}, B: {batch: 8}}", "data is ['ring8']: give a name"),
    ],
)
def test_a_wrong_plan_is_refused(text: str, words: str, poise: Any, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    assert words in poise("plan", "wrong.yaml", code=2).stderr
    assert not (tmp_path / "studies").exists()


def test_a_plan_that_is_not_there_is_refused(poise: Any) -> None:
    done = poise("plan", "frist-four", code=2)
    assert "there is no plan frist-four; give a YAML file, or one that comes along: first-four" in done.stderr
    with pytest.raises(ConfigError):
        find_plan("elsewhere/first-four.yaml")
