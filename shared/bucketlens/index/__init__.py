"""Bytes <-> searchable. pyarrow, usearch and numkong live here."""
