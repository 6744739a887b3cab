"""Paths: how clean speech turns into noisy speech."""
