"""The processes of one training, and what they do together."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from poise.errors import DeviceError, PeerError, PoiseError

__all__ = ["World"]

T = TypeVar("T")


class World:
    """The processes that train together. All of them call the same methods in the same order.

    Alone, every method is the identity, and costs nothing.

    Args:
        rank: the number of this process, in [0, size).
        size: how many there are.

    Raises:
        DeviceError: when there are several, which have not joined each other yet.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        if size > 1 and not distributed.is_initialized():
            raise DeviceError(
                f"the fabric is of {size} processes, which have not joined each other: call fabric.launch() before"
            )
        self.rank = rank
        self.size = size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    # Tensors.

    def sum(self, tensor: Tensor) -> Tensor:
        r"""The sum over processes, the same bits in each; can be differentiated any number of times.

        What is differentiated in the end is the sum of all processes' results, so that a gradient is summed as well:

        .. math:: s = \sum_k t_k, \qquad \frac{\partial}{\partial t_j} \sum_k f_k(s) = \sum_k \nabla f_k(s)
        """
        if self.size == 1:
            return tensor
        summed: Tensor = _Sum.apply(tensor, self)  # type: ignore[no-untyped-call]
        return summed

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes ``(size * n, ...)`` by rank, of ``(n, ...)`` each; differentiable as :meth:`sum`.

        They are summed with zeros in the others' places, which is meant for few numbers, such as logits.
        """
        if self.size == 1:
            return rows
        n = len(rows)
        before, after = (rows.new_zeros(count * n, *rows.shape[1:]) for count in (self.rank, self.size - self.rank - 1))
        return self.sum(torch.cat((before, rows, after)))

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over processes in place, by one reduction of all that are of one type."""
        if self.size > 1:
            for group in _of_one_type(tensors):
                flat = torch.cat([it.reshape(-1) for it in group])
                self._sum_(flat)
                _put_back(flat.div_(self.size), group)

    def broadcast_(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors the values that they have in the first process, by one message for all that are of one type."""
        if self.size > 1:
            for group in _of_one_type(tensors):
                flat = torch.cat([it.detach().reshape(-1) for it in group])
                with self._talking():
                    distributed.broadcast(flat, 0)
                _put_back(flat, group)

    def _sum_(self, tensor: Tensor) -> None:
        with self._talking():
            distributed.all_reduce(tensor)

    # Values of Python.

    def of_first(self, value: T) -> T:
        """The value that the first process has."""
        if self.size == 1:
            return value
        values = [value]
        with self._talking():
            distributed.broadcast_object_list(values, 0)
        return values[0]

    def of_all(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self._talking():
            distributed.all_gather_object(values, value)
        return values

    def any_of(self, value: T | None) -> T | None:
        """The value of the lowest rank that has one; one number is exchanged where nobody has."""
        return self.ask(value)()

    def ask(self, value: T | None) -> Callable[[], T | None]:
        """Begin :meth:`any_of`; what is returned waits for the answer, and is called before anything else is asked."""
        if self.size == 1:
            return lambda: value
        has_one = torch.tensor([float(value is not None)])
        with self._talking():
            asked = distributed.all_reduce(has_one, async_op=True)

        def answer() -> T | None:
            with self._talking():
                asked.wait()
            return next(it for it in self.of_all(value) if it is not None) if float(has_one) else None

        return answer

    # Work.

    def by_first(self, work: Callable[[], T]) -> T:
        """Let the first process work, and give all what came of it.

        Raises:
            Exception: what the first process raised, in every process.
        """
        if self.size == 1:
            return work()
        result, error = self.of_first(_tried(work) if self.is_first else (None, None))
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def first_then_others(self, work: Callable[[], T]) -> T:
        """Let the first process work, then the others, who may find what it left.

        Raises:
            Exception: what the lowest rank that failed raised, in every process.
        """
        if self.size == 1:
            return work()
        result: T | None = None
        for turn in (True, False):
            error = None
            if self.is_first == turn:
                result, error = _tried(work)
            self._raise(error)
        return result  # type: ignore[return-value]

    def share(self, count: int) -> slice:
        """The part of ``count`` things that is this process's: all parts differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def spread(self, count: int, work: Callable[[slice], Tensor]) -> Tensor:
        """The rows ``(count, ...)`` of which each process makes its share; where one fails, all do.

        Args:
            count: how many rows.
            work: makes some of them, on the CPU.

        Raises:
            Exception: what the lowest rank that failed raised, in every process.
        """
        if count < self.size or self.size == 1:
            return work(slice(0, count))
        rows, error = _tried(lambda: work(self.share(count)))
        self._raise(error)
        return torch.cat(self.of_all(rows))  # type: ignore[arg-type]

    def _raise(self, error: Exception | None) -> None:
        """Raise in all processes what one of them caught."""
        found = self.any_of(error)
        if found is not None:
            raise found

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, PoiseError):
                raise
            raise PeerError(
                f"another of the {self.size} processes of this training has ended, or cannot be reached "
                f"({_in_short(error)})"
            ) from error


class _Sum(torch.autograd.Function):
    """See :meth:`World.sum`."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, world: World) -> Tensor:
        ctx.world = world
        summed = tensor.clone(memory_format=torch.contiguous_format)
        world._sum_(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.world.sum(gradient), None


def _in_short(error: RuntimeError) -> str:
    """The first sentence, without the place in a library's source."""
    return re.sub(r"^\[[^]]*\]\s*", "", str(error)).splitlines()[0].partition(". ")[0][:200]


def _of_one_type(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


@torch.no_grad()
def _put_back(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = torch.split(flat, [it.numel() for it in tensors])
    torch._foreach_copy_(list(tensors), [part.view(it.shape) for part, it in zip(parts, tensors, strict=True)])


def _tried(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """What came of work, or what it raised, as all processes can know it: not every class of errors can be sent."""
    try:
        return work(), None
    except PeerError:
        raise
    except Exception as error:
        known: Any = error if isinstance(error, PoiseError) else RuntimeError(f"{type(error).__name__}: {error}")
        known.is_known_to_all = True
        return None, known
