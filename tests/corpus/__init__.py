"""Prompts of our own making, on which the shipped packs are measured."""
