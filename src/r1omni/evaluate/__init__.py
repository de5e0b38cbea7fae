"""From a manifest to predictions.jsonl and scores.json: resumable, sharded, the same bytes however it was run."""
