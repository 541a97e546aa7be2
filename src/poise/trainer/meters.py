"""Numbers of the steps since the last tick, kept on the device until a tick reads them."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

__all__ = ["Meters", "Signals"]


class Meters:
    """Collects scalar tensors by name without reading them; reading waits for the device once."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self.latest: dict[str, Tensor] = {}

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Add one value of each name."""
        for name, value in scalars.items():
            self._values.setdefault(name, []).append(value)
        self.latest.update(scalars)

    def means(self) -> dict[str, float]:
        """The mean of each name's values since :meth:`clear`, in the order the names first came."""
        if not self._values:
            return {}
        means = torch.stack([torch.stack(values).double().mean() for values in self._values.values()])
        return dict(zip(self._values, means.tolist(), strict=True))

    def clear(self) -> None:
        """Begin a new tick."""
        self._values = {}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The values of a tick that is not over, and the latest signals."""
        return {
            "values": {name: torch.stack(values) for name, values in self._values.items()},
            "latest": dict(self.latest),
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self._values = {name: list(values.unbind()) for name, values in state["values"].items()}
        self.latest = dict(state["latest"])


class Signals(Mapping[str, float]):
    """The latest numbers by their log names; a number is read from the device only when it is asked for."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def __getitem__(self, name: str) -> float:
        return float(self._meters.latest[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._meters.latest)

    def __len__(self) -> int:
        return len(self._meters.latest)
