"""What is wrong with the samples themselves."""

from poise.diagnosis.course import Course
from poise.diagnosis.detectors.sign import INFO, SEVERE, WARNING, Sign, rounded

__all__ = ["augmentation_leak", "checkerboard", "mode_collapse", "oscillation", "range_mismatch", "saturated_output"]

_PROBES = 4

# A generator may show little for a while and find the rest: so many measurements are a warning, so many more severe.
_COLLAPSED, _LONG = 6, 10


def mode_collapse(course: Course) -> Sign | None:
    """Fakes that differ from each other far less than reals do, fully or in part; or that miss modes and classes."""
    recent = course.probes.last("diversity", _COLLAPSED)
    share = course.share
    if recent and (share is None or share >= 0.15):
        most = max(value for _, value in recent)
        nearest = course.probes.last("nearest", _COLLAPSED)
        close = max((value for _, value in nearest), default=1.0)
        distances = course.probes.last("swd", _COLLAPSED)
        comes_nearer = bool(distances) and distances[-1][1] < 0.85 * distances[0][1]
        is_growing = recent[-1][1] > 1.15 * recent[0][1]
        if is_growing or comes_nearer:
            return _missing(course)
        if most < 0.4 or close < 0.1:
            long_ago = course.probes.last("diversity", _LONG)
            return _collapsed(
                course.is_late and bool(long_ago) and max(value for _, value in long_ago) < 0.25,
                rounded(diversity=recent[-1][1], nearest=nearest[-1][1] if nearest else None),
                recent[0][0],
            )
    return _missing(course)


def _missing(course: Course) -> Sign | None:
    """What evaluations know of coverage."""
    for name, least in (("coverage", 0.2), ("recall", 0.05)):
        recent = course.metrics.last(name, 3)
        best = max((value for _, value in course.metrics.points(name)), default=0.0)
        if recent and max(value for _, value in recent) < least and best >= 2 * least:
            return _collapsed(False, rounded(**{name: recent[-1][1], "best": best}), recent[0][0])
    for name in ("modes", "classes"):
        recent = course.metrics.last(name, 3)
        most = max((value for _, value in course.metrics.points(name)), default=0.0)
        now = max((value for _, value in recent), default=0.0)
        if recent and most >= 4 and now <= 0.6 * most:
            return _collapsed(now <= 0.25 * most, rounded(**{name: recent[-1][1], "once": most}), recent[0][0])
    return None


def _collapsed(fully: bool, evidence: dict[str, float], since: int) -> Sign:
    how = "hardly differ from each other" if fully else "show only a part of the data's variety"
    return Sign(
        SEVERE if fully else WARNING,
        evidence,
        f"Mode collapse: samples of different latents {how}; G has found a few samples that D does not tell.",
        "Go back to a checkpoint from before, with a gradient penalty (r1 and r2) or twice its weight, the "
        "relativistic loss, or half of g_optimizer.lr; minibatch_stddev in D shows it the lack of variety.",
        since,
    )


def oscillation(course: Course) -> Sign | None:
    """Samples of the same latents that keep jumping while they do not come nearer to the data."""
    moved, distances = course.probes.last("moved", 8), course.probes.last("swd", 16)
    floor = course.probes.latest("swd_floor")
    if not moved or not distances or floor is None:
        return None
    far = min(value for _, value in moved)
    values = [value for _, value in distances]
    before, now = sorted(values[:8]), sorted(values[8:])
    if far < 0.6 or now[4] < 0.9 * before[4] or now[4] < 3 * floor:
        return None
    return Sign(
        WARNING,
        rounded(moved=moved[-1][1], swd=now[4], swd_before=before[4], swd_floor=floor),
        "Samples of the same latents keep jumping and come no nearer to the data: the players chase each other.",
        "Lower both learning rates, take beta1 = 0, raise r1, or let both decay to zero by a cosine schedule.",
        moved[0][0],
    )


def saturated_output(course: Course) -> Sign | None:
    """Far more values of fakes at the bounds of their range than of reals."""
    recent, real = course.probes.last("at_bound", 3), course.probes.latest("real_at_bound")
    if not recent or real is None:
        return None
    least = min(value for _, value in recent)
    if least < real + 0.3 or least < 0.5:
        return None
    return Sign(
        SEVERE if least > 0.95 else WARNING,
        rounded(at_bound=recent[-1][1], real_at_bound=real),
        f"{least:.0%} of the values of samples stand at the bounds of their range, {real:.0%} of the data's do: G's "
        "last layer is saturated and passes on no gradient.",
        "Lower g_optimizer.lr, or begin anew with smaller initial weights.",
        recent[0][0],
    )


def range_mismatch(course: Course) -> Sign | None:
    """Fakes that can never have the values that reals have."""
    probes = course.probes
    lows, highs = probes.points("fake_min"), probes.points("fake_max")
    low, high = probes.latest("real_min"), probes.latest("real_max")
    if len(lows) < 4 or not highs or low is None or high is None or high <= low:
        return None
    least, most = min(value for _, value in lows), max(value for _, value in highs)
    edge = probes.last("at_edge", 3)
    if not edge or min(value for _, value in edge) < 0.05:
        return None  # nothing presses against the ends of the range
    margin = 0.2 * (high - low)
    beyond = [value for _, value in highs[-4:]], [value for _, value in lows[-4:]]
    misses = least > low + margin or most < high - margin
    exceeds = min(beyond[0]) > high + 2 * (high - low) or max(beyond[1]) < low - 2 * (high - low)
    if not misses and not exceeds:
        return None
    return Sign(
        SEVERE,
        rounded(real_min=low, real_max=high, fake_min=least, fake_max=most),
        f"The data's values lie between {low:.3g} and {high:.3g}, and those of samples between {least:.3g} and "
        f"{most:.3g}: G's last activation does not fit the data's range.",
        "Scale the data to [-1, 1] and end G with tanh, or end G without an activation.",
        lows[0][0],
    )


def checkerboard(course: Course) -> Sign | None:
    """Far more energy at the highest frequency than the data has."""
    recent, share = course.probes.last("checkerboard", 4), course.share
    if not recent or (share is not None and share < 0.3):
        return None
    least = min(value for _, value in recent)
    if least < 10:
        return None
    return Sign(
        INFO if least < 100 else WARNING,
        rounded(checkerboard=recent[-1][1]),
        f"Neighbouring pixels of samples alternate with {least:,.0f} times the energy that they have in the data: a "
        "checkerboard, as strided transposed convolutions make it.",
        "Resize and convolve instead of deconv, or take a kernel that the stride divides.",
        recent[0][0],
    )


def augmentation_leak(course: Course) -> Sign | None:
    """Fakes that are nearer to augmented reals than to reals."""
    augmented, plain = course.probes.last("swd_augmented", 4), course.probes.last("swd", 4)
    floor = course.probes.latest("swd_floor")
    if not augmented or not plain or floor is None:
        return None
    pairs = [(left, right) for (_, left), (_, right) in zip(augmented, plain, strict=True)]
    if not all(left < 0.6 * right and right > 2 * floor for left, right in pairs):
        return None
    return Sign(
        WARNING,
        rounded(swd_augmented=augmented[-1][1], swd=plain[-1][1], swd_floor=floor),
        "Samples are nearer to augmented real images than to real ones: G imitates the augmentation.",
        "Lower the probability of augmentation below 0.8, or leave out what leaks.",
        augmented[0][0],
    )
