"""What a query in a new container does not import: its answer waits for every module."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from tests.support.table import START, Table, append, image

from bucketlens.pipelines.compact import compact
from bucketlens.store.memory import MemoryStore

UNWANTED = {"boto3", "s3transfer", "numpy.ma", "onnxruntime", "moto", "pandas"}
SCRIPT = """
import pickle, sys
from pathlib import Path
import app
from bucketlens.handlers.wiring import Wiring
from bucketlens.pipelines.query import QueryTools, search
from bucketlens.queries import ByVector, Query
from bucketlens.search import cold
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore
from tests.support.table import COLLECTION, START, Table, vector

Wiring.of({"BUCKET": "b"}).query()
cold.EXACT_BYTES = cold.DIRECT_ROWS = 0  # by codes, as where rows are many
store = MemoryStore(lambda: START)
for key, body in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
    store.create(key, body)
views = Table(store, Path(sys.argv[2]), cold_from=0).views()
tools = QueryTools(views, MemoryImages(), None, Settings("b"))
answer = search(Query(COLLECTION, ByVector(tuple(vector(1).tolist()))), tools)
print(len(answer.hits), answer.certificate["shards_cold"])
print(*sys.modules)
"""


def test_a_first_query_by_vector_imports_nothing_it_does_not_need(tmp_path: Path) -> None:
    table = Table(MemoryStore(lambda: START), tmp_path / "made")
    append(table.store, [image(f"images/{n}.jpg", n + 1) for n in range(2_000)])
    compact("default", table.compactor(), now=START, nonce="n")
    append(table.store, [image("images/new.jpg", 3_000), image("images/1.jpg", 3_001)])
    objects = {entry.key: table.store.get(entry.key).body for entry in table.store.list("")}
    (tmp_path / "objects").write_bytes(pickle.dumps(objects))
    root = Path(__file__).parents[2]
    environ = {
        **os.environ,
        "PYTHONPATH": f"{root / 'shared'}:{root}:{root / 'functions' / 'query'}",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "objects"), str(tmp_path / "disk")]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answered, modules = done.stdout.splitlines()
    assert answered == "10 1"
    assert not UNWANTED & set(modules.split())
