"""Text-to-motion generators over motion tokens."""
