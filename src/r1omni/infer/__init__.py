"""Features once per clip, and the one engine that writes answers for training, evaluation and service."""
