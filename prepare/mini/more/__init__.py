"""More motion for the `mini` data set: six public sources of other formats, their labels, captions and splits."""
