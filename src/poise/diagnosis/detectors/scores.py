"""What evaluations tell: the best is past, or never came."""

import re
from collections.abc import Iterable
from math import inf, isfinite
from statistics import median

from poise.diagnosis.course import Course, Points, number
from poise.diagnosis.detectors.sign import SEVERE, WARNING, Sign, rounded

__all__ = ["HIGHER_IS_BETTER", "LOWER_IS_BETTER", "is_score", "no_progress", "past_best"]

HIGHER_IS_BETTER = frozenset(
    {"precision", "recall", "density", "coverage", "modes", "classes", "high_quality", "is", "inception_score", "isc"}
)
"""Scores of which more is better."""

LOWER_IS_BETTER = frozenset(
    {"fid", "sfid", "fd", "kid", "swd", "mmd", "ppl", "mixture_kl", "modes_kl", "classes_kl"}
    | {"frechet_inception_distance", "kernel_inception_distance", "perceptual_path_length"}
)
"""Scores of which less is better."""

_EVALUATIONS = 3
_TAU = 1.3
_MANY = 10

# The share of a run in which scores may still go up and down.
_EARLY = 0.25


def chosen(course: Course) -> str | None:
    """The number by which the run is judged: the one that it chooses checkpoints by, else the first known score."""
    wanted = course.setting("evaluate", "metric")
    rows = list(course.metrics.rows)
    names = [name for row in rows[:1] for name, value in row.items() if number(value) is not None]
    if isinstance(wanted, str) and wanted in names:
        return wanted
    return next(filter(is_score, names), None)


def is_score(name: str) -> bool:
    """Whether it is known which way a number is better.

    >>> [is_score(name) for name in ("fid50k_full", "kid_std", "d_loss")]
    [True, False, False]
    """
    return not name.endswith("_std") and (_is(name, LOWER_IS_BETTER) or _is_higher_better(name))


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
    times = _times(course, name, median(recent), best)
    since = f"{times:.2g} times worse" if isfinite(times) else "0"
    is_early = course.share is not None and course.share < _EARLY
    is_known = _is_higher_better(name) or best >= _noise(course, name)
    return Sign(
        SEVERE if times >= 2 and is_known and not is_early else WARNING,
        rounded(
            **{name: recent[-1], "best": best, "best_step": float(best_step)},
            times_worse=times if isfinite(times) else None,
        ),
        f"{name} was best at step {best_step:,} ({best:.4g}) and has been {since} for {len(recent)} evaluations: from "
        "there on the training spoilt what it had learned.",
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
    first, better = points[0][1], max if _is_higher_better(name) else min
    best = better(value for _, value in points[1:])
    if better(best, first) != first:
        return None
    return Sign(
        WARNING,
        rounded(**{name: points[-1][1], "first": first, "best_since": best}),
        f"{name} has never been better than at the first evaluation.",
        "Begin with the default recipe, and compare the settings.",
        points[0][0],
    )


def _is_higher_better(name: str) -> bool:
    return _is(name, HIGHER_IS_BETTER) and not _is(name, LOWER_IS_BETTER)


def _is(name: str, scores: Iterable[str]) -> bool:
    """Whether it is one of these, as other programs may call it too: in capitals, with what it was measured on."""
    return re.search(rf"(?<![a-z])({'|'.join(scores)})(?![a-z])", name.lower()) is not None


def _times(course: Course, name: str, value: float, best: float) -> float:
    """How many times worse; of a best that may as well be 0, as that of KID, than what it is known to within."""
    if _is_higher_better(name):
        return best / value if value > 0 else inf if best > 0 else 1.0
    known = max(best, _noise(course, name))
    return value / known if known > 0 else 1.0


def _noise(course: Course, name: str) -> float:
    """What differences of a number must be above, to be any."""
    return 3 * (course.metrics.latest(f"{name}_std") or 0.0)


def _is_far_worse(course: Course, name: str, value: float, best: float) -> bool:
    """By more than tau, and by more than what the number is known to within."""
    return _times(course, name, value, best) > _TAU and abs(value - best) > _noise(course, name)
