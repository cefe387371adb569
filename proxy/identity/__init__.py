"""Whom tokens speak for: an identity provider's keys, and what it signed."""
