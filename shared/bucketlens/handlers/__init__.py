"""The Lambda handlers as values: built from settings and collaborators, called with (event, context)."""
