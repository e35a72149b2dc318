"""Residual vector-quantised motion tokenizer."""
