"""The training stages: supervised fine-tuning and GRPO, one readable loop each, with their maths beside them."""
