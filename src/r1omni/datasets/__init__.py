"""A release on disk becomes a manifest: one adapter per file, and the tools that check, count and mix manifests."""
