"""Sidestream: a reverse-proxy sidecar that speaks the OpenAI wire protocol."""

__version__ = "0.1.0"
