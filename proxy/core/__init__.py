"""Vocabulary and driver: what an exchange is and how it travels."""
