"""Language-motion pretraining (Q-Former)."""
