"""HumanOmni: its configuration, towers, projector and language model, and the published checkpoints.

The axis words of tensor shapes, in this room and in every one above it:

    batch      prompts, or clips, side by side
    group      the answers sampled for one prompt
    frames     pictures of one clip; `images` are the frames of a whole batch in one row
    rows cols  pixels or grid cells of a picture
    patches    grid cells of a picture, row by row
    mels       mel bands; `steps` are the time steps beside them
    tokens     what the language model reads; `words` are what the router reads
    prompt     tokens of a prompt, and answer those of an answer
    width      channels of a tower's features; `channels` those inside the projector
    hidden     channels of the language model
    vocab      entries of its vocabulary
    layers heads head_dim
               of the language model's keys and values

A word with a leading underscore (`_frames`) names an axis whose length differs between the tensors of one call.
"""
