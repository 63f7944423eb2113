"""bucketlens: image similarity search that lives in an S3 bucket."""

__version__ = "0.1.0"
