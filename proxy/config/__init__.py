"""The code that reads YAML; the YAML itself is in the top-level config/."""
