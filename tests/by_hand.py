"""Runs and findings by hand, for the tests of what shows them."""

from pathlib import Path

from poise.diagnosis import Finding, Severity
from poise.runs import Run, State, Status

COLLAPSE = Finding(
    kind="mode_collapse",
    severity=Severity.SEVERE,
    since_step=1200,
    last_step=4000,
    evidence={"diversity": 0.123456, "classes": 3, "bad": float("nan")},
    cause="D does not see that samples resemble each other.",
    advice="Give D a minibatch_stddev.",
)
OVER = Finding(
    "discriminator_wins", Severity.WARNING, 10, 90, {"d_accuracy": 1.0}, "D is ahead.", "Slow it.", ended=True
)


def make_run(path: Path, rows: int = 40, state: State = State.FINISHED) -> Run:
    """A run by hand: what training would have written."""
    run = Run(path)
    run.prepare()
    run.write_config("format: 1\ndata: digits\nseed: 3\nloss:\n  class: vanilla\n")
    for step in range(100, 100 * rows + 1, 100):
        run.log.append({"step": step, "nimg": 64 * step, "seconds": step / 50, "d_loss": 1.0, "d_accuracy": 0.7})
    for step in range(500, 100 * rows + 1, 500):
        run.metrics.append({"step": step, "nimg": 64 * step, "kid": 10 / step, "kid_std": 0.01})
    run.write_status(Status(state, 100 * rows, 6400 * rows, None, 256.0, 80.0, 1, "here"))
    return run
