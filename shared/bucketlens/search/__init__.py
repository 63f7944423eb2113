"""Snapshot -> hits."""
