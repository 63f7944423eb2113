"""The verbs. The body of each is its arrow chain."""
