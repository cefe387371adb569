"""The stages, one a file; none knows another."""
