"""Options that several verbs share, worded once."""

from typing import Annotated, Literal

import typer

Answers = Annotated[
    Literal["reasoning", "label"], typer.Option(help="What the model is asked for: reasons and an answer, or a label.")
]
ModalityOption = Annotated[
    Literal["auto", "video+audio", "video", "audio"], typer.Option(help="What is read; auto takes what is there.")
]
VisionOption = Annotated[
    str | None, typer.Option(help="SigLIP folder or hub id, where a published checkpoint lacks its tower.")
]
AudioOption = Annotated[str | None, typer.Option(help="Whisper folder or hub id, likewise.")]
RouterOption = Annotated[str | None, typer.Option(help="BERT folder or hub id, likewise; its vocabulary is needed.")]
DtypeOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Number format; auto takes what this machine computes best in."),
]
