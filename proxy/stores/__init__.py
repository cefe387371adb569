"""Adapters to state: memory and Redis."""
