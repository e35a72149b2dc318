"""Command-line options, one dataclass per script."""
