"""Trainings that are made to fail, and healthy ones: does the watch name the right cause, and is it silent elsewhere?

Every training is a run directory under --keep, so that what is there is not trained again; a run is judged from its
files, as `poise doctor` does, so that detectors can be compared on the same runs. Thresholds were chosen on the seeds
below --report-from; the tables are of the others.

    python benchmarks/sabotage.py --keep FOLDER [--seeds 4] [--report-from 2] [--only NAMES] [--judge]
                                  [--json sabotage.json] [--markdown sabotage.md]

Exits 1 when a target is missed, 2 on bad input.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import about
from poise.data import Data, load
from poise.diagnosis import Finding, Severity
from poise.errors import PoiseError
from poise.files import write_atomic
from poise.hooks import Hook
from poise.losses import AdversarialLoss
from poise.recipes import RECIPES, resolve, safe_for
from poise.report import Record
from poise.runs import Run, State, last_row, number
from poise.session import Session
from poise.trainer import Trainer

MODES = {"ring8": 8, "grid25": 25}

NAMED_RIGHT, FALSE_ALARMS, SAVED = 0.9, 0.05, 0.7

# How much worse than a healthy training one may end that was saved; and how much noise there is in a score.
NEARLY, NOISE = 1.3, 1.05


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        data: a built-in data set.
        recipe: by its name.
        settings: over the recipe's.
        kinds: the findings of which one must be named first; none for a healthy training.
        spoil_data: makes other data of it.
        spoil: changes the session before it begins.
        recoverable: whether a remedy can save it.
    """

    data: str
    recipe: str
    settings: Sequence[str] = ()
    kinds: frozenset[str] = frozenset()
    spoil_data: Callable[[Data, int], Data] = lambda data, seed: data
    spoil: Callable[[Session], Any] = lambda session: None
    recoverable: bool = False


def kinds(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Sabotage of data.


def few(data: Data, seed: int, count: int = 40) -> Data:
    chosen = np.random.default_rng(seed).choice(len(data), count, replace=False)
    return _of(data, chosen, "few")


def repeated(data: Data, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    chosen = np.where(rng.random(len(data)) < 0.9, rng.integers(0, 20, len(data)), np.arange(len(data)))
    return _of(data, chosen, "repeated")


def partly_empty(data: Data, seed: int) -> Data:
    array = np.array(data.array)
    array[np.random.default_rng(seed).random(len(data)) < 0.4] = 0
    return replace(data, array=array, fingerprint=f"{data.fingerprint}-empty{seed}")


def _of(data: Data, chosen: np.ndarray, name: str) -> Data:
    labels = None if data.labels is None else data.labels[chosen]
    fingerprint = f"{data.fingerprint}-{name}{hash(chosen.tobytes())}"
    return replace(data, array=np.ascontiguousarray(data.array[chosen]), labels=labels, fingerprint=fingerprint)


# Sabotage of sessions.


class PoisonAt(Hook):
    """Writes NaN into a weight of D after some step, once."""

    def __init__(self, step: int) -> None:
        self.step, self.done = step, False

    def after_step(self, trainer: Trainer) -> None:
        """Do it when it is time."""
        if trainer.steps == self.step and not self.done:
            self.done = True
            with torch.no_grad():
                next(trainer.discriminator.parameters()).view(-1)[0] = torch.nan


def poison(session: Session) -> None:
    session._hooks.append(PoisonAt(500))


def shrink(session: Session) -> None:
    """Let G make a third of the range, as with an activation that does not fit."""
    for network in (session.trainer.generator, session.trainer.average):
        network.register_forward_hook(lambda module, given, output: output * 0.3)


def slow_data(session: Session) -> None:
    batch = session._feed._store.end

    def slowly(begun: Any) -> Any:
        time.sleep(0.05)
        return batch(begun)

    session._feed._store.end = slowly


def with_loss(change: Callable[[AdversarialLoss], AdversarialLoss]) -> Callable[[Session], None]:
    def spoil(session: Session) -> None:
        trainer = session.trainer
        trainer.loss = trainer._objectives._loss = change(trainer.loss)

    return spoil


def swapped(loss: AdversarialLoss) -> AdversarialLoss:
    return loss._replace(d=lambda real, fake: loss.d(fake, real))


def negated(loss: AdversarialLoss) -> AdversarialLoss:
    return loss._replace(g=lambda real, fake: -loss.g(real, fake))


# Short trainings of small networks: the table takes hundreds of them.
_NARROW = ("generator.width=32", "discriminator.width=32")
_IMAGES = (
    "steps=1000",
    "log.every_steps=50",
    "watch.every_steps=50",
    "evaluate.every_kimg=12.8",
    "checkpoint.every_steps=200",
    "execution=eager",
)
_POINTS = (
    "steps=4000",
    "watch.every_steps=100",
    "evaluate.every_kimg=100",
    "checkpoint.every_steps=500",
    "execution=eager",
)

SABOTAGES: Mapping[str, Case] = {
    "D far too strong": Case(
        "digits",
        "minimax",
        ("d_optimizer.lr=0.002", "balance.d_steps=5", "discriminator.norm=none", "g_optimizer.lr=0.00005"),
        kinds("discriminator_wins vanishing_generator_gradient dead_start"),
        recoverable=True,
    ),
    "D frozen": Case(
        "digits", "relativistic", ("d_optimizer.lr=1e-12",), kinds("generator_wins no_progress"), recoverable=True
    ),
    "G frozen": Case("digits", "relativistic", ("g_optimizer.lr=1e-12",), kinds("discriminator_wins no_progress")),
    "G's learning rate x 1000": Case(
        "digits", "relativistic", ("g_optimizer.lr=0.5",), kinds("huge_steps saturated_output"), recoverable=True
    ),
    "D's learning rate x 1000": Case(
        "digits", "relativistic", ("d_optimizer.lr=0.5",), kinds("huge_steps exploding_gradients"), recoverable=True
    ),
    "real and fake swapped for D": Case("digits", "relativistic", (), kinds("wrong_sign"), spoil=with_loss(swapped)),
    "wrong sign of G's loss": Case("digits", "vanilla", (), kinds("wrong_sign"), spoil=with_loss(negated)),
    "constant images": Case("digits", "relativistic", (), kinds("degenerate_data"), partly_empty),
    "repeated images": Case("digits", "relativistic", (), kinds("degenerate_data"), repeated),
    "few images": Case("digits", "vanilla", ("batch=32",), kinds("memorization"), few),
    "wrong range": Case("digits", "relativistic", (), kinds("range_mismatch"), spoil=shrink),
    "NaN in a weight": Case("digits", "relativistic", (), kinds("non_finite"), spoil=poison, recoverable=True),
    "penalty x 10,000,000": Case(
        "digits",
        "relativistic",
        ("penalties.r1.weight=2000000", "penalties.r2.weight=2000000"),
        kinds("generator_wins no_progress"),
        recoverable=True,
    ),
    "hinge without spectral norm, D's learning rate x 250": Case(
        "digits",
        "hinge-sn",
        ("constraints={}", "d_optimizer.lr=0.05", "g_optimizer.lr=0.005"),
        kinds("discriminator_wins exploding_gradients huge_steps dead_start vanishing_generator_gradient"),
        recoverable=True,
    ),
    "D pretrained to perfection": Case(
        "digits",
        "minimax",
        ("balance.pretrain_d=600", "d_optimizer.lr=0.002", "discriminator.norm=none"),
        kinds("dead_start vanishing_generator_gradient discriminator_wins"),
        recoverable=True,
    ),
    "slow loader": Case("digits", "relativistic", ("steps=600",), kinds("data_starved"), spoil=slow_data),
    "no penalty, beta1 0.9 on a ring": Case(
        "ring8",
        "vanilla",
        ("g_optimizer.lr=0.01", "g_optimizer.betas=[0.9, 0.999]", "d_optimizer.lr=0.0002"),
        kinds("mode_collapse oscillation"),
        recoverable=True,
    ),
    "G overtrained on a grid": Case(
        "grid25",
        "vanilla",
        ("balance.g_steps=10", "g_optimizer.lr=0.001"),
        kinds("mode_collapse oscillation generator_wins"),
        recoverable=True,
    ),
}

HEALTHY: Mapping[str, Case] = {
    **{f"{name} on digits": Case("digits", name) for name in RECIPES if name not in ("points", "r3gan", "progressive")},
    **{f"{name} on ring8": Case("ring8", name) for name in ("points", "relativistic", "wgan-gp", "r1")},
    **{f"{name} on grid25": Case("grid25", name) for name in ("points", "relativistic", "wgan-gp", "hinge-sn")},
    # With fewer critic steps than WGAN-GP's five its samples are all alike at this length, and the watch says so.
    "adaptive-critic on digits": Case("digits", "adaptive-critic", ("balance.min=5",)),
    "r3gan on digits": Case("digits", "r3gan"),
    "conditional on digits": Case("digits", "relativistic", ("conditional=true",)),
    "ada on digits": Case("digits", "relativistic", ("augment=ada",)),
}


def train(case: Case, seed: int, run: Run, mode: str = "warn") -> None:
    """One training, where there is none; one that fails has said so in its run directory."""
    status = run.status()
    if status is not None and status.state != "running":
        return
    data = case.spoil_data(load(case.data), seed)
    general = _IMAGES + (() if case.recipe == "r3gan" else _NARROW) if data.kind == "images" else _POINTS
    assignments = (*general, *case.settings, f"watch.mode={mode}")
    config = resolve(data, case.recipe, {"seed": seed}, assignments)
    safe = resolve(data, safe_for(data), {}, general)
    session = Session(config, data, run, device="cpu", safe=safe)
    case.spoil(session)
    with contextlib.suppress(PoiseError):
        session.train()


def judged(run: Run) -> list[Finding]:
    return list(Record.read(run).findings)


def verdict(findings: Sequence[Finding]) -> str:
    return ", ".join(f"{it.kind} ({it.severity}{', over' if it.ended else ''})" for it in findings) or "nothing"


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="where the runs are")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--report-from", type=int, default=2, help="the first seed of the report")
    parser.add_argument("--only", help="cases whose names contain one of these, separated by commas")
    parser.add_argument("--act", action="store_true", help="also train what can be saved with --watch act")
    parser.add_argument("--judge", action="store_true", help="train nothing, judge what is there")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    wanted = None if arguments.only is None else arguments.only.split(",")
    cases = {
        name: case
        for name, case in {**SABOTAGES, **HEALTHY}.items()
        if wanted is None or any(part in name for part in wanted)
    }
    if not cases:
        parser.error(f"no case has a name like '{arguments.only}'")
    torch.set_num_threads(1)
    results: dict[str, Any] = {"about": about(), "runs": []}
    for seed in range(arguments.seeds):
        for name, case in cases.items():
            run = Run(arguments.keep / f"{slug(name)}-{seed}")
            if not arguments.judge:
                train(case, seed, run)
            if run.exists() and run.state() is not State.KILLED:
                findings = judged(run)
                results["runs"].append(outcome(name, case, seed, findings, fares_well(run, case)))
                print(f"{name:40} {seed}  {verdict(findings)}", flush=True)
    lines = tables(results["runs"], arguments.report_from)
    results["saved"] = [
        saved(name, case, seed, arguments.keep, arguments.judge)
        for seed in range(arguments.seeds)
        for name, case in cases.items()
        if case.recoverable and arguments.act
    ]
    lines += saved_table(results["saved"])
    print("\n".join(lines))
    if arguments.json is not None:
        write_atomic(arguments.json, json.dumps(results, indent=1) + "\n")
    if arguments.markdown is not None:
        write_atomic(arguments.markdown, "\n".join(lines) + "\n")
    right, alarms = shares([it for it in results["runs"] if it["seed"] >= arguments.report_from])
    rescued = [it for it in results["saved"] if it["with"] is not None]
    share = sum(it["saved"] for it in rescued) / len(rescued) if rescued else 1.0
    is_reached = right >= NAMED_RIGHT and alarms <= FALSE_ALARMS and share >= SAVED
    raise SystemExit(0 if is_reached and not any(it["worse"] for it in rescued) else 1)


def score(run: Run) -> float | None:
    """Of the best checkpoint, which is what a person gets; lower is better."""
    best = run.checkpoints.best()
    return None if best is None or best.best is None else float(best.best["value"])


def saved(name: str, case: Case, seed: int, keep: Path, judge: bool) -> dict[str, Any]:
    """A sabotaged training with a watch that acts, beside the same without it and a healthy one on the same data."""
    acting = Run(keep / f"act-{slug(name)}-{seed}")
    fine = f"{safe_for(load(case.data))} on {case.data}"
    healthy = Run(keep / f"{slug(fine)}-{seed}")
    if not judge:
        train(case, seed, acting, "act")
        train(HEALTHY[fine], seed, healthy)
    good, without, with_ = score(healthy), score(Run(keep / f"{slug(name)}-{seed}")), score(acting)
    known = good is not None and with_ is not None
    row = {
        "name": name,
        "seed": seed,
        "healthy": good,
        "without": without,
        "with": with_,
        "saved": known and with_ <= NEARLY * good,
        "worse": known and without is not None and with_ > NOISE * without,
        "steps": [f"{it['kind']}: {it['change']}" for it in acting.recovery().get("steps", [])],
    }
    print(f"{name:40} {seed}  healthy {good}  without {without}  with {with_}  {row['steps']}", flush=True)
    return row


def saved_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    share = sum(it["saved"] for it in rows) / len(rows)
    worse = sum(it["worse"] for it in rows)
    lines = [
        "### Saved by --watch act",
        "",
        f"{share:.0%} of {len(rows)} trainings end within {NEARLY} times the healthy score; {worse} of them end worse "
        "than without the watch.",
        "",
        "| training | seed | healthy | without | with | what was done |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for it in rows:
        numbers = (it["healthy"], it["without"], it["with"])
        shown = " | ".join("none" if value is None else f"{value:.4g}" for value in numbers)
        lines.append(f"| {it['name']} | {it['seed']} | {shown} | {'; '.join(it['steps']) or 'nothing'} |")
    return [*lines, ""]


def fares_well(run: Run, case: Case) -> bool:
    """Whether a training that was left alone became one that a person would keep.

    Some recipes do not, at this length and with small networks: to say so of them is no false alarm.
    """
    row = last_row(run.metrics.path)
    if case.data in MODES:
        return number(row.get("modes"), 0) >= 0.9 * MODES[case.data]
    return number(row.get("kid"), float("inf")) <= 0.5


def outcome(name: str, case: Case, seed: int, findings: Sequence[Finding], well: bool) -> dict[str, Any]:
    first = findings[0] if findings else None
    return {
        "name": name,
        "seed": seed,
        "sabotaged": bool(case.kinds),
        "well": well,
        "expected": sorted(case.kinds),
        "findings": [it.to_json() for it in findings],
        "right": first is not None and first.kind in case.kinds,
        "alarm": any(it.severity is Severity.SEVERE for it in findings),
    }


def shares(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The share of sabotages whose kind is named first, and of healthy runs with a severe finding."""
    spoilt, healthy = ([it for it in runs if it["sabotaged"]], [it for it in runs if is_healthy(it)])
    right = sum(it["right"] for it in spoilt) / max(len(spoilt), 1)
    return right, sum(it["alarm"] for it in healthy) / max(len(healthy), 1)


def is_healthy(run: Mapping[str, Any]) -> bool:
    return run["well"] and not run["sabotaged"]


def tables(runs: Sequence[Mapping[str, Any]], report_from: int) -> list[str]:
    lines = []
    for title, chosen in (
        (
            f"Seeds {report_from} and above, on which no threshold was chosen",
            [it for it in runs if it["seed"] >= report_from],
        ),
        (f"Seeds below {report_from}", [it for it in runs if it["seed"] < report_from]),
    ):
        right, alarms = shares(chosen)
        spoilt, healthy = ([it for it in chosen if it["sabotaged"]], [it for it in chosen if is_healthy(it)])
        poor = len(chosen) - len(spoilt) - len(healthy)
        lines += [
            f"### {title}",
            "",
            f"{right:.0%} of {len(spoilt)} sabotages have the right kind named first; {alarms:.0%} of {len(healthy)} "
            f"healthy trainings have a severe finding. {poor} more were left alone and became poor by themselves.",
            "",
            "| training | right | named first, by seed |",
            "|---|---:|---|",
        ]
        for name in dict.fromkeys(it["name"] for it in chosen):
            its = [it for it in chosen if it["name"] == name]
            firsts = [it["findings"][0] if it["findings"] else None for it in its]
            named = "; ".join("nothing" if it is None else f"{it['kind']} ({it['severity']})" for it in firsts)
            told = [it for it in its if it["sabotaged"] or is_healthy(it)]
            fine = sum(it["right"] if it["sabotaged"] else not it["alarm"] for it in told)
            lines.append(f"| {name} | {f'{fine} of {len(told)}' if told else 'poor'} | {named} |")
        lines.append("")
    return lines


if __name__ == "__main__":
    main()
