"""The hook that watches a training."""

from collections.abc import Callable, Mapping
from typing import Any

from poise.diagnosis import Diagnosis, Finding, Severity
from poise.runs import Run, read_rows
from poise.trainer import Hook, Trainer
from poise.watch.probe import Probe

__all__ = ["Watch"]

Row = Mapping[str, Any]

# So many measurements are given to a training that goes on with something severe, such as after a remedy.
_TRIAL = 5


def _nothing(*_: Any) -> None:
    pass


class Watch(Hook):
    """Measures the networks every so many steps, and tells when something begins to go wrong and when it is over.

    It reads the rows of the log and of evaluations too: give :meth:`log` and :meth:`metrics` to the hooks that write
    them. Whatever fails in here is told once, and the training goes on.

    Args:
        run: where rows are; measurements go to its ``watch.jsonl``.
        config: the settings of the run, as JSON values.
        probe: makes what measures, at the first measurement.
        every_steps: steps between two measurements.
        about: numbers about the data and the loss, for the first measurement.
        acts_on: whether something is to be done about a finding; then training is stopped and :attr:`demand` is it.
        event: called with kind, severity, evidence and action of what happens.
        say: called with each line that a person should read.

    Attributes:
        demand: the finding that something is to be done about.
    """

    def __init__(
        self,
        run: Run,
        config: Row,
        probe: Callable[[], Probe],
        every_steps: int = 200,
        *,
        about: Callable[[], Row] = dict,
        acts_on: Callable[[Finding], bool] = lambda finding: False,
        event: Callable[[str, str, Row, str], None] = _nothing,
        say: Callable[[str], None] = _nothing,
    ) -> None:
        self._run = run
        self._config = config
        self._make_probe = probe
        self._probe: Probe | None = None
        self._every = every_steps
        self._about = about
        self._acts_on = acts_on
        self._event, self._say = event, say
        self._diagnosis = Diagnosis(config)
        self._known: dict[str, Finding] = {}
        self._on_trial: set[str] = set()
        self._looks = 0
        self._failures: set[str] = set()
        self.demand: Finding | None = None

    def start(self, trainer: Trainer) -> None:
        """Go on from the rows that stand; before the first step, measure what training begins with."""
        self.demand = None
        self._safely(self._begin, trainer)
        self._ask(trainer)

    def _begin(self, trainer: Trainer) -> None:
        run, step = self._run, trainer.steps
        run.probes.keep_only(lambda row: row.get("step", 0) <= step)
        self._diagnosis = Diagnosis(self._config)
        for rows, take in (
            (run.log, self._diagnosis.log),
            (run.metrics, self._diagnosis.metrics),
            (run.probes, self._diagnosis.probe),
        ):
            for row in read_rows(rows.path):
                take(row)
        self._known = {it.kind: it for it in self._diagnosis.findings}
        self._on_trial, self._looks = {it.kind for it in self._diagnosis.severe}, 0
        if step == 0:
            self._look(trainer)

    def log(self, row: Row) -> None:
        """Take a row of the log."""
        self._safely(self._take, self._diagnosis.log, row)

    def metrics(self, row: Row) -> None:
        """Take a row of an evaluation."""
        self._safely(self._take, self._diagnosis.metrics, row)

    def after_step(self, trainer: Trainer) -> None:
        """Measure when it is time."""
        if trainer.steps == 1 and self._probe is not None:
            self._safely(self._probe.look_at_first_step, trainer)
        if trainer.steps % self._every == 0:
            self._safely(self._look, trainer)
        if (trainer.steps + 1) % self._every == 0 and self._probe is not None:
            self._safely(self._probe.remember, trainer)
        self._ask(trainer)

    def _ask(self, trainer: Trainer) -> None:
        if self.demand is not None and trainer.stop_reason is None:
            trainer.stop(self.reason)

    @property
    def reason(self) -> str:
        """Why training is stopped where something is to be done."""
        return "" if self.demand is None else f"the watch: {self.demand.kind}"

    def _look(self, trainer: Trainer) -> None:
        self._probe = self._probe or self._make_probe()
        row = {"step": trainer.steps, "nimg": trainer.nimg} | (dict(self._about()) if trainer.steps == 0 else {})
        row |= self._probe.measure(trainer)
        if trainer.steps == 0:
            self._probe.remember(trainer)
        self._run.probes.append(row)
        self._take(self._diagnosis.probe, row)
        self._looks += 1
        if self._looks == _TRIAL:
            for finding in self._diagnosis.severe:
                if finding.kind in self._on_trial and self._acts_on(finding):
                    self._begins(finding)

    def _take(self, take: Callable[[Row], None], row: Row) -> None:
        take(row)
        for finding in self._diagnosis.findings:
            before = self._known.get(finding.kind)
            self._known[finding.kind] = finding
            if not finding.ended and (before is None or before.ended or before.severity is not finding.severity):
                self._begins(finding)
            elif finding.ended and before is not None and not before.ended:
                self._on_trial.discard(finding.kind)
                self._event("finding_ended", "info", finding.to_json(), "")
                self._say(f"{finding.kind} is over at step {finding.last_step:,}")
        for error in self._diagnosis.failures.values():
            self._tell(error)

    def _begins(self, finding: Finding) -> None:
        acts = self._acts_on(finding)
        self._event("finding_began", finding.severity, finding.to_json(), "asks for a remedy" if acts else "trains on")
        mark = "!!" if finding.severity is Severity.SEVERE else "!" if finding.severity is Severity.WARNING else "·"
        self._say(f"{mark} {finding.kind} since step {finding.since_step:,}: {finding.cause}")
        if acts and self.demand is None:  # of several at once, the first is the likeliest cause
            self.demand = finding

    def _safely(self, do: Callable[..., None], *given: Any) -> None:
        """A watch that fails is an event, and never the end of a training."""
        try:
            do(*given)
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text not in self._failures:
            self._failures.add(text)
            self._event("watch_failed", "warning", {"error": text}, "trained on")
            self._say(f"Warning: the watch failed ({text}); training goes on")
