"""Checkpoints that other projects published, as folders that transformers loads."""
