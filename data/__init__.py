"""Data sets in the HumanML3D folder layout."""
