"""What evaluations tell: the best is past, or never came."""

from statistics import median

from poise.diagnosis.course import Course, Points
from poise.diagnosis.detectors.sign import SEVERE, WARNING, Sign, rounded

__all__ = ["HIGHER_IS_BETTER", "no_progress", "past_best"]

HIGHER_IS_BETTER = frozenset(
    {"precision", "recall", "density", "coverage", "modes", "classes", "high_quality", "is", "inception_score", "isc"}
)
"""Numbers of which more is better; of all others less is."""

_NOT_SCORES = frozenset({"step", "nimg", "seed", "real_samples", "fake_samples", "seconds", "kimg", "epoch"})
_EVALUATIONS = 3
_TAU = 1.3
_MANY = 10

# The share of a run in which scores may still go up and down.
_EARLY = 0.25


def chosen(course: Course) -> str | None:
    """The number by which the run is judged: the one that it chooses checkpoints by, else the first one."""
    wanted = course.setting("evaluate", "metric")
    rows = list(course.metrics.rows)
    names = [
        name
        for row in rows[:1]
        for name, value in row.items()
        if name not in _NOT_SCORES and not name.endswith("_std") and isinstance(value, int | float)
    ]
    if isinstance(wanted, str) and wanted in names:
        return wanted
    return next(iter(names), None)


def past_best(course: Course) -> Sign | None:
    """Several evaluations in a row far worse than the best."""
    name = chosen(course)
    points = course.metrics.points(name) if name else []
    if name is None or len(points) <= _EVALUATIONS:
        return None
    best_step, best = (max if _is_higher_better(name) else min)(points, key=lambda it: it[1])
    if best_step == points[0][0] and len(points) < _MANY:
        return None  # what has learned nothing may score better than what has learned a little
    if _comes_nearer(course, best_step):
        return None
    recent = [value for step, value in points[-_EVALUATIONS:] if step > best_step]
    if len(recent) < _EVALUATIONS or not all(_is_far_worse(course, name, value, best) for value in recent):
        return None
    worse = next(step for step, value in points if step > best_step and _is_far_worse(course, name, value, best))
    times = _times(name, median(recent), best)
    is_early = course.share is not None and course.share < _EARLY
    return Sign(
        SEVERE if times >= 2 and not is_early else WARNING,
        rounded(**{name: recent[-1], "best": best, "best_step": float(best_step), "times_worse": times}),
        f"{name} was best at step {best_step:,} ({best:.4g}) and has been {times:.2g} times worse for "
        f"{len(recent)} evaluations: from there on the training spoilt what it had learned.",
        "Take the best checkpoint, which is kept. To go further, begin from there with half of both learning rates, "
        "or let them decay by a cosine schedule.",
        worse,
    )


def _comes_nearer(course: Course, since_step: int) -> bool:
    """Whether samples have come nearer to the data since, so that a score that was better then was good by chance."""
    points = course.probes.points("swd")
    before = [value for step, value in points if step <= since_step]
    return len(points) >= 3 and bool(before) and median(value for _, value in points[-3:]) < 0.8 * before[-1]


def no_progress(course: Course) -> Sign | None:
    """Samples that never came nearer to the data than those of a generator that has learned nothing."""
    first, points = course.probes.first("swd"), course.probes.points("swd")
    floor, share = course.probes.latest("swd_floor"), course.share
    if first is None or floor is None or first[0] > 0 or course.probes.count < 12 or len(points) < 3:
        return _stuck_scores(course)
    if share is not None and share < 0.25:
        return None
    best = min(median(value for _, value in points[i : i + 3]) for i in range(len(points) - 2))
    if best - floor < 0.8 * (first[1] - floor):
        return None
    return Sign(
        SEVERE if share is None or share >= 0.5 else WARNING,
        rounded(swd=points[-1][1], best=best, at_the_start=first[1], swd_floor=floor),
        "Samples are as far from the data as those of the untrained generator were: nothing was learned.",
        "Begin with the default recipe; compare learning rates, loss and penalty weights with its own "
        "(poise train DATA --dry-run prints them).",
        points[0][0],
    )


def _stuck_scores(course: Course) -> Sign | None:
    """The same by evaluations, where nothing was measured at the start."""
    name = chosen(course)
    points: Points = course.metrics.points(name) if name else []
    if name is None or len(points) < 8:
        return None
    first = points[0][1]
    best = (max if _is_higher_better(name) else min)(value for _, value in points[1:])
    if _times(name, best, first) < 1:
        return None
    return Sign(
        WARNING,
        rounded(**{name: points[-1][1], "first": first, "best_since": best}),
        f"{name} has never been better than at the first evaluation.",
        "Begin with the default recipe, and compare the settings.",
        points[0][0],
    )


def _is_higher_better(name: str) -> bool:
    return name in HIGHER_IS_BETTER


def _times(name: str, value: float, best: float) -> float:
    """How many times worse."""
    worse, better = (best, value) if _is_higher_better(name) else (value, best)
    return worse / better if better > 0 else float("inf") if worse > 0 else 1.0


def _is_far_worse(course: Course, name: str, value: float, best: float) -> bool:
    """By more than tau, and by more than what the number is known to within."""
    spread = course.metrics.latest(f"{name}_std") or 0.0
    return _times(name, value, best) > _TAU and abs(value - best) > 3 * spread
