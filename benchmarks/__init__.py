"""How long everything takes; `python -m benchmarks.all` runs all scripts, docs/performance.md explains them."""
