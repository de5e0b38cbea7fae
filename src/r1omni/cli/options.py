"""Options that several verbs share, worded once."""

from typing import Annotated, Literal

import typer

from r1omni.core.clip import Modality

Answers = Annotated[
    Literal["reasoning", "label"], typer.Option(help="What the model is asked for: reasons and an answer, or a label.")
]
ModalityOption = Annotated[Modality, typer.Option(help="What is read; auto reads the modalities the file has.")]
VisionOption = Annotated[
    str | None, typer.Option(help="SigLIP folder or hub id, where a published checkpoint lacks its tower.")
]
AudioOption = Annotated[str | None, typer.Option(help="Whisper folder or hub id, likewise.")]
RouterOption = Annotated[str | None, typer.Option(help="BERT folder or hub id, likewise; its vocabulary is needed.")]
DtypeOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Number format; auto takes what this machine computes best in."),
]
VideoPoolingOption = Annotated[
    Literal["none", "slow_fast"] | None,
    typer.Option(
        help="none: every video token is read; slow_fast: all frames pooled 2x2, then every fourth in full, as in "
        "HumanOmni's own 7B model. [default: the checkpoint's own]",
        show_default=False,
    ),
]
LikeOfficialOption = Annotated[
    bool, typer.Option("--like-official", help="Prepare media as the official script does, for comparisons.")
]
