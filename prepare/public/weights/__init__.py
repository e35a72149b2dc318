"""Names of the public weights under ours, one module a kind of network."""
