"""Answering from the answer to a question that means the same."""
