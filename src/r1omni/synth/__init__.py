"""Synthetic corpora: drawn people with synthetic voices, written as real mp4 files with their true cues."""
