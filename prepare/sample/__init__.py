"""The procedural motion of `prepare/make_sample.py`."""
