"""Manifests and the tools that check, count and mix them; `adapters/` turns a release on disk into one."""
