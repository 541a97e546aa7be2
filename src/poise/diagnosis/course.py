"""The course of a run so far: the numbers that detectors read."""

from collections import deque
from collections.abc import Iterator, Mapping
from math import isfinite, log
from statistics import median
from typing import Any

__all__ = ["Course", "Points", "Series", "how_measured"]

Row = Mapping[str, Any]
Points = list[tuple[int, float]]
"""Steps, each with a number."""

# What two rows must have in common, for their numbers to be compared.
_HOW = ("features", "features_id", "real_samples", "fake_samples", "seed")

# So many rows are remembered: what detectors look back on, and what was at the beginning.
_RECENT, _EARLY = 512, 32

# At the logit c that is best for all: 2 log(1 + e^0) at c = 0; max(0, 1 - c) + max(0, 1 + c) at any c in [-1, 1];
# (c - 1)^2 / 2 + c^2 / 2 at c = 1/2; of differences log(1 + e^0), for the relativistic average once for each side.
_BLIND = {
    "vanilla": 2 * log(2),
    "minimax": 2 * log(2),
    "hinge": 2.0,
    "lsgan": 0.25,
    "relativistic": log(2),
    "relativistic_average": 2 * log(2),
}

# The share of a run, or the number of measurements, after which early trouble is over.
_LATE, _MANY_PROBES = 1 / 3, 60


class Series:
    """Rows of one file, in the order of their steps: the first ones and the latest.

    A row without a step that can be reckoned with is placed after the one before it.
    """

    def __init__(self, recent: int | None = _RECENT) -> None:
        self._recent: deque[tuple[int, Row]] = deque(maxlen=recent)
        self._columns: dict[str, _Column] = {}
        self._holes: deque[tuple[int, int, list[str]]] = deque()
        self.count = 0

    def add(self, row: Row) -> None:
        """Take the next row."""
        step = number(row.get("step"))
        here = (self.last_step + 1 if step is None else int(step), row)
        self._recent.append(here)
        holes = []
        for name, given in row.items():
            value = number(given)
            if value is not None:
                self._column(name).append(self.count, here[0], value)
            elif given is None or (isinstance(given, float) and not isfinite(given)):
                holes.append(name)
        if holes:
            self._holes.append((self.count, here[0], holes))
        self.count += 1

    def _column(self, name: str) -> "_Column":
        if name not in self._columns:
            self._columns[name] = _Column(self._recent.maxlen)
        return self._columns[name]

    @property
    def last_step(self) -> int:
        """The step of the last row; 0 before the first."""
        return self._recent[-1][0] if self._recent else 0

    def points(self, name: str) -> Points:
        """The latest steps that have the number ``name``, with it."""
        column = self._columns.get(name)
        return column.since(self.count - len(self._recent)) if column else []

    def hole(self, *names: str) -> tuple[int, list[str]] | None:
        """The first of the latest rows that has some of these names without a number: its step, and which."""
        while self._holes and self._holes[0][0] < self.count - len(self._recent):
            self._holes.popleft()
        found = ((step, [name for name in names if name in holes]) for _, step, holes in self._holes)
        return next(((step, holes) for step, holes in found if holes), None)

    def last(self, name: str, count: int) -> Points:
        """The last ``count`` of them; none where there are fewer."""
        found = self.points(name)
        return found[-count:] if len(found) >= count else []

    def latest(self, name: str) -> float | None:
        """The last number of this name."""
        found = self.last(name, 1)
        return found[0][1] if found else None

    def early(self, name: str, count: int = _EARLY) -> float | None:
        """The median of the first ``count`` numbers of this name."""
        found = self._columns[name].early[:count] if name in self._columns else []
        return median(value for _, value in found) if found else None

    def first(self, name: str) -> tuple[int, float] | None:
        """The first of them."""
        return next(iter(self._columns[name].early), None) if name in self._columns else None

    @property
    def rows(self) -> Iterator[Row]:
        """The latest rows."""
        return (row for _, row in self._recent)


class _Column:
    """The numbers of one name: detectors ask for them at every row, and most of a row is of other names."""

    def __init__(self, recent: int | None) -> None:
        self._rows: deque[int] = deque(maxlen=recent)
        self._points: deque[tuple[int, float]] = deque(maxlen=recent)
        self.early: Points = []

    def append(self, row: int, step: int, value: float) -> None:
        self._rows.append(row)
        self._points.append((step, value))
        if row < _EARLY:
            self.early.append((step, value))

    def since(self, row: int) -> Points:
        """Those of this row and later ones; what is before is forgotten."""
        while self._rows and self._rows[0] < row:
            self._rows.popleft()
            self._points.popleft()
        return list(self._points)


class Course:
    """A run up to some row.

    Args:
        config: its settings; empty where they are not known.

    Attributes:
        log: the ticks.
        metrics: the evaluations since numbers are measured as they are now; all of them are remembered.
        probes: what the watch measured.
        events: what happened.
    """

    def __init__(self, config: Row) -> None:
        self.config = config
        self.log, self.probes = Series(), Series()
        self.metrics, self.events = Series(None), Series()

    @property
    def step(self) -> int:
        """The last step that any row is of."""
        return max(series.last_step for series in (self.log, self.metrics, self.probes, self.events))

    @property
    def loss(self) -> str | None:
        """The name of the adversarial loss, where it is known."""
        name = self.setting("loss", "class")
        return name if isinstance(name, str) else None

    def setting(self, *path: str) -> Any:
        """A setting by its path; None where it is not known."""
        found: Any = self.config
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    @property
    def end_step(self) -> float | None:
        """About the step at which the run ends, where that is known."""
        ends = [number(self.setting("steps"))]
        last = next((row for row in reversed(list(self.log.rows)) if number(row.get("nimg"))), None)
        kimg = number(self.setting("kimg"))
        if kimg is not None and last is not None and number(last.get("step")):
            ends.append(1000 * kimg * last["step"] / last["nimg"])
        return min((end for end in ends if end is not None), default=None)

    @property
    def share(self) -> float | None:
        """The share of the run that is done, where that is known."""
        return None if not self.end_step else min(self.step / self.end_step, 1.0)

    @property
    def blind_loss(self) -> float | None:
        """D's least loss where it gives all samples one logit, for losses of D that are 0 where it is perfect."""
        return _BLIND.get(self.loss or "")

    @property
    def is_late(self) -> bool:
        """Whether what is wrong is not likely to pass by itself: after a third of the run, or many measurements."""
        return self.share is None or self.share >= _LATE or self.probes.count >= _MANY_PROBES

    @property
    def distance_left(self) -> float | None:
        """The share of the distance to the data that is left: 1 at the start, 0 with fakes as near as reals are."""
        first, recent = self.probes.first("swd"), self.probes.last("swd", 4)
        floor = self.probes.latest("swd_floor")
        if first is None or not recent or floor is None or first[1] <= floor:
            return None
        return (median(value for _, value in recent) - floor) / (first[1] - floor)


def how_measured(row: Row) -> dict[str, Any]:
    """How an evaluation's numbers were measured: only those that were measured alike are compared."""
    return {name: row[name] for name in _HOW if name in row}


def number(value: Any) -> float | None:
    """A number that can be reckoned with, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 2**63 and isfinite(value) else None
