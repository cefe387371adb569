"""Judges that guards ask over the network."""
