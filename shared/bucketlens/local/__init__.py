"""The same handlers in one process: an S3-compatible endpoint, an event feeder, the API, the demo."""
