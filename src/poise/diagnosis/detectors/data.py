"""What is wrong with the data, or with the way from it."""

from poise.diagnosis.course import Course
from poise.diagnosis.detectors.sign import SEVERE, WARNING, Sign, rounded

__all__ = ["data_starved", "degenerate_data"]


def data_starved(course: Course) -> Sign | None:
    """Steps that wait for real batches for a good part of their time."""
    recent = course.log.last("data_wait", 5)
    if not recent:
        return None
    least = min(value for _, value in recent)
    if least < 0.2:
        return None
    return Sign(
        WARNING,
        rounded(data_wait=recent[-1][1], img_per_s=course.log.latest("img_per_s")),
        f"{least:.0%} of the time goes by waiting for real batches: the loader is what limits the speed.",
        "Prepare the data with poise.data.load, which decodes it once; or give the loader more workers.",
        recent[0][0],
    )


def degenerate_data(course: Course) -> Sign | None:
    """Many samples of the data that show nothing, or that are the same."""
    constant, repeated = course.probes.latest("data_constant"), course.probes.latest("data_repeated")
    if (constant or 0.0) < 0.02 and (repeated or 0.0) < 0.3:
        return None
    empty = (constant or 0.0) >= 0.02
    what = f"{constant:.0%} of the samples are of one value all over" if empty else f"{repeated:.0%} are repetitions"
    return Sign(
        SEVERE if max(constant or 0.0, (repeated or 0.0) - 0.3) >= 0.2 else WARNING,
        rounded(data_constant=constant, data_repeated=repeated),
        f"The data is not what it seems: {what}; G will learn to make these.",
        "Remove empty and repeated samples from the data.",
        0,
    )
