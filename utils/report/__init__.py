"""Pages of results: plots, tables and moving motions in one HTML file."""
