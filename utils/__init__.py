"""Geometry, motion files, training loop and other tools that know nothing of the models."""
