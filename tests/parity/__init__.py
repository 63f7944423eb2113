"""Our preprocessing, tokens and vectors against those of transformers, on architectures exported with random weights.

``python -m tests.parity`` prints the table. Needs the extra ``train``; without it the tests are skipped.
"""
