"""Work on whole corpora: parts that are written once, by one process, many, or a cluster."""
