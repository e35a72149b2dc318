"""What a sentence asks for, read from its words by rules: order, things at once, amounts; `plan` is the whole of it."""
