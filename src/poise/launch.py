"""How many processes a training has, and starting them. This module knows no torch."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Literal

from poise.errors import DeviceError

__all__ = ["Launched", "Place", "device_of_fabric_run", "launch", "place", "rank_of"]

# The number of a process, in those that launch() starts and in the one that starts them.
_LAUNCHED = "POISE_LAUNCHED"

# How long processes may take to end by themselves: when the work is done, and when this one has failed alone.
_GRACE_SECONDS, _SHORT_GRACE_SECONDS = 20.0, 3.0


@dataclass(frozen=True)
class Place:
    """Where this process stands among those of its training.

    Attributes:
        devices: processes on each machine, one for each device.
        nodes: machines.
        rank: the number of this process.
        by: who started the processes: ``torchrun``, ``srun``, ``poise``, or nobody yet.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    by: Literal["torchrun", "srun", "poise", ""] = ""

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


def place(devices: int | None = None, nodes: int | None = None, environment: Mapping[str, str] | None = None) -> Place:
    """Where this process stands: as ``torchrun``, ``fabric run`` or ``srun`` started it, else as it is asked for.

    Args:
        devices: processes on each machine; None for what there is.
        nodes: machines; None for what there is.
        environment: the process's.

    Raises:
        DeviceError: when other processes were started than are asked for, or machines do not know of each other.
    """
    env = os.environ if environment is None else environment
    if _is_of_torchrun(env):
        local, size = int(env["LOCAL_WORLD_SIZE"]), int(env["WORLD_SIZE"])
        found = Place(local, size // local, rank_of(env), "torchrun")
    elif _is_of_srun(env):
        size, machines = int(env["SLURM_NTASKS"]), int(env.get("SLURM_NNODES", "1"))
        found = Place(size // machines, machines, rank_of(env), "srun")
        if size % machines or "SLURM_NTASKS_PER_NODE" not in env:
            raise DeviceError(
                f"srun started {size} processes on {machines} machines without saying how many on each: give "
                f"--ntasks-per-node={max(size // machines, 1)} in place of --ntasks"
            )
    else:
        found = _asked(devices or 1, nodes or 1, env)
    for name, asked, there in (("devices", devices, found.devices), ("nodes", nodes, found.nodes)):
        if asked not in (None, there):
            raise DeviceError(
                f"--{name} is {asked}, and {found.by} started this with {there}: leave --{name} out, or start it with "
                f"{asked}"
            )
    return found


def _asked(devices: int, nodes: int, env: Mapping[str, str]) -> Place:
    if nodes > 1:
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in env]
        if missing:
            raise DeviceError(
                f"--nodes is {nodes}, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: on each "
                "machine, set MASTER_ADDR and MASTER_PORT to the address and a free port of the first one, and "
                "NODE_RANK to its own number from 0; or start it with torchrun or srun, which do so"
            )
    node = int(env.get("NODE_RANK", "0")) if nodes > 1 else 0
    if not 0 <= node < nodes:
        raise DeviceError(f"NODE_RANK is {node}, and there are {nodes} machines: number them from 0")
    if _LAUNCHED in env:
        return Place(devices, nodes, rank_of(env), "poise")
    return Place(devices, nodes, node * devices)


def rank_of(environment: Mapping[str, str] | None = None) -> int:
    """The number of this process, 0 where nobody started several."""
    env = os.environ if environment is None else environment
    if _is_of_torchrun(env):
        return int(env["RANK"])
    if _is_of_srun(env):
        return int(env["SLURM_PROCID"])
    return int(env.get(_LAUNCHED, "0"))


def _is_of_torchrun(env: Mapping[str, str]) -> bool:
    return "TORCHELASTIC_RUN_ID" in env


def _is_of_srun(env: Mapping[str, str]) -> bool:
    """A shell in an allocation has the variables of tasks too, and is none."""
    return int(env.get("SLURM_NTASKS", "1")) > 1 and env.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def device_of_fabric_run(device: str, environment: MutableMapping[str, str] | None = None) -> str:
    """The device that ``fabric run --accelerator`` asks for, or the one that is named.

    Its variables are taken away: they would overrule what fabrics are made with.

    Args:
        device: as it is given to this program.
        environment: the process's.

    Raises:
        DeviceError: when the two contradict each other, or it is given what is a setting here.
    """
    env = os.environ if environment is None else environment
    if "LT_CLI_USED" not in env:
        return device
    given = {name.removeprefix("LT_").lower(): env.pop(name) for name in list(env) if name.startswith("LT_")}
    if "precision" in given:
        raise DeviceError(f"the precision is a setting of the run: give --set precision={given['precision']}")
    wanted = {"gpu": "cuda"}.get(given.get("accelerator", "auto"), given.get("accelerator", "auto"))
    if "auto" not in (wanted, device) and wanted != device:
        raise DeviceError(f"--device is {device}, and fabric run asks for {wanted}: leave one of them out")
    return device if wanted == "auto" else wanted


class Launched:
    """The processes that were started beside this one; as a context, they have ended afterwards.

    Args:
        processes: these.
        first: the number of the first of them.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]] = (), first: int = 1) -> None:
        self._processes = processes
        self._first = first
        self._over = threading.Event()
        if processes:
            threading.Thread(target=self._watch, name="poise-launched", daemon=True).start()

    def __enter__(self) -> None:
        """They are running already."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait until they have ended, as they do by themselves; those that wait for this one are ended."""
        self._over.set()
        is_alone = error is not None and not getattr(error, "is_known_to_all", False)
        deadline = time.monotonic() + (_SHORT_GRACE_SECONDS if is_alone else _GRACE_SECONDS)
        for number, process in enumerate(self._processes, self._first):
            try:
                code = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            else:
                if code < 0:
                    _say(f"process {number} was ended by {signal.Signals(-code).name}")

    def _watch(self) -> None:
        """End all when one has failed and this process does not notice: it may be waiting for it to join."""
        while not self._over.wait(0.5):
            failed = [number for number, it in enumerate(self._processes, self._first) if it.poll()]
            if failed and not self._over.wait(_GRACE_SECONDS):
                _say(f"error: process {failed[0]} of this training has failed, and nothing goes on without it")
                for process in self._processes:
                    process.kill()
                os._exit(1)


def launch(where: Place, command: Sequence[str]) -> Launched:
    """Start the other processes of this machine, unless somebody did; afterwards a fabric of so many can be launched.

    Args:
        where: where this process stands.
        command: runs the program as it was run, as a process of its own.
    """
    if where.by or where.size == 1:
        return Launched()
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if where.nodes == 1:
        os.environ["MASTER_PORT"] = str(_free_port())

    def environment(local: int) -> dict[str, str]:
        named = {_LAUNCHED: where.rank + local, "LOCAL_RANK": local, "NODE_RANK": where.rank // where.devices}
        return {name: str(value) for name, value in named.items()}

    os.environ.update(environment(0))
    return Launched(
        [
            subprocess.Popen(command, env={**os.environ, **environment(local)}, stdin=subprocess.DEVNULL)
            for local in range(1, where.devices)
        ],
        where.rank + 1,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
