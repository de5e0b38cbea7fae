"""HumanOmni: the model, its processor and its checkpoints."""
