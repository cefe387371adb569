"""Sentence encoders: who makes vectors of texts, in this process or remembered."""
