"""Commands that are not about serving, one module each."""
