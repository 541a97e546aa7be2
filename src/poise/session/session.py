"""Training a run directory."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from poise.config import (
    Config,
    build,
    build_hooks,
    dump,
    execution_for,
    fabric_for,
    precision_for,
)
from poise.data import Batches, Data, held_out
from poise.data.cache import cache_directory
from poise.diagnosis import Finding, Severity, diagnose
from poise.errors import CheckpointError, ConfigError, NonFiniteError, PeerError, PoiseError
from poise.hooks import Evaluate, Hook, Log, Save, SaveFirst, Stops
from poise.models import summary
from poise.parallel import Heartbeat
from poise.runs import Run, State
from poise.session.album import Album
from poise.session.evaluation import Evaluation, said_when_long
from poise.session.growth import EarlyEnd, early_end, grown
from poise.session.journal import Journal
from poise.session.meeting import joined, require_one_training
from poise.session.opening import Damaged, agreed_changes, newest
from poise.session.recovery import Recovery
from poise.session.watching import first_facts, probe_of
from poise.trainer import Trainer
from poise.watch import Watch, acts

__all__ = ["Outcome", "Session"]

# Evaluations use one seed in all runs, so that their numbers can be compared.
_EVALUATION = 0


@dataclass(frozen=True)
class Outcome:
    """How a session ended.

    Attributes:
        run: the run.
        trainer: as it was left.
        state: ``finished``; ``stopped`` before the end; or ``failed``, where the watch gave it up.
        reason: why it ended.
        trained_steps: steps that this session did.
        trained_images: real images that it showed.
        seconds: wall-clock seconds that they took.
    """

    run: Run
    trainer: Trainer
    state: State
    reason: str
    trained_steps: int
    trained_images: int
    seconds: float


class Session:
    """One run being trained, by one process or by several of which the first one writes and speaks.

    Args:
        config: the settings.
        data: the prepared data.
        run: where everything goes.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        devices: processes on each machine, each with a device of its own; all of them are there, and make a session.
        nodes: machines.
        max_seconds: end cleanly after so many wall-clock seconds.
        allow_change: go on with an existing run although settings differ.
        trust: packages from which the config may import parts of one's own.
        safe: the settings of a recipe that is known to work on the data, for the watch to fall back on.
        hooks: called after the session's own, in the first process.
        seen: called with each new row of the log.
        evaluated: called with each new row of the metrics.
        say: called with each line that a person should read.

    Raises:
        ConfigError: when a setting is wrong, or other processes have other ones.
        DeviceError: when the device is not there.
        MetricError: when a metric is asked for that this data cannot be measured by.
        MissingExtraError: when features are asked for whose package is not installed.
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        run: Run,
        *,
        device: str = "auto",
        devices: int = 1,
        nodes: int = 1,
        max_seconds: float | None = None,
        allow_change: bool = False,
        trust: Sequence[str] = (),
        safe: Config | None = None,
        hooks: Sequence[Hook] = (),
        seen: Callable[[dict[str, Any]], None] = lambda row: None,
        evaluated: Callable[[dict[str, Any]], None] = lambda row: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.config = config.model_copy(update={"fingerprint": data.fingerprint})
        self.data = data
        if max_seconds is not None and not max_seconds > 0:
            raise ConfigError(f"max_seconds is {max_seconds}; it must be above 0")
        self._max_seconds = max_seconds
        self._allow_change = allow_change
        self._precision = precision_for(config, data.shape, device)
        self._fabric = fabric_for(config, data.shape, device, devices, nodes)
        self._world = joined(self._fabric)
        require_one_training(self._world, self.config)
        self.run = self._world.of_first(run)
        self._hooks = [*build_hooks(config, self.run, trust, self._hook_failed), *hooks] if self._world.is_first else []
        self._seen, self._evaluated = seen, evaluated
        self._journal = Journal(self.run, self.config, lambda: self.trainer, self._world.is_first, say)
        self._album = Album(self.run, data, config)
        self._execution = execution_for(config, data.shape, self._fabric)
        self._trust = trust
        self._recovery = self._world.by_first(lambda: self._remembered(safe))
        self.trainer = self._made_trainer()
        self._held_out = held_out(len(data), config.held_out)
        self._feed: Batches = self.trainer.feed(data, config.samples_a_batch, config.flip, self._held_out)
        self._evaluation = Evaluation(
            data,
            config.evaluate,
            self.trainer.device,
            seed=_EVALUATION,
            held_out=self._held_out,
            cache=cache_directory(None),
            progress=said_when_long(self._journal.say),
            say=self._journal.say,
            world=self._world,
        )
        self._evaluation_failure = ""
        self._trained: Counter[str] = Counter()
        self._watch = self._made_watch()

    def _remembered(self, safe: Config | None) -> Recovery:
        """What was done to save the run; nothing yet, where a person changes settings."""
        anew = self._allow_change and self.run.exists() and bool(agreed_changes(self.run, self.config, True))
        return Recovery(self.run, self.config, safe, anew)

    def _made_trainer(self) -> Trainer:
        """The trainer of the settings, with what was changed to save the run."""
        return build(self._recovery.config, self.data.shape, self._fabric, self._trust)

    def _made_watch(self) -> Watch | None:
        """What watches, in the first process: whatever it demands is done in all."""
        if self.config.watch.mode == "off" or not self._world.is_first:
            return None
        config, trainer, data = self._recovery.config, self.trainer, self.data
        return Watch(
            self.run,
            config.model_dump(mode="json", by_alias=True),
            lambda: probe_of(trainer, data, self._held_out, config.watch.samples),
            config.watch.every_steps,
            about=lambda: first_facts(trainer, data),
            acts_on=self._acts_on,
            event=self._journal.event,
            say=self._journal.say,
        )

    def _acts_on(self, finding: Finding) -> bool:
        return finding.severity is Severity.SEVERE and acts(self.config.watch.mode, finding.kind)

    def train(self) -> Outcome:
        """Train to the end; go on where the run was left.

        Raises:
            RunError: when the run directory cannot be used, or its settings differ.
            CheckpointError: when there are checkpoints and none is good.
            NonFiniteError: when training broke; the run's last checkpoint is good.
            PeerError: when another process has ended; the run's last checkpoint is good.
        """
        heartbeat = Heartbeat(self._world.rank, self._world.size)
        heartbeat.start()
        try:
            with ExitStack() as held:
                return self._gone_on(self._world.by_first(lambda: self._begin(held)))
        except PeerError as error:
            error.is_known_to_all = heartbeat.is_said_by_first()
            raise
        finally:
            heartbeat.stop()

    def _begin(self, held: ExitStack) -> list[str]:
        """Take the run; say how the settings differ from its own."""
        self.run.prepare()
        held.enter_context(self.run.claim())
        for request in (self.run.stop_request, self.run.checkpoint_request):
            request.unlink(missing_ok=True)  # meant for a process that is gone
        changes = agreed_changes(self.run, self.config, self._allow_change)
        (Recovery(self.run, self.config) if changes else self._recovery).finish()
        return changes

    def _gone_on(self, changes: Sequence[str]) -> Outcome:
        damaged = self._load()
        steps, kimg = self.config.steps, self.config.kimg
        is_finished = self._world.by_first(lambda: self.run.state() is State.FINISHED)
        if is_finished and self.trainer.has_reached(steps, kimg):
            return Outcome(self.run, self.trainer, State.FINISHED, "", 0, 0, 0.0)
        self._world.by_first(lambda: self._go_on(changes, damaged))
        return self._train()

    def _load(self) -> Damaged:
        """Load the newest good checkpoint; return the damaged ones that are newer, and what is wrong with them.

        Raises:
            CheckpointError: when there was one and none is good, or the good one does not fit the settings.
        """
        damaged, state = self._world.by_first(lambda: newest(self.run))
        if state is not None:
            try:
                self.trainer.load_state_dict(state["trainer"])
            except CheckpointError as error:
                error.is_known_to_all = True
                raise
        return damaged

    def _go_on(self, changes: Sequence[str], damaged: Damaged) -> None:
        """Write the settings, and make the run's files those of the step that was loaded."""
        step = self.trainer.steps
        self.run.events.keep_only(lambda event: True)  # mends a line that a killed process left torn
        self._keep_rows()
        aside = self._recovery.set_aside() if changes else None  # before the config tells of changes no more
        self.run.write_config(self._config_text())
        self.run.write_networks(self._networks())
        machine, before = self._machine(), self.run.machine()
        self.run.write_machine(machine)
        for checkpoint, reason in damaged:
            self.run.checkpoints.set_aside(checkpoint)
            self._journal.event(
                "checkpoint_damaged", "warning", {"error": reason}, f"took the one of step {step} instead"
            )
            self._journal.say(f"Warning: {reason}; taking the one of step {step} instead")
        if changes:
            self._journal.event("settings_changed", "info", {"changes": list(changes)}, "went on with them")
            self._journal.say(f"Settings changed: {'; '.join(changes)}")
            if aside is not None:
                self._journal.say(f"What was changed to save the run is undone, and kept in {aside.name}")
        if step:
            self._journal.event("resumed", "info", {"nimg": self.trainer.nimg}, f"loaded the checkpoint of step {step}")
            self._journal.say(f"Going on from step {step:,}")
        moved = _moved(before, machine)
        if step and moved:
            self._journal.event("machine_changed", "info", {"changes": moved}, "went on here")
            where = f"Not on the same machine ({'; '.join(moved)})"
            self._journal.say(f"{where}: from here on, numbers may be rounded differently")

    def _keep_rows(self) -> None:
        """Drop the rows and pictures of steps that are not done, or will be done again, as all are at step 0."""
        step = self.trainer.steps
        for rows in (self.run.log, self.run.metrics, self.run.probes):
            rows.keep_only(lambda row: step > 0 and row.get("step", 0) <= step)
        for at, picture in self.run.pictures().items():
            if at > step:
                picture.unlink()

    def _machine(self) -> dict[str, str]:
        """On what this trains, and how."""
        return self.trainer.machine() | {
            "precision": str(self._precision),
            "execution": str(self._execution),
            "data": self._feed.place,
        }

    def _config_text(self) -> str:
        from poise import __version__

        return f"# Settings of this run, written by poise {__version__}; 'poise train' goes on with them.\n" + dump(
            self.config
        )

    def _networks(self) -> dict[str, list[dict[str, Any]]]:
        rows = {
            "generator": summary(grown(self.trainer.generator), (self.config.z_dim,)),
            "discriminator": summary(grown(self.trainer.discriminator), self.data.shape),
        }
        return {
            name: [
                {"layer": row.layer, "shape": row.output_shape, "parameters": row.parameters, "cost": row.cost}
                for row in layers
            ]
            for name, layers in rows.items()
        }

    def _train(self) -> Outcome:
        if (end := early_end(self.trainer, self.config)) is not None:
            self._warn_of(end)
        is_first = self._world.is_first
        if is_first:
            self._album.draw_real()
        request, seconds = (self.run.stop_request, self._max_seconds) if is_first else (None, None)
        stops = Stops(request, seconds, _signals(), self._journal.say)
        self._journal.status(State.RUNNING)
        lost: Finding | None = None
        t0 = time.perf_counter()
        try:
            while lost is None and (finding := self._fit(stops)) is not None:
                lost = self._recover(finding)
        except NonFiniteError as error:
            error.is_known_to_all = True  # losses and gradients are those of all processes
            self._journal.event("non_finite", "severe", {"error": str(error)}, "stopped before the update")
            self._journal.status(State.FAILED, str(error), hopeless=True)
            raise
        except PeerError as error:
            last = self.run.checkpoints.last()
            reason = f"{error}; " + (
                "no checkpoint was saved yet" if last is None else f"the checkpoint of step {last.step:,} is good"
            )
            self._journal.event("process_gone", "severe", {"error": str(error)}, "ended")
            self._journal.status(State.FAILED, reason)
            raise PeerError(f"run {self.run.name}: {reason}. The same command goes on from there") from error
        except BaseException as error:
            self._journal.status(State.FAILED, f"{type(error).__name__}: {error}")
            raise
        finally:
            stops.release()
        self._world.of_first(None)  # nobody leaves before all is saved
        if lost is not None:
            about = f" ({lost.evidence['error']})" if "error" in lost.evidence else ""
            state, reason = State.FAILED, f"{lost.kind} is severe{about}, and nothing is left to be tried"
        else:
            reason = self.trainer.stop_reason or ""
            state = State.STOPPED if reason else State.FINISHED
        self._journal.event(str(state), "info" if lost is None else "severe", {"reason": reason}, "saved")
        self._journal.status(state, reason, hopeless=lost is not None)
        seconds = time.perf_counter() - t0
        return Outcome(self.run, self.trainer, state, reason, self._trained["steps"], self._trained["nimg"], seconds)

    def _warn_of(self, end: EarlyEnd) -> None:
        evidence = {"kimg": end.kimg, "grown_at_kimg": end.grown_at_kimg}
        self._journal.event("ends_before_grown", "warning", evidence, "trains on")
        self._journal.say(
            f"Warning: {self.config.steps:,} steps show about {end.kimg:,.4g} kimg, and the networks have their full "
            f"size of {end.side} x {end.side} after {end.grown_at_kimg:g}: give --kimg {end.grown_at_kimg:g} or more, "
            "or let them grow earlier by grow_kimg"
        )

    def _fit(self, stops: Stops) -> Finding | None:
        """Train to the end, or to a finding that something is to be done about, which is the first process's."""
        trainer, watch = self.trainer, self._watch
        steps, kimg, first, first_nimg = self.config.steps, self.config.kimg, trainer.steps, trainer.nimg
        finding: Finding | None
        try:
            trainer.fit(self._feed, steps=steps, kimg=kimg, hooks=[*self._all_hooks(), stops])
        except NonFiniteError as error:
            if not acts(self.config.watch.mode, "non_finite"):
                raise
            finding = self._broken(error)
        else:
            is_over = trainer.has_reached(steps, kimg) or watch is None or trainer.stop_reason != watch.reason
            finding = None if is_over or watch is None else watch.demand
        finally:
            self._trained.update(steps=trainer.steps - first, nimg=trainer.nimg - first_nimg)
        return self._world.of_first(finding)

    def _broken(self, error: NonFiniteError) -> Finding:
        """The finding of a number that is not finite."""
        event = {"step": self.trainer.steps, "kind": "non_finite", "evidence": {"error": str(error)}}
        return diagnose({}, events=[event])[0]

    def _recover(self, finding: Finding) -> Finding | None:
        """Do something about a finding, in all processes the same; return it where nothing is left to be done."""
        trainer, at = self.trainer, self.trainer.steps
        if finding.kind == "non_finite" and self._recovery.may_skip(at):
            with suppress(NonFiniteError):
                trainer.skip()
                self._journal.event("skipped_update", "warning", finding.evidence, "left out the update")
                self._journal.say(f"Left out the update of step {at:,}: {finding.evidence['error']}")
                return None
        end = self.config.expected_steps
        share = finding.since_step / end if end else 1.0
        step = self._world.by_first(lambda: self._recovery.next(finding, at, share))
        if step is None:
            if finding.kind == "non_finite":  # of which no row tells yet
                self._journal.event(finding.kind, finding.severity, finding.evidence, "given up")
            left = "nothing is left to be tried; the best checkpoint is kept"
            self._journal.say(f"{finding.kind}: {left}. {finding.advice}")
            return finding
        action = f"went back to step {step.back_to:,}, with {step.change}"
        evidence = {"finding": finding.to_json(), "change": step.change}
        self._journal.event("rolled_back", finding.severity, evidence, action)
        self._journal.say(f"{finding.kind} at step {at:,}: {action}")
        self._recovery.begin(step)
        self._world.by_first(self._recovery.finish)
        self.trainer = self._made_trainer()
        self._watch = self._made_watch()
        self._load()
        self._world.by_first(self._keep_rows)
        return None

    def _all_hooks(self) -> list[Hook]:
        """What records the run, in an order in which each finds what it needs of those before it; then the others."""
        config, run = self.config, self.run
        save = Save(
            run.checkpoints,
            config.checkpoint.every_seconds,
            config.checkpoint.every_steps,
            about={"data": self.data.scaling.to_json()},
            request=run.checkpoint_request,
            saved=partial(self._journal.status, State.RUNNING),
        )
        watch = self._watch
        log = Log(run.log, config.log.every_steps, self._row)
        evaluate = Evaluate(
            run.metrics,
            self._scores,
            self._evaluation.metric,
            config.evaluate.every_kimg,
            save,
            higher_is_better=self._evaluation.higher_is_better,
            failed=self._evaluation_failed,
            seen=self._metrics_row,
        )
        if not self._world.is_first:
            return [evaluate]
        guards = [watch] if watch else []
        # Pictures before evaluations and checkpoints: a step that is saved is not done again to draw its picture.
        own = [log, *self._album.hooks(), evaluate, *guards, save]
        return [*own, *(SaveFirst(hook, save) for hook in self._hooks)]

    def _row(self, row: dict[str, Any]) -> None:
        self._seen(row)
        if self._watch is not None:
            self._watch.log(row)

    def _metrics_row(self, row: dict[str, Any]) -> None:
        self._evaluated(row)
        if self._watch is not None:
            self._watch.metrics(row)

    def _scores(self, trainer: Trainer) -> dict[str, Any]:
        """The numbers of the averaged generator's samples, and how they were measured."""
        labels, count = self._evaluation.fake_labels if trainer.classes else None, self._evaluation.samples
        samples = self._world.spread(count, lambda share: trainer.sample(count, _EVALUATION, labels=labels, rows=share))
        return self._evaluation.score(samples)

    def _evaluation_failed(self, error: Exception) -> None:
        """Keep it as an event; say it once, as the next evaluations will fail for the same reason."""
        text = str(error) if isinstance(error, PoiseError) else f"{type(error).__name__}: {error}"
        self._journal.event("evaluation_failed", "warning", {"error": text}, "trained on")
        if text != self._evaluation_failure:
            self._evaluation_failure = text
            step = f"{self.trainer.steps:,}"
            self._journal.say(f"Warning: the evaluation at step {step} failed: {text}; training goes on")

    def _hook_failed(self, name: str, error: Exception) -> None:
        """Keep it as an event, and say it: the numbers are in the run's own files all the same."""
        text = f"{type(error).__name__}: {error}"
        self._journal.event("hook_failed", "warning", {"hook": name, "error": text}, "trains on without it")
        self._journal.say(f"Warning: the hook {name} failed ({text}); training goes on without it")


def _signals() -> tuple[signal.Signals, ...]:
    """Signals can be listened to in the main thread only."""
    in_main = threading.current_thread() is threading.main_thread()
    return (signal.SIGINT, signal.SIGTERM) if in_main else ()


def _moved(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What rounds numbers differently, whatever the reasons for it are."""
    old, new = (
        {name: text.partition(" (")[0] for name, text in facts.items() if name != "data"} for facts in (before, now)
    )
    return [f"{name} is {text}, was {old[name]}" for name, text in new.items() if old.get(name, text) != text]
