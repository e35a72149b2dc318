"""How good a result is: metrics, evaluation protocols, retrieval, captions, physical plausibility."""
