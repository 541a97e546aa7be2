"""Where the trials of a study are kept: a database that several processes and machines share."""

import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from poise.errors import ConfigError, MissingExtraError, StorageError

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

__all__ = ["Heartbeat", "hidden", "open_storage", "patiently", "quietly", "reaching", "require_optuna", "sqlite_url"]

_T = TypeVar("_T")

# How long a locked SQLite file may take to be free; and a server of PostgreSQL to answer, in libpq's units, so that a
# network that is gone without a word is noticed.
_LOCKED_SECONDS = 60
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_MAKING_ATTEMPTS = 10
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0


def require_optuna() -> None:
    """Refuse to search without the package that searches.

    Raises:
        MissingExtraError: when it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("a search needs Optuna, which is not installed: pip install 'poise[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def sqlite_url(directory: Path) -> str:
    """The database of a study that has its own file."""
    return f"sqlite:///{directory / 'study.db'}"


def hidden(url: str) -> str:
    """A URL as it may be shown: without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def open_storage(
    url: str, silent_seconds: int, taken_up: Callable[["OptunaStudy", "FrozenTrial"], None]
) -> "RDBStorage":
    """The database at a URL; made if it is a file or an empty database.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
        silent_seconds: a worker that was silent so long is taken for dead.
        taken_up: called with each trial of a worker that died, after it was marked as failed.

    Raises:
        ConfigError: when the URL is none, or nobody answers there.
        MissingExtraError: when the driver of this kind of database is not installed.
    """
    from optuna.exceptions import OptunaError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

    way_out = "give --storage sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    for short in ("postgres://", "postgresql://"):
        if url.startswith(short):
            url = f"postgresql+psycopg://{url.removeprefix(short)}"
    is_file = url.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": _LOCKED_SECONDS}}
    if not is_file:  # a connection that a server has closed meanwhile is noticed and replaced
        options = {"pool_pre_ping": True}
        if url.startswith("postgresql+psycopg"):
            options["connect_args"] = _PATIENCE

    def opened() -> RDBStorage:
        with quietly():
            return RDBStorage(
                url,
                options,
                heartbeat_interval=max(1, silent_seconds // 4),
                grace_period=silent_seconds,
                heartbeat_stale_trial_callback=taken_up,
            )

    try:
        for _ in range(_MAKING_ATTEMPTS):
            with suppress(IntegrityError, ProgrammingError):  # another worker was making the same tables
                return opened()
            time.sleep(_FIRST_PAUSE_SECONDS * (1 + random.random()))
        return opened()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"the storage {url} is not the URL of a database ({_first_line(error)}): {way_out}"
        ) from error
    except ImportError as error:
        raise MissingExtraError(
            f"the storage {hidden(url)} needs a driver that is not installed: for PostgreSQL, pip install "
            "'poise[postgresql]'"
        ) from error
    except (SQLAlchemyError, OptunaError, RuntimeError) as error:
        raise ConfigError(
            f"the storage {hidden(url)} cannot be reached: {_first_line(error)}. Start the database, or {way_out}"
        ) from error


def _first_line(error: BaseException) -> str:
    """What a driver says, without SQL and links."""
    cause: Any = error
    while inner := getattr(cause, "orig", None) or cause.__cause__:
        cause = inner
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out what Optuna says of features that may still change, and of heartbeats, which we send ourselves."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
        yield


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what a database that is gone makes of a call into one error.

    Raises:
        StorageError: when it did not answer, or no longer has the study.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, KeyError) as error:  # KeyError: a trial that is no longer there
        raise StorageError(f"the storage {hidden(url)} does not answer: {_first_line(error)}") from error


def patiently(call: Callable[[], _T], seconds: float, say: Callable[[str], None]) -> _T:
    """Make a call until it succeeds, for so many seconds: servers are started anew, and networks come back.

    Args:
        call: raises :class:`~poise.errors.StorageError` while the storage does not answer.
        seconds: how long to try.
        say: called once, when it has to wait.

    Raises:
        StorageError: when it did not succeed in that time.
    """
    t0, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    is_said = False
    while True:
        try:
            return call()
        except StorageError as error:
            if time.monotonic() - t0 + pause > seconds:
                raise
            if not is_said:
                say(f"Warning: {error}; trying again for {seconds:g} seconds")
                is_said = True
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class Heartbeat:
    """Tells the storage from time to time that a trial is being worked on, so that nobody takes it up.

    A storage that does not answer is tried again: it is for those who need it to give up.

    Args:
        storage: the database.
        trial_id: the trial's number there.
    """

    def __init__(self, storage: "RDBStorage", trial_id: int) -> None:
        self._storage = storage
        self._trial_id = trial_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of trial {trial_id}", daemon=True)

    def _beat(self) -> None:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            with suppress(SQLAlchemyError, StorageInternalError):
                self._storage.record_heartbeat(self._trial_id)
            if self._over.wait(self._storage.heartbeat_interval):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
