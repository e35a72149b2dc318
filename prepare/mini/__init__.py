"""The `mini` data set: its clips, labels, captions and splits."""
