"""An HTTP API that OpenAI's clients speak, and a page, over the one engine."""
