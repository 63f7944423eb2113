"""Slow measurements, side by side in one run. Nothing here is part of the tests: ``make bench`` runs it."""
