"""Detectors: what each finds in rows, and on what it is silent; findings begin, end and are ranked."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from poise.diagnosis import Diagnosis, Finding, Severity, diagnose
from poise.diagnosis.detectors import DETECTORS
from poise.diagnosis.detectors.scores import HIGHER_IS_BETTER, LOWER_IS_BETTER
from poise.metrics import BETTER

Row = dict[str, Any]
CONFIG = {"loss": {"class": "relativistic"}, "steps": 10_000, "kimg": None, "evaluate": {"metric": "kid"}}


def healthy_log(step: int) -> Row:
    return {
        "step": step,
        "nimg": 64 * step,
        "d_loss": 0.6,
        "g_loss": 0.8,
        "d_accuracy": 0.75,
        "d_grad_norm": 1.0,
        "g_grad_norm": 0.5,
        "img_per_s": 1000.0,
        "data_wait": 0.01,
    }


def healthy_probe(step: int) -> Row:
    near = max(0.2, 1 - step / 2000)
    return {
        "step": step,
        "nimg": 64 * step,
        "opposes": 1.0,
        "data_constant": 0.0,
        "data_repeated": 0.0,
        "d_auc": 0.8,
        "d_gap": 1.2,
        "held_out_auc": 0.78,
        "overfit": 0.05,
        "diversity": min(1.0, 0.2 + step / 2000),
        "nearest": 0.9,
        "copies": 1.1,
        "moved": 0.3,
        "swd": near,
        "swd_floor": 0.15,
        "swd_augmented": near + 0.2,
        "real_min": -1.0,
        "real_max": 1.0,
        "fake_min": -1.0,
        "fake_max": 1.0,
        "at_bound": 0.2,
        "at_edge": 0.2,
        "real_at_bound": 0.25,
        "d_dead": 0.1,
        "g_dead": 0.1,
        "d_step": 0.005,
        "g_step": 0.005,
        "checkerboard": 1.0,
    }


def rows(make: Callable[[int], Row], count: int = 50, **changes: Callable[[int], Any]) -> list[Row]:
    """Rows every 200 steps, with columns that are functions of the step."""
    found = []
    for step in range(0, 200 * count, 200):
        row = make(step)
        for name, of in changes.items():
            if of(step) is not None:
                row[name] = of(step)
        found.append(row)
    return found


def always(value: Any) -> Callable[[int], Any]:
    return lambda step: value


def after(start: int, value: Any) -> Callable[[int], Any]:
    """The value from ``start`` on; before it the healthy one."""
    return lambda step: value if step >= start else None


def scores(*values: float) -> list[Row]:
    return [
        {"step": 500 * (i + 1), "nimg": 32_000 * (i + 1), "kid": it, "kid_std": 0.001} for i, it in enumerate(values)
    ]


Files = Mapping[str, Any]
FAR = always(1.0)

SICK: Mapping[str, Files] = {
    "non_finite": {"log": rows(healthy_log, d_loss=lambda step: None if step < 9800 else float("nan"))},
    "wrong_sign": {"probes": rows(healthy_probe, opposes=always(0.0))},
    "degenerate_data": {"probes": rows(healthy_probe, data_constant=always(0.3))},
    "data_starved": {"log": rows(healthy_log, data_wait=after(5000, 0.6))},
    "range_mismatch": {"probes": rows(healthy_probe, fake_min=always(-0.3), fake_max=always(0.3))},
    "huge_steps": {"probes": rows(healthy_probe, g_step=always(0.4))},
    "dead_start": {"log": rows(healthy_log, d_loss=always(1e-4))},
    "exploding_gradients": {"log": rows(healthy_log, d_grad_norm=after(6000, 5e4))},
    "memorization": {"probes": rows(healthy_probe, overfit=after(4000, 0.9))},
    "vanishing_generator_gradient": {"log": rows(healthy_log, g_grad_norm=after(4000, 1e-5), d_accuracy=always(1.0))},
    "discriminator_wins": {"probes": rows(healthy_probe, d_auc=always(1.0), held_out_auc=always(1.0), swd=FAR)},
    "generator_wins": {"probes": rows(healthy_probe, d_auc=always(0.3), swd=FAR)},
    "saturated_output": {"probes": rows(healthy_probe, at_bound=always(0.99))},
    "mode_collapse": {"probes": rows(healthy_probe, diversity=after(2000, 0.05))},
    "dead_units": {"probes": rows(healthy_probe, g_dead=after(2000, 0.8))},
    "oscillation": {"probes": rows(healthy_probe, moved=always(1.0), swd=lambda step: 0.8 + 0.05 * (step % 400 == 0))},
    "augmentation_leak": {"probes": rows(healthy_probe, swd=always(0.6), swd_augmented=always(0.2))},
    "past_best": {"metrics": scores(0.5, 0.2, 0.1, 0.12, 0.4, 0.5, 0.6)},
    "no_progress": {"probes": rows(healthy_probe, swd=FAR)},
    "checkerboard": {"probes": rows(healthy_probe, checkerboard=always(500.0))},
}


def found(files: Files, config: Mapping[str, Any] = CONFIG) -> dict[str, Finding]:
    return {it.kind: it for it in diagnose(config, **files)}


def test_every_detector_has_a_case() -> None:
    assert set(SICK) == set(DETECTORS)


@pytest.mark.parametrize("kind", SICK)
def test_a_sick_run_is_named(kind: str) -> None:
    findings = found(SICK[kind])
    assert kind in findings
    finding = findings[kind]
    assert not finding.ended
    assert finding.since_step <= finding.last_step
    assert finding.evidence
    assert finding.cause.endswith(".")
    assert finding.advice.endswith(".")
    json.dumps(finding.to_json(), allow_nan=False)


def test_a_healthy_run_has_no_findings() -> None:
    falling = scores(*(0.5 / (i + 1) for i in range(20)))
    assert diagnose(CONFIG, rows(healthy_log), falling, rows(healthy_probe)) == []


@pytest.mark.parametrize("kind", SICK)
def test_without_their_numbers_detectors_say_nothing(kind: str) -> None:
    empty = {file: [{"step": row["step"], "nimg": row["nimg"]} for row in given] for file, given in SICK[kind].items()}
    assert diagnose({}, **empty) == []


MESSY: list[Row] = [
    {},
    {"step": None, "kid": "low", "d_loss": []},
    {"step": "many"},
    {"step": 10**400, "kid": 10**400},
    {"step": -5, "kid": float("inf"), "d_auc": float("nan")},
    {"step": True, "nimg": True, "kid": False},
    {"kind": 5, "step": 3, "evidence": "none"},
]


@pytest.mark.parametrize("config", [{}, {"loss": 5}, {"loss": {"class": 7}, "steps": "all", "evaluate": []}])
def test_rows_that_hold_nonsense_tell_nothing(config: Row) -> None:
    assert diagnose(config, MESSY, MESSY, MESSY, MESSY) == []
    for kind, files in SICK.items():
        assert kind in found({file: [*MESSY, *given] for file, given in files.items()}) or kind in (
            "dead_start",  # that needs the first ticks
            "no_progress",  # and that the first measurement
            "past_best",
            "discriminator_wins",
            "generator_wins",
        )


# When findings begin and end.


def test_a_finding_begins_and_ends() -> None:
    def wait(step: int) -> float:
        return 0.5 if 2000 <= step < 6000 else 0.0

    (finding,) = diagnose(CONFIG, rows(healthy_log, data_wait=wait))
    assert (finding.kind, finding.since_step, finding.last_step, finding.ended) == ("data_starved", 2000, 5800, True)


def test_a_finding_that_comes_back_begins_anew() -> None:
    def wait(step: int) -> float:
        return 0.5 if step < 1000 or step >= 9000 else 0.0

    (finding,) = diagnose(CONFIG, rows(healthy_log, data_wait=wait))
    assert (finding.since_step, finding.ended) == (9000, False)


def test_one_good_row_ends_nothing() -> None:
    def wait(step: int) -> float:
        return 0.0 if step == 5000 else 0.5

    diagnosis = Diagnosis(CONFIG)
    for row in rows(healthy_log, 26, data_wait=wait):
        diagnosis.log(row)
    (finding,) = diagnosis.findings
    assert not finding.ended


def test_live_and_afterwards_are_the_same() -> None:
    files = {"log": rows(healthy_log, data_wait=always(0.5)), "probes": rows(healthy_probe, diversity=always(0.05))}
    diagnosis = Diagnosis(CONFIG)
    for log, probe in zip(files["log"], files["probes"], strict=True):
        diagnosis.log(log)
        diagnosis.probe(probe)
    assert diagnosis.findings == diagnose(CONFIG, **files)


def test_the_worst_comes_first_and_what_is_over_last() -> None:
    def wait(step: int) -> float:
        return 0.5 if step < 2000 else 0.0

    findings = diagnose(
        CONFIG,
        log=rows(healthy_log, data_wait=wait),
        probes=rows(healthy_probe, checkerboard=always(20.0), opposes=always(0.0), moved=always(1.0), swd=always(0.8)),
    )
    assert findings[0].kind == "wrong_sign"
    assert findings[-1].kind == "data_starved"
    assert [it.severity.rank for it in findings if not it.ended] == sorted(
        it.severity.rank for it in findings if not it.ended
    )


def event(kind: str, step: int, **evidence: str) -> Row:
    return {"step": step, "kind": kind, "severity": "severe", "evidence": evidence}


@pytest.mark.parametrize("back", ["rolled_back", "settings_changed", "resumed"])
def test_a_number_that_was_not_finite_is_of_a_course_that_a_run_left_when_it_went_back(back: str) -> None:
    events = [event("non_finite", 2000, error="loss nan"), event(back, 1800)]
    assert not found({"log": rows(healthy_log, 10), "events": events[:1]})["non_finite"].ended
    assert found({"log": rows(healthy_log), "events": events}) == {}
    broken = rows(healthy_log, d_loss=lambda step: 0.6 if step < 1600 else float("nan"))
    assert "non_finite" in found({"log": broken, "events": events})  # rows that stand tell it


def test_a_run_that_is_given_up_is_told_by_its_last_failure() -> None:
    backs = [event("rolled_back", step) for step in (1500, 2000, 2500)]
    events = [event("non_finite", 1000, error="at 1000"), *backs, event("non_finite", 500, error="at 500")]
    finding = found({"log": rows(healthy_log, 3), "events": [*events, event("failed", 500)]})["non_finite"]
    assert (finding.severity, finding.since_step, finding.last_step) == (Severity.SEVERE, 500, 500)
    assert finding.evidence == {"error": "at 500"}


def test_an_update_that_was_left_out_is_a_warning_that_ends() -> None:
    events: list[Row] = [{"step": 2000, "kind": "skipped_update", "evidence": {"error": "loss nan"}}]
    assert found({"log": rows(healthy_log, 10), "events": events})["non_finite"].severity is Severity.WARNING
    assert found({"log": rows(healthy_log), "events": events})["non_finite"].ended


def test_a_long_run_takes_no_more_memory() -> None:
    diagnosis = Diagnosis(CONFIG)
    for step in range(3000):
        diagnosis.log({"step": step, "never_asked_for": 1.0})
    assert len(diagnosis._course.log._column("never_asked_for")._points) == 512


# What detectors know of losses, of the length of a run and of metrics.


def test_a_wasserstein_loss_of_zero_is_no_dead_start() -> None:
    assert "dead_start" not in found(SICK["dead_start"], {**CONFIG, "loss": {"class": "wasserstein"}})


def test_held_out_reals_tell_overfitting_from_strength() -> None:
    learned = rows(healthy_probe, d_auc=always(1.0), held_out_auc=always(0.7), overfit=always(0.9), swd=FAR)
    assert found({"probes": learned}).keys() >= {"memorization"}
    assert "discriminator_wins" not in found({"probes": learned})


def test_a_discriminator_that_is_held_down_is_blind() -> None:
    files = {
        "log": rows(healthy_log, d_loss=always(0.6931)),
        "probes": rows(healthy_probe, d_auc=lambda step: 0.3 + 0.5 * (step % 400 == 0), swd=FAR),
    }
    assert found(files)["generator_wins"].severity is Severity.SEVERE
    assert "generator_wins" not in found(files, {**CONFIG, "loss": {"class": "wasserstein"}})


def test_a_first_step_that_was_far_too_large() -> None:
    lost = rows(healthy_probe, swd=FAR, at_bound=always(1.0), g_first_step=lambda step: 25.0 if step == 200 else None)
    findings = diagnose(CONFIG, probes=lost)
    assert (findings[0].kind, findings[0].since_step) == ("huge_steps", 0)
    assert "by 2500% of their size" in findings[0].cause
    fine = rows(healthy_probe, g_first_step=lambda step: 25.0 if step == 200 else None)
    assert all(it.ended for it in diagnose(CONFIG, probes=fine))


def test_columns_of_few_rows_tell_nothing() -> None:
    assert found({"probes": rows(healthy_probe, fake_max=always("unknown"))}) == {}
    assert found({"probes": rows(healthy_probe, swd=lambda step: 1.0 if step < 400 else "unknown")}) == {}


def test_a_young_generator_shows_little() -> None:
    assert found({"probes": rows(healthy_probe, 6, diversity=always(0.1))}) == {}


def test_a_collapse_is_severe_only_when_it_stays() -> None:
    short = rows(healthy_probe, diversity=lambda step: 0.1 if 3000 <= step < 4500 else 1.0)
    assert found({"probes": short})["mode_collapse"].severity is Severity.WARNING
    assert found(SICK["mode_collapse"])["mode_collapse"].severity is Severity.SEVERE


@pytest.mark.parametrize("name", ["modes", "classes"])
def test_modes_and_classes_that_are_lost_again_are_a_collapse(name: str) -> None:
    modes = [{"step": 500 * i, "nimg": i, name: it, "swd": 0.1} for i, it in enumerate([3, 8, 8, 8, 2, 2, 2, 2])]
    assert found({"metrics": modes}, {})["mode_collapse"].severity is Severity.SEVERE


def test_a_bare_file_of_metrics_is_enough() -> None:
    """As another program wrote it, under names of its own."""
    lines = [{"step": 1000 * i, "fid50k_full": it} for i, it in enumerate([90.0, 30.0, 12.0, 40.0, 80.0, 120.0])]
    finding = found({"metrics": lines}, {})["past_best"]
    assert finding.evidence["best_step"] == 2000
    assert finding.evidence["times_worse"] == pytest.approx(80 / 12, rel=1e-3)
    assert finding.severity is Severity.SEVERE
    assert "step 2,000" in finding.cause


def test_only_what_was_measured_alike_is_compared() -> None:
    lines = [{"step": i, "kid": 0.05, "modes": 8, "features": "classifier"} for i in range(2, 6)]
    lines[0]["kid"] = 0.06
    others = [{"step": i, "kid": 0.3, "modes": 2, "features": "inception"} for i in range(6, 16)]
    others[1]["kid"] = 0.28
    assert found({"metrics": [*lines, *others]}) == {}
    alike = [{**row, "features": "classifier"} for row in others]
    assert found({"metrics": [*lines, *alike]}).keys() == {"past_best", "mode_collapse"}


@pytest.mark.parametrize("name", ["accuracy", "d_loss", "fid_std", "fake_samples"])
def test_a_number_of_which_it_is_not_known_which_way_it_is_better_is_not_judged(name: str) -> None:
    assert found({"metrics": [{"step": i, name: 0.2 + i} for i in range(20)]}, {}) == {}


@pytest.mark.parametrize("name", ["pr50k3_full_recall", "IS_mean", "inception_score_mean"])
def test_scores_of_other_programs_of_which_more_is_better(name: str) -> None:
    lines = [{"step": i, name: it} for i, it in enumerate([0.1, 0.5, 0.9, 0.4, 0.3, 0.3])]
    assert found({"metrics": lines}, {}).keys() == {"past_best"}


def test_a_score_that_fell_to_nothing_is_told_as_it_is() -> None:
    lines = [{"step": i, "recall": it} for i, it in enumerate([0.1, 0.5, 0.9, 0.0, 0.0, 0.0])]
    finding = found({"metrics": lines}, {})["past_best"]
    assert "best at step 2 (0.9) and has been 0 for 3 evaluations" in finding.cause
    assert finding.evidence == {"recall": 0.0, "best": 0.9, "best_step": 2.0}


def test_a_best_that_may_as_well_be_zero_is_no_measure_of_what_is_severe() -> None:
    def judged(last: float, std: float) -> Finding | None:
        kids = [0.1, -0.0001, last, last, last]
        return found({"metrics": [{"step": i, "kid": it, "kid_std": std} for i, it in enumerate(kids)]}, {}).get(
            "past_best"
        )

    assert judged(0.0002, 1e-4) is None
    assert judged(0.0005, 0) is None
    finding = judged(0.03, 1e-4)
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert finding.evidence["times_worse"] == 100


def test_noise_is_not_worse_than_the_best() -> None:
    noisy = [{"step": i, "kid": it, "kid_std": 0.02} for i, it in enumerate([0.1, 0.01, 0.03, 0.04, 0.05])]
    assert found({"metrics": noisy}) == {}


def test_higher_is_better_where_metrics_say_so() -> None:
    assert {name for name, way in BETTER.items() if way == "higher"} <= HIGHER_IS_BETTER
    assert {name for name, way in BETTER.items() if way == "lower"} <= LOWER_IS_BETTER
    lines = [{"step": i, "high_quality": it} for i, it in enumerate([0.1, 0.9, 0.4, 0.3, 0.3])]
    assert "past_best" in found({"metrics": lines}, {})
