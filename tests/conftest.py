"""What holds for every test: hypothesis decides by examples, never by the clock, and prints how to repeat a failure.

CI repeats the same examples on every run; a person's machine looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("person", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "person")
