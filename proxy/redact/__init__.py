"""Finding what is personal or secret in text, and putting it back."""
