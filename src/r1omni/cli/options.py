"""Options that several verbs share, worded once."""

from typing import Annotated, Literal

import typer

from r1omni.config.cluster import ClusterSection, Runner
from r1omni.config.evaluation_run import EvaluationConfig
from r1omni.config.schema import Schema
from r1omni.config.sections import EngineSection, TextField, text_field_fault
from r1omni.core.answer_format import AnswerFormat
from r1omni.core.clip import Modality
from r1omni.core.errors import ConfigError


def meaning(schema: type[Schema], field: str) -> str:
    """Return what a setting means, as its schema words it, for `--help`.

    Args:
        schema: a kind of run.
        field: one of its settings.
    """
    return " ".join((schema.model_fields[field].description or "").split())


Answers = Annotated[
    Literal["reasoning", "label"],
    typer.Option(help="What the model is asked for: reasoning and an answer, or a label."),
]
ModalityOption = Annotated[Modality, typer.Option(help="What is read; auto reads the modalities the file has.")]
VisionOption = Annotated[
    str | None, typer.Option(help="SigLIP folder or hub id, for a published checkpoint without its vision tower.")
]
AudioOption = Annotated[str | None, typer.Option(help="Whisper folder or hub id, for one without its audio tower.")]
RouterOption = Annotated[
    str | None, typer.Option(help="BERT folder or hub id, for one without its router or the router's vocabulary.")
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or hub id of the model that a LoRA adapter was trained on. [default: the one it names]",
        show_default=False,
    ),
]
DtypeOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Number format; auto chooses the one this machine computes fastest in."),
]
VideoPoolingOption = Annotated[
    Literal["none", "slow_fast"] | None,
    typer.Option(
        help="none: every video token; slow_fast: all frames pooled 2x2, then every fourth in full, as in "
        "HumanOmni's own 7B model. [default: the checkpoint's own]",
        show_default=False,
    ),
]
AnswerFormatOption = Annotated[
    str | None,
    typer.Option(
        help=meaning(EngineSection, "answer_format"),
        show_default=False,
        callback=lambda spelling: None if spelling is None else str(AnswerFormat.spelled(spelling)),
    ),
]
TextFieldOption = Annotated[TextField, typer.Option(help=meaning(EngineSection, "text_field"))]
WhisperOption = Annotated[
    str | None, typer.Option("--whisper", help=meaning(EngineSection, "whisper"), show_default=False)
]
LabelsOption = Annotated[
    str | None,
    typer.Option(help="Expected labels, separated by commas. [default: all known ones]", show_default=False),
]
LicenceOption = Annotated[
    str,
    typer.Option(
        "--license", help="Licence as the hub lists it: apache-2.0, cc-by-nc-4.0, other, ...", show_default=False
    ),
]
LikeOfficialOption = Annotated[
    bool, typer.Option("--like-official", help="Prepare media as the official script does, for comparisons.")
]
EngineOption = Annotated[
    Runner,
    typer.Option(
        help="Who does the work: this process, or a Ray cluster (extra cluster), the one at RAY_ADDRESS or one that is "
        "started on this machine. The results are the same."
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray, what its operators take, such as model_actors=8,tower_actors=2,actor_cpus=4; of "
        f"{', '.join(ClusterSection.model_fields)}. [default: from the cluster's size]",
        show_default=False,
    ),
]
WindowsOption = Annotated[bool, typer.Option("--windows", help=meaning(EvaluationConfig, "windows"))]


def check_text_field(text_field: TextField, whisper: str | None) -> None:
    """Refuse a transcript without a Whisper checkpoint, and the other way round.

    Args:
        text_field: the option.
        whisper: the option.

    Raises:
        ConfigError: they do not go together.
    """
    if (fault := text_field_fault(text_field, whisper)) is not None:
        raise ConfigError(f"--text-field and --whisper: {fault}")


def cluster_section(text: str | None) -> ClusterSection:
    """Return what the operators take of a Ray cluster.

    Args:
        text: the option: names and values, such as `model_actors=8,tower_actors=2`.

    Raises:
        ConfigError: it has another form.
    """
    entries = [entry.strip().partition("=") for entry in (text or "").split(",") if entry.strip()]
    if any(not value for _, _, value in entries):
        raise ConfigError(f"--cluster: found {text!r}; expected NAME=NUMBER,..., such as model_actors=8,tower_actors=2")
    return ClusterSection.model_validate({name.strip(): value.strip() for name, _, value in entries})


def split_labels(text: str | None) -> tuple[str, ...] | None:
    """Return the labels that an option names; None where it is not given.

    Args:
        text: names separated by commas.

    Raises:
        ConfigError: it names none.
    """
    if text is None:
        return None
    labels = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not labels:
        raise ConfigError(f"--labels: found {text!r}; expected names separated by commas, such as happy,sad")
    return labels


def one_of_many(option: str, text: str) -> tuple[int, int]:
    """Read which of several processes this one is.

    Args:
        option: the option's name, for the message.
        text: index and count, such as `0/4`.

    Raises:
        ConfigError: it is anything else.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ConfigError(f"{option}: found {text!r}; expected I/N with I below N, such as 0/4")
    return int(index), int(count)
