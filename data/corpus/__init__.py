"""Corpora larger than memory: shards, names on the disk, tokens."""
