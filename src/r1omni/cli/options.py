"""Options that several verbs share, worded once."""

from typing import Annotated, Literal

import typer

Answers = Annotated[
    Literal["reasoning", "label"], typer.Option(help="What the model is asked for: reasons and an answer, or a label.")
]
ModalityOption = Annotated[
    Literal["auto", "video+audio", "video", "audio"], typer.Option(help="What is read; auto takes what is there.")
]
