"""GALD-SE and its family: diffusion speech enhancement for SpeechBrain."""

__version__ = "0.1.0"
