"""The errors that poise raises: one root, and for each what was given, what is allowed and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PoiseError(Exception):
    """Root of every error that poise raises on purpose; its message is one short paragraph for a person.

    Attributes:
        is_known_to_all: whether every process of the training raises it, so that one of them has to say it.
    """

    is_known_to_all = False


class ConfigError(PoiseError, ValueError):
    """A setting is unknown, has a wrong value, or contradicts another."""


class DataError(PoiseError, ValueError):
    """The data cannot be read or cannot be used as asked."""


class ShapeError(PoiseError, ValueError):
    """Two tensors, or a network and its data, do not fit each other."""


class RunError(PoiseError, RuntimeError):
    """A run directory cannot be used: locked, foreign, damaged or not writable."""


class CheckpointError(RunError):
    """A checkpoint is damaged or does not belong to these networks."""


class DeviceError(PoiseError, RuntimeError):
    """The device or precision that was asked for is not there."""


class StudyError(PoiseError, RuntimeError):
    """A study cannot go on: its storage is gone, or none of its trials can be carried out."""


class StorageError(StudyError):
    """The storage of a study does not answer."""


class NonFiniteError(PoiseError, RuntimeError):
    """A loss or a gradient is NaN or infinite; no weight was changed by it."""


class PeerError(PoiseError, RuntimeError):
    """Another process of the same training has ended, or cannot be reached."""


class MetricError(PoiseError, ValueError):
    """A metric cannot be computed of these samples: too few, not finite, without labels, or without their features."""


class MissingExtraError(PoiseError, ImportError):
    """An optional dependency is needed and not installed."""


# So many names are told at once.
_SHOWN = 24


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what ``name`` may have meant: ``"(did you mean 'stride'?)"``, or the list of known names.

    Args:
        name: what was given.
        known: the names that are allowed.
    """
    known = sorted(known)
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    if match:
        return f"(did you mean '{match[0]}'?)"
    if not known:
        return "(none is known)"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN + 1 else ""
    return f"(known: {', '.join(known[: _SHOWN if more else None])}{more})"
