"""Writers of motion files, one module a format: BVH, npz, stick-figure mp4. A new format is one more module."""
