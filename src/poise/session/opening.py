"""What a session finds in a run that was begun: other settings, and the newest good checkpoint."""

from typing import Any

from poise.config import Config, differences, parse, parse_file
from poise.errors import CheckpointError, RunError
from poise.runs import Checkpoint, Run, State
from poise.session.naming import NOT_IDENTITY
from poise.trainer import unpack

__all__ = ["Damaged", "agreed_changes", "newest"]

Damaged = list[tuple[Checkpoint, str]]
"""Checkpoints that are, and what is wrong with them."""


def agreed_changes(run: Run, config: Config, allow_change: bool) -> list[str]:
    """How settings differ from the run's own, if they may.

    Raises:
        RunError: when they may not, or when nothing was changed after a failure that would come again.
    """
    if not run.config_path.exists():
        return []
    old = parse(parse_file(run.config_path), str(run.config_path))
    changes = [
        f"the content of {config.data} has changed" if it.startswith("fingerprint: ") else it
        for it in differences(old, config, ignore=NOT_IDENTITY)
    ]
    status = run.status()
    if changes and not allow_change:
        raise RunError(
            f"run {run.name} was made with other settings ({'; '.join(changes)}); give these again, take the "
            "change with --allow-change, or give another --run"
        )
    if not changes and status is not None and status.hopeless:
        raise RunError(
            f"run {run.name} failed ({status.reason}); the same settings would fail in the same way. "
            "Change some with --set ... --allow-change, or give another --run"
        )
    return changes


def newest(run: Run) -> tuple[Damaged, dict[str, Any] | None]:
    """What the newest good checkpoint holds, after the damaged ones that are newer; None where none was saved yet.

    Raises:
        CheckpointError: when there was one and none is good.
    """
    checkpoints = run.checkpoints.live()
    damaged: Damaged = []
    for checkpoint in reversed(checkpoints):
        try:
            return damaged, _state(checkpoint)
        except CheckpointError as error:
            damaged.append((checkpoint, str(error)))
    status = run.status()
    # A failure may have been before the first one was saved; what began, or ended, at a step had one of it.
    had_one = status is not None and status.step > 0 and status.state is not State.FAILED
    if checkpoints or had_one:
        reasons = "; ".join(reason for _, reason in damaged) or f"{run.checkpoints.directory} holds none"
        raise CheckpointError(
            f"run {run.name} has no good checkpoint left: {reasons}. Nothing was changed; "
            "start over with another --run, or put a good checkpoint back"
        )
    return damaged, None


def _state(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        return unpack(checkpoint.read())
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(
            message if str(checkpoint.path) in message else f"{checkpoint.path}: {message}"
        ) from error
