"""The trainer."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from poise.augment import Augmented
from poise.balance import Alternating, Balance, Role
from poise.constraints import Constrained
from poise.data import Batch, Batches
from poise.ema import Ema
from poise.errors import CheckpointError, ConfigError, NonFiniteError
from poise.files import write_atomic
from poise.losses import LOSSES, AdversarialLoss
from poise.parallel import World, synchronize_batch_norms_
from poise.parallel.batch import randn
from poise.penalties import Scene, Weighted
from poise.schedules import Number, value_at
from poise.trainer.checks import (
    as_batches,
    checked_augment,
    checked_batch,
    checked_classes,
    checked_constraints,
    checked_count,
    checked_labels,
    checked_layers,
    checked_loss,
    checked_penalties,
    checked_plan,
    checked_share,
    checked_sizes,
    checked_top_k,
    fitting_labels,
    warn_of_balance,
)
from poise.trainer.compiled import Compiled
from poise.trainer.devices import autocast_of, choose_execution, make_fabric
from poise.trainer.execution import Eager, Execution, InParts, OverProcesses, in_a_line
from poise.trainer.gather import gathering
from poise.trainer.graphs import CudaRecorder, Graphs
from poise.trainer.guard import Guard
from poise.trainer.hook import Hook
from poise.trainer.meters import Meters, Signals
from poise.trainer.moves import ON_NEW_SAMPLES, Move, Moves, Phase
from poise.trainer.objectives import STRENGTH, Numbers, Objectives
from poise.trainer.player import OptimizerFactory, Player
from poise.trainer.probe import judges_alone, to_channels_last
from poise.trainer.randomness import Randomness, latents
from poise.trainer.state import pack, unpack
from poise.trainer.warmup import WarmUp

__all__ = ["Feed", "Trainer"]

# Radford et al. 2015, section 4
_ADAM: OptimizerFactory = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)

# Beyond that, generators begin to imitate the augmentation: Karras et al. 2020, arXiv 2006.06676, section 2.2.
_AUGMENTED_AT_MOST = 0.8

# What a stretch of randomness is for.
_PLAY, _FEED, _SAMPLE, _LOOK, _BEGIN = range(5)


class Feed(Protocol):
    """Real batches by number, so that a resume finds its place."""

    def batch(self, index: int) -> Batch:
        """The ``index``-th batch, ``(n, ...)``; ``(samples, labels)`` where the networks take classes."""


class Trainer:
    r"""Trains a generator against a discriminator.

    The algorithm is what is passed in: loss times penalties times balance times networks. The networks are used as they
    are, on the fabric's device.

    Args:
        generator: latents ``(n, z_dim)`` to samples ``(n, ...)``.
        discriminator: samples to logits ``(n, 1)``, ``(n,)`` or patches ``(n, 1, h, w)``.
        z_dim: the latent dimension; needed by :meth:`step`, :meth:`fit` and :meth:`sample`.
        loss: what each player minimizes, the non-saturating loss if none is given.
        penalties: further terms of the players' objectives by the names they are logged under.
        constraints: what is done to a player's weights after its updates.
        balance: who moves next; alternating if none is given.
        g_optimizer: gives the generator's optimizer of its weights, such as
            ``partial(torch.optim.Adam, lr=1e-4)``; if none is given, Adam (2e-4, betas 0.5 and 0.999). A
            :class:`~poise.schedules.Scheduled` one changes its settings with progress.
        d_optimizer: the same for the discriminator.
        ema: how the generator's weights are averaged.
        top_k: the share of fakes that the generator is trained on, those with the highest logits.
        warmup: how the generator begins, before the game.
        classes: how many the networks take, if they do: they are called ``G(z, labels)`` and ``D(samples, labels)``,
            with labels int64 ``(n,)`` from 0, and batches are ``(samples, labels)``. Fakes have the reals' labels.
        augment: random changes that D sees in place of samples, real and generated, whoever moves.
        seed: of all randomness.
        fabric: the device and precision, from :func:`~poise.trainer.make_fabric`; the best device there is, in float32,
            if none is given.
        execution: how moves are carried out on the machine: ``eager``, ``compile``, ``graph`` (CUDA graphs), or
            ``auto``. All give the same numbers but for rounding.
        accumulate: take a batch's gradients in so many parts, which need less memory: see
            :class:`~poise.trainer.execution.InParts`.

    Copies of the networks are tried on a few samples, once: where they allow it, images lie in memory with their
    channels next to each other, and D sees reals and fakes in one pass.

    With a fabric of several processes (:func:`~poise.trainer.make_fabric`, then ``fabric.launch()``) each of them makes
    the same trainer and takes its part of each batch; the weights are those that one process would get of the whole.
    Batch norm then has the statistics of the whole batch. What networks draw themselves, such as dropout, follows from
    the rank.

    Attributes:
        world: the processes that train together.
        steps: steps done.
        nimg: real images shown to the discriminator.
        generator, discriminator: the networks.
        average: the averaged generator, in evaluation mode.
        signals: the latest numbers by their log names.

    Raises:
        ConfigError: when a network has nothing to train, or a weight is negative.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        z_dim: int | None = None,
        loss: AdversarialLoss = LOSSES["vanilla"],
        penalties: Mapping[str, Weighted] | None = None,
        constraints: Sequence[Constrained] = (),
        balance: Balance | None = None,
        g_optimizer: OptimizerFactory = _ADAM,
        d_optimizer: OptimizerFactory = _ADAM,
        ema: Ema | None = None,
        top_k: Number = 1.0,
        warmup: WarmUp | None = None,
        classes: int = 0,
        augment: Augmented | None = None,
        seed: int = 0,
        fabric: Fabric | None = None,
        execution: str = "eager",
        accumulate: int = 1,
    ) -> None:
        self.fabric = fabric or make_fabric()
        self.world = World(self.fabric.global_rank, self.fabric.world_size)
        self.device = self.fabric.device
        self.generator = generator.to(self.device).train()
        self.discriminator = discriminator.to(self.device).train()
        self.z_dim = z_dim
        self.classes = checked_classes(classes, generator, discriminator)
        networks = (self.generator, self.discriminator)
        self._autocast = autocast_of(self.fabric)
        self._is_channels_last = z_dim is not None and to_channels_last(*networks, z_dim, self.classes, self.device)
        self.loss = checked_loss(loss)
        self.penalties = checked_penalties(penalties or {})
        self.balance = balance or Alternating()
        warn_of_balance(self.balance, self.loss)
        self.warmup = warmup
        self._warmup_steps = 0 if warmup is None else warmup.steps
        self.ema = ema or Ema()
        constrained = checked_constraints(constraints)
        self._randomness = Randomness(seed, self.world, self.device)
        with self._randomness.stretch(_BEGIN):
            self._players: dict[Role, Player] = {
                "D": Player("D", self.discriminator, d_optimizer, constrained["D"]),
                "G": Player("G", self.generator, g_optimizer, constrained["G"], self.balance.combine),
            }
        self._joint = z_dim is not None and judges_alone(*networks, z_dim, self.classes, self.device)
        self._joint, self._is_channels_last = self.world.of_first((self._joint, self._is_channels_last))
        self._loose_buffers = self._in_step(*networks)
        self.average = self.ema.follow(self.generator)
        self.seed = seed
        self.steps = 0
        self.nimg = 0
        self.stop_reason: str | None = None
        self.meters = Meters()
        self.signals = Signals(self.meters)
        self._layers = checked_layers(self.penalties, self.discriminator)
        self._memory: dict[str, Tensor] = {}
        self.augment = checked_augment(augment)
        adapt = None if augment is None else augment.adaptive
        self._objectives = Objectives(self.loss, self.penalties, self.balance, checked_top_k(top_k), adapt)
        self._moves = Moves(self._players, self._objectives, warmup, self.device)
        if warmup is not None:
            self._loose_buffers += self._in_step(self._moves["W"].player.module)
        self._guard = Guard(self.device)
        self._guard.adopt(self._moves.optimizers)
        self._changing: list[Any] = [it for it in (*networks, self.average) if hasattr(it, "progress")]
        self._accumulate = checked_count("accumulate", accumulate)
        self._execution = self._chosen(execution)
        self._is_shared_out = self.world.size == 1
        self._asked: Callable[[], str | None] = _nobody
        self._draws = 0
        self._phases = 0
        self._batch = 0
        self._unseen = 0
        self._averaged_nimg = 0
        self._given: Tensor | None = None
        self._real: Tensor | None = None
        self._labels: Tensor | None = None
        self._ahead: Scene | None = None
        self._seconds = self._waited = 0.0
        self._t0: float | None = None

    def _in_step(self, *networks: nn.Module) -> list[Tensor]:
        """Let networks be the same in all processes; return the buffers that passes may change in each otherwise."""
        if self.world.size == 1:
            return []
        common = {id(it) for network in networks for it in synchronize_batch_norms_(network)}
        tensors = {id(it): it for network in networks for it in (*network.parameters(), *network.buffers())}
        self.world.broadcast_(list(tensors.values()))
        return [
            it for key, it in tensors.items() if not isinstance(it, nn.Parameter) and key not in common and it.numel()
        ]

    def _chosen(self, execution: str) -> Execution:
        chosen = choose_execution(execution, self.device.type, images=self._is_channels_last, processes=self.world.size)
        changes = bool(self._changing)
        made: Execution
        if chosen.value == "graph":
            made = Graphs(CudaRecorder(), list(self._moves.optimizers), changes, self._guard.deferred)
        else:
            made = Compiled(changes) if chosen.value == "compile" else Eager()
        made = made if self._accumulate == 1 else InParts(made, self._accumulate)
        return made if self.world.size == 1 else OverProcesses(made, self.world)

    # One step.

    def step(self, real: Batch | Iterator[Batch]) -> dict[str, Tensor]:
        """Carry out one plan: in each phase first all gradients, then all updates.

        Args:
            real: an iterator of real batches ``(n, ...)``, one for each move of the discriminator; or one batch for
                all. A batch may be ``(samples, labels)``; labels are for networks that take classes. Of several
                processes, each gives its part, all of one size.

        Returns:
            The latest numbers by their log names, scalars on the device; reading one waits for it.

        Raises:
            NonFiniteError: when a loss or gradient is not finite, before the update.
            ConfigError: when there is no batch left, or the policy's plan is none.
        """
        batches = as_batches(real)
        self._given = self._real = self._labels = self._ahead = None
        self._begin_step()
        for phase in self._plan(batches):
            self._take(phase, batches)
            with self._drawing(_PLAY), self._moves.only(phase):
                scene = self._ahead or self._dealt(phase)
                alone = len(phase) == 1 and self._ahead is None
                for turn, moves in enumerate(self._moves.rounds(phase)):
                    scene = scene.again() if turn else scene
                    self._play(moves, scene, alone)
            self._ahead = None
            self._phases += 1
        self.end_step()
        return dict(self.meters.latest)

    def end_step(self) -> None:
        """Average the generator's weights and count a step.

        :meth:`step` does so itself; a loop of :meth:`discriminator_step` and :meth:`generator_step` calls it.
        """
        self.world.broadcast_(self._loose_buffers)
        self.ema.update(self.nimg - self._averaged_nimg or self._batch * self.world.size, self.nimg)
        self._averaged_nimg = self.nimg
        self.steps += 1
        self._moves.end_warmup(self.steps)

    def discriminator_step(self, real: Tensor, z: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Update the discriminator once. See :meth:`end_step`.

        Args:
            real: real samples ``(n, ...)``.
            z: latents ``(n, z_dim)``.
            labels: the classes of the real samples, ``(n,)``, for networks that take them.

        Returns:
            ``d_loss`` (adversarial), each penalty as ``<name>_loss`` (its weight times its mean), ``d_loss_total``
            (what was minimized: ``d_loss`` plus each penalty times its ``every``), ``d_real`` and ``d_fake`` (mean
            logits), ``d_accuracy`` (share of pairs that D orders rightly), ``d_grad_norm``; scalars on the device.
        """
        self._given, self._real = real, self._taken(real if labels is None else (real, labels))
        return self._move("D", self._real, z)

    def generator_step(self, z: Tensor, real: Tensor | None = None, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Update the generator once. See :meth:`end_step`.

        Args:
            z: latents ``(n, z_dim)``.
            real: real samples, for losses and penalties whose generator looks at them; if none is given, those of the
                last :meth:`discriminator_step`. Others than these count in ``nimg`` when D sees them.
            labels: the classes of the samples, ``(n,)``; if none are given, those of the last real ones.

        Returns:
            ``g_loss`` (adversarial), each penalty of the generator as ``<name>_loss``, ``g_loss_total``, ``d_fake_g``
            (mean logit of the new fakes) and ``g_grad_norm``; scalars on the device.
        """
        if real is not None and real is not self._given:
            return self._move("G", self._taken(real if labels is None else (real, labels)), z)
        if labels is not None:
            self._labels = checked_labels(labels, self.classes).to(self.device)
        return self._move("G", self._real, z)

    def _move(self, role: Role, real: Tensor | None, z: Tensor) -> dict[str, Tensor]:
        self._begin_step()
        move, scene = self._moves[role], self._scene(real, z.to(self.device), (role,))
        for _ in range(move.player.evaluations):
            with self._randomness.over_batch(len(z)), self._moves.only((role,)):
                numbers = self._play([move], scene)
            scene = scene.again()
        return numbers

    def _begin_step(self) -> None:
        """Let what changes with progress take its values of now."""
        self._guard.begin(self.steps)
        kimg = self.nimg / 1000
        for role, player in self._players.items():
            player.progress(kimg, self.balance.d_lr_factor if role == "D" else 1.0)
        for network in self._changing:
            network.progress(kimg)

    def _plan(self, batches: Iterator[Batch]) -> tuple[Phase, ...]:
        if self.steps < self._warmup_steps:
            return (("W",),)
        if not self.balance.looks_ahead:
            return self._planned(self.signals)
        self._take(("D",), batches)
        # A batch that is taken in parts would not fit with its graph: the parts are seen again.
        graph = torch.set_grad_enabled(self._accumulate == 1)
        with self._drawing(_LOOK), graph:
            self._ahead = self._dealt()
            signals = Signals(self.meters, self._objectives.ahead(self._ahead))
            return self._planned(signals)

    @contextmanager
    def _drawing(self, what: int) -> Iterator[None]:
        """A phase's stretch of randomness, of the networks in this process and of the whole batch."""
        with (
            self._randomness.stretch(what, self._phases),
            self._randomness.over_batch(self._batch, what, self._phases),
        ):
            yield

    def _planned(self, signals: Signals) -> tuple[Phase, ...]:
        plan = checked_plan(self.balance.plan(self.steps - self._warmup_steps, signals))
        return plan if self.balance.combine is None else gathering(plan)

    def _take(self, phase: Phase, batches: Iterator[Batch]) -> None:
        """Take the next real batch where a phase shows one to D; else the step's last one stands."""
        looks_at_real = self._objectives.g_uses_real or self.classes
        wanted = self._real is None and (looks_at_real or not self._batch)
        if self._ahead is None and (wanted or not ON_NEW_SAMPLES.isdisjoint(phase)):
            try:
                self._real = self._taken(next(batches))
            except StopIteration:
                raise ConfigError(
                    "there is no real batch left: give step an endless iterator, such as "
                    "chain.from_iterable(repeat(loader)) of itertools"
                ) from None
            self._draws += 1

    def _dealt(self, phase: Phase = ()) -> Scene:
        """The real batch with new latents, for a phase if it is known."""
        z = randn(self._batch, self._require_z_dim(), device=self.device)
        return self._scene(self._real, z, phase)

    def _taken(self, batch: Batch) -> Tensor:
        real, labels = checked_batch(batch, self.classes)
        if not self._is_shared_out:
            checked_sizes(self.world.of_all(len(real)))
        self._batch = self._unseen = len(real)
        self._labels = None if labels is None else labels.to(self.device, non_blocking=True)
        real = real.to(self.device, non_blocking=True)
        return real.contiguous(memory_format=torch.channels_last) if self._is_channels_last else real

    def _count_shown(self, scene: Scene) -> None:
        """Count the real samples of a new batch when D has seen them."""
        if scene.has_shown_reals:
            self.nimg += self._unseen * self.world.size
            self._unseen = 0

    def _scene(self, real: Tensor | None, z: Tensor, phase: Phase) -> Scene:
        return Scene(
            self.discriminator,
            real=real,
            generator=self.generator,
            z=z,
            labels=fitting_labels(self._labels, z, self.classes),
            augment=None if self.augment is None else self.augment.augment,
            strength=self.augment_strength,
            layers=self._layers,
            autocast=self._autocast,
            kimg=self.nimg / 1000,
            memory=self._memory,
            still_generator=phase == ("D",),
            joint=phase == ("D",) and self._joint,
        )

    @property
    def augment_strength(self) -> Tensor | None:
        """How often D sees a sample changed: what it was adapted to, else as it is scheduled."""
        if self.augment is None:
            return None
        if self.augment.adaptive is not None and STRENGTH in self._memory:
            return self._memory[STRENGTH]
        p = value_at(self.augment.p, self.nimg / 1000)
        more = self.balance.augment_more
        return torch.full((), max(p, min(p + more, _AUGMENTED_AT_MOST)) if more else p, device=self.device)

    def _play(self, moves: Sequence[Move], scene: Scene, alone: bool = True) -> Numbers:
        """Let players move together; ``alone`` says that no other weights have a part in the scene's graph."""
        numbers = self._execution.play(moves, scene, self._guard.check, alone)
        self.meters.add(numbers)
        self._count_shown(scene)
        return numbers

    # Many steps.

    def fit(
        self,
        data: Any,
        *,
        steps: int | None = None,
        kimg: float | None = None,
        batch: int = 64,
        hooks: Sequence[Hook] = (),
    ) -> None:
        """Step until ``steps`` steps are done or ``kimg`` thousand real images shown, whichever comes first.

        Both count from the beginning of training, so that after a resume the same call goes on to the same end.

        Args:
            data: a :class:`~poise.data.Data`, a tensor or array ``(N, ...)``, a map-style dataset, or anything with
                ``batch(index) -> Tensor``. What these draw from the default generators of torch, Python and NumPy
                follows from the seed, so that a resume repeats it.
            steps: the end in steps.
            kimg: the end in thousands of real images.
            batch: real images a batch, of which each process takes its part.
            hooks: called between steps, in this order. Of several processes, each calls its own; where one of them
                stops, all do after the step that follows.

        Raises:
            ConfigError: when neither ``steps`` nor ``kimg`` is given.
            NonFiniteError: when a loss or gradient is not finite, before the update.
        """
        if steps is None and kimg is None:
            raise ConfigError("fit needs an end: give steps=... or kimg=...")
        feed = data if callable(getattr(data, "batch", None)) else self.feed(data, batch)
        batches = self._from(feed)
        self.stop_reason, self._asked, self._t0 = None, _nobody, time.perf_counter()
        for hook in hooks:
            hook.start(self)
        with closing(batches), self._shared_out(isinstance(feed, Batches)):
            while self.stop_reason is None and not self.has_reached(steps, kimg):
                self.step(batches)
                for hook in hooks:
                    hook.after_step(self)
                self._agree_on_a_stop()
            self._asked()
        self._guard.raise_if_failed()
        for hook in hooks:
            hook.end(self)
        self._seconds, self._t0 = self.seconds, None

    def skip(self) -> None:
        """Go on after a :class:`~poise.errors.NonFiniteError`: the update that it kept from the weights is left out.

        Raises:
            NonFiniteError: when the weights themselves are not finite, so that every later update would fail too.
        """
        self._require_finite_weights()
        self._guard.forgive()
        self._moves.abandon()
        self.meters.clear()
        self._draws += 1
        self._phases += 1

    def feed(self, data: Any, batch: int, flip: bool = False, without: NDArray[np.int64] | None = None) -> Batches:
        """This process's parts of batches of ``data``, for this trainer's seed: see :class:`~poise.data.Batches`.

        Raises:
            ConfigError: when the processes cannot share the batch evenly.
            DataError: when it is larger than the data.
        """
        feed = Batches(
            data,
            checked_share(batch, self.world.size),
            seed=self.seed,
            rank=self.world.rank,
            ranks=self.world.size,
            flip=flip,
            labelled=self.classes > 0,
            without=without,
            device=self.device,
        )
        feed.require(batch)  # of all processes, as one of them would take it
        return feed

    @contextmanager
    def _shared_out(self, is_so: bool) -> Iterator[None]:
        """For a while, know that processes are given parts of one size, which is asked otherwise with each batch."""
        before, self._is_shared_out = self._is_shared_out, is_so or self._is_shared_out
        try:
            yield
        finally:
            self._is_shared_out = before

    def _from(self, feed: Feed) -> Generator[Batch, None, None]:
        transforms = not isinstance(feed, Batches) or feed.may_transform
        stretch = self._randomness.stretch_everywhere if transforms else self._randomness.stretch
        with feed.reading() if isinstance(feed, Batches) else nullcontext(feed.batch) as batch:
            while True:
                asked = time.perf_counter()
                with stretch(_FEED, self._draws):
                    real = batch(self._draws)
                self._waited += time.perf_counter() - asked
                yield real

    def has_reached(self, steps: int | None, kimg: float | None) -> bool:
        """Whether training is at ``steps`` steps or ``kimg`` thousand real images."""
        return (steps is not None and self.steps >= steps) or (kimg is not None and self.nimg >= 1000 * kimg)

    def stop(self, reason: str) -> None:
        """Let :meth:`fit` end after the current step; of several processes, all of them after the next one."""
        self.stop_reason = reason

    def _agree_on_a_stop(self) -> None:
        """Ask whether any process wants to stop; the answer comes while all of them do the next step."""
        if self.world.size > 1:
            wanted, self.stop_reason = self.stop_reason, self._asked()
            self._asked = _nobody if self.stop_reason else self.world.ask(wanted)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds spent in :meth:`fit`, hooks included, over all resumes."""
        return self._seconds + (time.perf_counter() - self._t0 if self._t0 is not None else 0.0)

    @property
    def waited(self) -> float:
        """Of these, those in which this process waited for real batches."""
        return self._waited

    @property
    def updates(self) -> dict[Role, int]:
        """How often each player moved."""
        return {role: player.updates for role, player in self._players.items()}

    def read(self) -> dict[str, float]:
        """The means of all numbers since the last :meth:`Meters.clear`, and the policy's own; the one wait in a tick.

        Raises:
            NonFiniteError: when a loss or gradient was not finite since.
        """
        self._guard.raise_if_failed()
        return self.meters.means() | self.balance.numbers()

    def machine(self) -> dict[str, str]:
        """On what this trains, and how, in words."""
        device, is_cuda = self.device, self.device.type == "cuda"
        tf32 = torch.backends.cuda.matmul.allow_tf32
        return {
            "device": torch.cuda.get_device_name(device) if is_cuda else f"cpu, {torch.get_num_threads()} threads",
            "float32": "as TensorFloat-32 in matrix products" if is_cuda and tf32 else "in full",
            "cudnn": ("fastest of its algorithms" if torch.backends.cudnn.benchmark else "its first choice")
            if is_cuda
            else "not used",
            "deterministic": "yes" if torch.are_deterministic_algorithms_enabled() else "not enforced",
            "memory format": "channels last" if self._is_channels_last else "contiguous",
            "passes of D": "reals and fakes in one" if self._joint else "reals and fakes apart",
            "processes": str(self.world.size),
        }

    # Samples.

    @torch.no_grad()
    def sample(
        self, n: int, seed: int = 0, batch: int = 256, labels: Tensor | None = None, rows: slice = slice(None)
    ) -> Tensor:
        """Samples of the averaged generator, ``(n, ...)`` on the CPU; the same for the same seed.

        They are made in float32, whatever the precision of training.

        Args:
            n: how many.
            seed: of their latents.
            batch: how many at a time.
            labels: their classes, ``(n,)``, for networks that take them; if none are given, one class after the other.
            rows: which of the n to make, such as the share of this process.
        """
        given = [latents(n, self._require_z_dim(), seed)]
        if self.classes:
            given.append(torch.arange(n) % self.classes if labels is None else checked_labels(labels, self.classes))
        self._guard.raise_if_failed()
        with self._randomness.stretch(_SAMPLE, seed):
            chunks = zip(*(torch.split(it[rows].to(self.device), batch) for it in given), strict=True)
            return torch.cat([self.average(*chunk).cpu() for chunk in chunks])

    def _require_z_dim(self) -> int:
        if self.z_dim is None:
            raise ConfigError("the trainer does not know the latent dimension: give Trainer(..., z_dim=...)")
        return self.z_dim

    # The state.

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resume needs to go on bit for bit: see :func:`~poise.trainer.pack`.

        Its tensors are the trainer's own, as those of any ``state_dict()`` of torch, and change as it goes on: to come
        back to this step later, keep the packed state or a deep copy.

        Raises:
            NonFiniteError: when the weights are not finite, so that a good checkpoint is never replaced by a bad one.
        """
        self._guard.raise_if_failed()
        self._require_finite_weights()
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": _renamed(self.average.state_dict(), self.generator),
            **self._moves.state_dict(),
            "balance": self.balance.state_dict(),
            "memory": dict(self._memory),
            "meters": self.meters.state_dict(),
            "steps": self.steps,
            "nimg": self.nimg,
            "averaged_nimg": self._averaged_nimg,
            "draws": self._draws,
            "phases": self._phases,
            "batch": self._batch * self.world.size,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave, into the same networks and classes of optimizers.

        Settings such as learning rates stay as they are now. The state may be of any step, also of one before this,
        but for those of a warm-up that is over.

        Raises:
            CheckpointError: when the state does not fit them.
        """
        try:
            self._moves.require_warmup(state["steps"])
            self.generator.load_state_dict(state["generator"])
            self.discriminator.load_state_dict(state["discriminator"])
            self.average.load_state_dict(_renamed(state["ema"], self.average))
            self._moves.load_state_dict(state, state["steps"])
            self._execution.forget()
            self.balance.load_state_dict(state["balance"])
            self._memory.clear()
            self._memory.update({name: value.to(self.device, copy=True) for name, value in state["memory"].items()})
            self.meters.load_state_dict(state["meters"], self.device)
            self.steps, self.nimg, self._averaged_nimg = state["steps"], state["nimg"], state["averaged_nimg"]
            self._draws, self._phases, self._batch = state["draws"], state["phases"], state["batch"] // self.world.size
            self._seconds = state["seconds"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the saved state does not fit these networks and optimizers: {in_a_line(error)}"
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the state to a safetensors file, atomically."""
        write_atomic(Path(path), pack(self.state_dict()))

    def load(self, path: str | Path) -> None:
        """Go on from a state that :meth:`save` wrote.

        Raises:
            CheckpointError: when the file is not one or does not fit.
        """
        self.load_state_dict(unpack(Path(path).read_bytes()))

    def _require_finite_weights(self) -> None:
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            values = network.state_dict().values()
            tensors = [it for it in values if isinstance(it, Tensor) and it.is_floating_point()]
            if tensors and not torch.stack([it.isfinite().all() for it in tensors]).all():
                raise NonFiniteError(
                    f"step {self.steps}: the {name}'s weights are not finite, so this state is not saved; lower "
                    f"{name[0]}_optimizer.lr"
                )


def _renamed(state: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """The same state under the names that ``network`` has: copies of some modules name their weights anew."""
    return dict(zip(network.state_dict(), state.values(), strict=True))


def _nobody() -> None:
    """The answer where nobody was asked."""
