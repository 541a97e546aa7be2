"""Numbers of the steps since the last tick, kept on the device until a tick reads them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Meters", "Signals"]

# So many values of a name wait before they are added up.
_FOLD = 256


class Meters:
    """Collects scalar tensors by name without reading them; reading waits for the device once."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self.latest: dict[str, Tensor] = {}

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Add one value of each name."""
        for name, value in scalars.items():
            values = self._values.setdefault(name, [])
            values.append(value)
            if len(values) == _FOLD:
                self._fold(name)
        self.latest.update(scalars)

    def _fold(self, name: str) -> None:
        """Add up the values that wait, so that a long time without a tick takes no more memory."""
        self._sums[name] = self._total(name)
        self._counts[name] = self._counts.get(name, 0) + len(self._values[name])
        self._values[name] = []

    def means(self) -> dict[str, float]:
        """The mean of each name's values since :meth:`clear`, in the order the names first came."""
        if not self._values:
            return {}
        totals = torch.stack([self._total(name) for name in self._values]).tolist()
        counts = [self._counts.get(name, 0) + len(values) for name, values in self._values.items()]
        return {name: total / count for name, total, count in zip(self._values, totals, counts, strict=True)}

    def _total(self, name: str) -> Tensor:
        """The sum of a name's values since the last tick."""
        parts = [self._sums[name]] if name in self._sums else []
        if self._values[name]:
            parts.append(torch.stack(self._values[name]).double().sum())
        return torch.stack(parts).sum()

    def clear(self) -> None:
        """Begin a new tick."""
        self._values, self._sums, self._counts = {}, {}, {}

    def state_dict(self) -> dict[str, Any]:
        """The values of a tick that is not over, and the latest signals."""
        return {
            "values": {name: torch.stack(values) if values else [] for name, values in self._values.items()},
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "latest": dict(self.latest),
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take back what :meth:`state_dict` gave, on ``device``."""
        self._values = {
            name: list(values.to(device).unbind()) if len(values) else [] for name, values in state["values"].items()
        }
        self._sums = {name: total.to(device) for name, total in state["sums"].items()}
        self._counts = dict(state["counts"])
        self.latest = {name: value.to(device) for name, value in state["latest"].items()}


class Signals(Mapping[str, float]):
    """The latest numbers by their log names; a number is read from the device only when it is asked for.

    Args:
        meters: where the latest numbers are.
        ahead: what comes before them: numbers that are made when they are asked for.
    """

    def __init__(self, meters: Meters, ahead: Mapping[str, Callable[[], Tensor]] | None = None) -> None:
        self._meters = meters
        self._ahead = ahead or {}

    def __getitem__(self, name: str) -> float:
        value = self._ahead[name]() if name in self._ahead else self._meters.latest[name]
        return float(value.detach())

    def __iter__(self) -> Iterator[str]:
        return iter({**self._meters.latest, **self._ahead})

    def __len__(self) -> int:
        return len({**self._meters.latest, **self._ahead})
