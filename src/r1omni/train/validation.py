"""Validation during training: each process answers its part of the clips, and every process gets the same figures.

The figures are those of evaluation: WAR and UAR of greedy answers over the clips that can be read, as fractions, and
the share of clips that cannot be read where there are any. Answers stream through the engine, so that validation holds
the features of a batch and not of the set.
"""

from collections.abc import Callable, Mapping, Sequence

from accelerate import Accelerator, PartialState
from torch import nn

from r1omni.core.clip import Clip
from r1omni.infer.embedding import evaluating
from r1omni.infer.engine import Engine
from r1omni.infer.greedy_answers import greedy_predictions
from r1omni.scoring.prediction import validation_figures
from r1omni.train.processes import gather_rows
from r1omni.train.sharding import whole_weights

Validate = Callable[[nn.Module], Mapping[str, float]]
"""Model -> named metrics, higher is better. Every process calls it at the same time, each with the whole weights."""


def validator(engine: Engine, clips: Sequence[Clip], instruction: str, max_completion_length: int) -> Validate | None:
    """Return the measure of validation; None where there are no clips.

    Args:
        engine: over the model in training.
        clips: with gold labels.
        instruction: what is asked.
        max_completion_length: tokens of an answer.
    """
    if not clips:
        return None

    def validate(model: nn.Module) -> Mapping[str, float]:
        del model  # the engine's own
        processes = PartialState()
        rank, world = processes.process_index, processes.num_processes
        own = greedy_predictions(engine, clips[rank::world], instruction, max_completion_length)
        return validation_figures(gather_rows(processes, list(own)))

    return validate


def measure_together(
    accelerator: Accelerator, validate: Validate, model: nn.Module, scorer: nn.Module
) -> dict[str, float]:
    """Validate in every process at once, in evaluation mode; all of them get the first one's figures.

    Args:
        accelerator: of the run.
        validate: measures the model.
        model: what is trained.
        scorer: what `distribute` returned; its weights are lent whole.
    """
    with whole_weights(scorer), evaluating(model):
        measured = dict(validate(model))
    return gather_rows(accelerator, [measured])[0]
