"""``python -m bucketlens`` is the ``bucketlens`` command."""

from bucketlens.cli import main

raise SystemExit(main())
