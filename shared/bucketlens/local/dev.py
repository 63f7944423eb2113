"""The whole product in one process: S3 endpoint, event feeder, ingest, compaction on a schedule, and the API."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType

from bucketlens.errors import BucketlensError
from bucketlens.handlers import compact, ingest, query
from bucketlens.handlers.wiring import Wiring
from bucketlens.local.api import ApiServer
from bucketlens.local.feeder import Chaos, DeadLetter, Feeder
from bucketlens.local.s3server import S3Server
from bucketlens.settings import Settings, read_settings

BUCKET = "bucketlens-local"
COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """How to run. ``port`` is the API's and ``s3_port`` the S3 endpoint's; 0 takes a free one.

    ``compact_every_s`` 0 compacts only on request. ``environ`` overrides any setting of the functions.
    """

    host: str = "127.0.0.1"
    port: int = 0
    s3_port: int = 0
    compact_every_s: float = 60.0
    chaos: Chaos | None = None
    environ: Mapping[str, str] | None = None


def settings_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the local functions take as their settings: all but where bucket, store and cache are."""
    names = {field.name.upper() for field in fields(Settings)} - {"BUCKET", "CACHE_DIR"} | {"MODEL_VARIANT"}
    return {name: environ[name] for name in sorted(names) if environ.get(name)}


class Dev:
    """Runs until ``stop``. Use it as a context manager. ``log`` gets the handlers' log lines."""

    def __init__(self, options: DevOptions, log: Callable[[str], None] = lambda line: None) -> None:
        self._options = options
        self._log = log
        self._stack = ExitStack()
        self._ending = threading.Event()

    def __enter__(self) -> Dev:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every thread, close every port, remove what was on disk."""
        self._ending.set()
        self._stack.close()

    def describe(self) -> dict[str, str]:
        """Where everything is: ``api``, ``s3``, ``bucket``, ``collection``."""
        return {"api": self.api.url, "s3": self.s3.url, "bucket": BUCKET, "collection": COLLECTION}

    def compact(self) -> dict[str, object]:
        """One run of the compact function, now."""
        return self._compact({}, None)

    def _start(self, stack: ExitStack) -> None:
        options = self._options
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bucketlens-")))
        own = {"BUCKET": BUCKET, "CACHE_DIR": str(folder), "MAX_STALENESS_S": "1", **(options.environ or {})}
        prefixes = [prefix for prefix, _ in read_settings(own).collections]
        # The server must know whom to tell of changes before the functions can know where the server is.
        self.s3 = S3Server(
            (BUCKET,), host=options.host, port=options.s3_port, watch=lambda change: self.feeder.hear(change)
        )
        self.feeder = Feeder(
            lambda event: self._ingest(event, None), bucket=BUCKET, prefixes=prefixes, chaos=options.chaos
        )
        stack.enter_context(self.s3)
        wiring = Wiring.of({"AWS_ENDPOINT_URL": self.s3.url, **own}, credentials=S3Server.credentials)
        self._ingest = ingest.handler(wiring.ingest(), self._log)
        self._compact = compact.handler(wiring.compact(), self._log)
        stack.enter_context(self.feeder)
        self.api = ApiServer(
            query.handler(wiring.query(), self._log), host=options.host, port=options.port, control=self._control
        )
        stack.callback(self.api.stop)
        self.api.start()
        if options.compact_every_s > 0:
            schedule = threading.Thread(target=self._compact_on_schedule, name="schedule", daemon=True)
            schedule.start()
            stack.callback(schedule.join)
            stack.callback(self._ending.set)

    def _compact_on_schedule(self) -> None:
        while not self._ending.wait(self._options.compact_every_s):
            try:
                self.compact()
            except BucketlensError:
                continue  # the handler has logged it, and the next run starts from the manifest as it is

    def _control(self, method: str, path: str) -> Mapping[str, object] | None:
        """What only the local server can do: POST /dev/compact, GET /dev/events."""
        match method, path:
            case "POST", "/dev/compact":
                return self.compact()
            case "GET", "/dev/events":
                dead = [_letter(letter) for letter in self.feeder.dead_letters()]
                return {"pending": self.feeder.pending(), "dead_letters": dead}
        return None


def _letter(letter: DeadLetter) -> dict[str, object]:
    return {"message": letter.message_id, "attempts": letter.attempts, "reason": letter.reason, "body": letter.body}
