"""Who leads: one player overpowers the other, or D learns its samples by heart."""

from poise.diagnosis.course import Course
from poise.diagnosis.detectors.sign import SEVERE, WARNING, Sign, rounded

__all__ = ["discriminator_wins", "generator_wins", "memorization", "vanishing_generator_gradient"]

# So many ticks or measurements in a row.
_TICKS, _PROBES = 5, 4


def discriminator_wins(course: Course) -> Sign | None:
    """D tells nearly every fake, also beside reals that it was not trained on, while fakes are not getting better."""
    recent = course.probes.last("d_auc", _PROBES)
    if not recent or min(value for _, value in recent) < 0.995 or _is_young(course):
        return None
    held_out = course.probes.last("held_out_auc", _PROBES)
    if held_out and min(value for _, value in held_out) < 0.97:
        return None  # it knows its own samples, and not the data: that is memorization
    progress = course.distance_left
    if progress is not None and progress < 0.7:
        return None
    lost = progress is None or progress > 0.9
    return Sign(
        SEVERE if lost and course.is_late else WARNING,
        rounded(
            d_auc=recent[-1][1],
            held_out_auc=held_out[-1][1] if held_out else None,
            d_accuracy=course.log.latest("d_accuracy"),
            distance_left=progress,
        ),
        "D tells nearly every fake from reals, those that it was never trained on too, and the fakes do not come "
        "nearer: it is too strong for G to learn from.",
        "Lower d_optimizer.lr or D's steps per step of G, or raise D's gradient penalty; balance=auto does that.",
        recent[0][0],
    )


def vanishing_generator_gradient(course: Course) -> Sign | None:
    """G's gradient far below what it was, while D tells nearly every fake."""
    recent, early = course.log.last("g_grad_norm", _TICKS), course.log.early("g_grad_norm", 5)
    accuracy = course.log.last("d_accuracy", _TICKS)
    if not recent or not early or not accuracy or min(value for _, value in accuracy) < 0.98:
        return None
    left = max(value for _, value in recent) / early
    if left > 1e-2:
        return None
    return Sign(
        SEVERE if left < 1e-3 else WARNING,
        rounded(g_grad_norm=recent[-1][1], at_the_beginning=early, d_accuracy=accuracy[-1][1]),
        "D is so sure of every fake that its slope there is next to zero, and G's gradient has vanished with it.",
        "Take a loss that does not saturate (vanilla rather than minimax, relativistic, wasserstein with wgan_gp), add "
        "r1, or lower d_optimizer.lr.",
        recent[0][0],
    )


def generator_wins(course: Course) -> Sign | None:
    """D takes fakes for as real as reals, or for more, although they are far from the data."""
    recent, progress = course.probes.last("d_auc", _PROBES), course.distance_left
    if not recent or _is_young(course) or progress is None or progress < 0.5:
        return None
    best, is_indifferent = max(value for _, value in recent), _is_indifferent(course)
    if best > 0.65 and not is_indifferent:
        return None
    return Sign(
        SEVERE if (best < 0.6 or is_indifferent) and course.is_late else WARNING,
        rounded(
            d_auc=recent[-1][1],
            d_gap=course.probes.latest("d_gap"),
            d_loss=course.log.latest("d_loss"),
            distance_left=progress,
            diversity=course.probes.latest("diversity"),
        ),
        "D cannot tell fakes from reals, although the fakes are far from the data: it is too weak, too slow, or held "
        "down by its penalty.",
        "Raise d_optimizer.lr or D's steps per step of G, lower D's penalty weights, or give D more capacity.",
        recent[0][0],
    )


def _is_indifferent(course: Course) -> bool:
    """Whether D's loss has long been what it is where D gives every sample the same logit."""
    blind, recent = course.blind_loss, course.log.last("d_loss", 2 * _TICKS)
    return blind is not None and bool(recent) and all(abs(it / blind - 1) < 0.002 for _, it in recent)


def memorization(course: Course) -> Sign | None:
    """D takes reals that it was not trained on for fakes; or G's samples are copies of training samples."""
    copies = course.probes.last("copies", 3)
    if copies and max(value for _, value in copies) < 0.35:
        return Sign(
            SEVERE,
            rounded(copies=copies[-1][1]),
            "Samples lie much nearer to training samples than these lie to each other: G reproduces its data.",
            "Use more data, augmentation (augment=ada), a smaller G, or stop earlier.",
            copies[0][0],
        )
    recent, sure = course.probes.last("overfit", _PROBES), course.probes.last("d_gap", _PROBES)
    # Where D hardly tells fakes, the share of a small difference says nothing.
    if not recent or min(value for _, value in recent) < 0.5 or min((value for _, value in sure), default=0.0) < 1:
        return None
    gap = min(value for _, value in recent)
    return Sign(
        SEVERE if gap >= 0.8 else WARNING,
        rounded(overfit=recent[-1][1], d_auc=course.probes.latest("d_auc")),
        "D takes real samples that it was not trained on for fakes: it knows its training samples by heart, and what "
        "it teaches G is no longer about the data.",
        "Augment (augment=ada or diffaugment), raise r1, take a smaller D, get more data, or stop at the best "
        "checkpoint.",
        recent[0][0],
    )


def _is_young(course: Course) -> bool:
    """Whether G has hardly begun."""
    share = course.share
    return course.probes.count < 6 or (share is not None and share < 0.1)
