"""Checkpoints of public systems as model folders of this code."""
