"""Options of work on whole corpora."""
