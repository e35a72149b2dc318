"""Data preparation and downloads."""
