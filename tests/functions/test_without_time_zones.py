"""Lambda's Python may come without a time zone database: nothing may ask for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
sys.modules["zoneinfo"] = sys.modules["pytz"] = None  # importing either now fails, as where they are missing

from datetime import timedelta
from pathlib import Path
from bucketlens.filters import parse
from bucketlens.pipelines.compact import compact
from bucketlens.search.scan import search_parts
from bucketlens.store.memory import MemoryStore
from tests.support.table import COLLECTION, START, Table, append, image, rejected, tombstone, vector

table = Table(MemoryStore(lambda: START), Path(sys.argv[1]))
dated = {"taken_at": "2024-05-01T12:00:00+02:00"}
rows = [image(f"images/{n}.jpg", n + 1, dated) for n in range(30)]
append(table.store, [*rows, rejected("images/bad.jpg", 50)])
append(table.store, [tombstone("images/3.jpg", 60)])
for hours in (0, 1):
    assert table.view().rejections["images/bad.jpg"].at == START
    compact(COLLECTION, table.compactor(), now=START + timedelta(hours=hours), nonce=f"n{hours}")
    append(table.store, [image("images/new.jpg", 100 + hours, dated)])
condition = parse({"taken_at": {"$gt": "2024-05-01T09:59:59Z", "$lt": "2024-05-02"}})
found = search_parts(table.view().parts, vector(1), condition, 50, exact=False)
print(sum(part.matched for part in found))
"""


def test_rejections_tombstones_and_dates_need_no_time_zone_database(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environ = {"PYTHONPATH": f"{root / 'shared'}:{root}"}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "30"
