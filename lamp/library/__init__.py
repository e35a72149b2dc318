"""A library of motion: folders of captures cut into segments, described, and searched by text or by motion."""
