"""What the command line does beyond running the product: one module per group of commands."""
