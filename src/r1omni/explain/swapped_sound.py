"""Whether an answer changes when the clip gets another clip's sound: the plainest sign that the sound is used.

The pictures stay, the model answers again, greedily, and the two answers are compared as they are written, lower-cased.
A donor is a clip that was answered differently, so that a change can show; a donor of the same emotion would leave a
perfect model's answer as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.explain.attribution import AnsweredClip
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt, Sampling


@dataclass(frozen=True)
class SwappedSound:
    """An answer to a clip's pictures with another clip's sound."""

    donor: str
    """Id of the clip that the sound is from."""
    answer: str | None
    """None where the tags are broken."""
    is_changed: bool
    """Whether it differs from the answer to the clip as it is."""


def choose_donors(answers: Sequence[str | None], has_sound: Sequence[bool]) -> list[int | None]:
    """Return for each clip the next one, in a circle, that has sound and another answer.

    Args:
        answers: one per clip, as they are compared; None where there is none.
        has_sound: whether the model was given the clip's sound.

    Returns:
        Places; None of a clip without sound or answer, and where there is no such clip.
    """
    count = len(answers)
    found: list[int | None] = []
    for place, answer in enumerate(answers):
        others = [(place + step) % count for step in range(1, count)]
        fits = [other for other in others if has_sound[other] and answers[other] not in (None, answer)]
        found.append(fits[0] if fits and has_sound[place] and answer is not None else None)
    return found


def swap_sound(
    engine: Engine, answered: Sequence[AnsweredClip], donors: Sequence[Clip | None], max_new_tokens: int
) -> list[SwappedSound | None]:
    """Answer clips again, with the sound of others.

    Args:
        engine: over the model that answered.
        answered: any number of answers with their clips' features.
        donors: per answer the clip whose sound it gets; None leaves it out.
        max_new_tokens: limit of an answer.

    Returns:
        One per answer; None without a donor, without sound on either side, or where the donor cannot be read.
    """
    places = [place for place, donor in enumerate(donors) if donor is not None]
    heard = engine.encoder.features([donor for donor in donors if donor is not None])
    swapped: dict[int, Features] = {}
    for place, entry in zip(places, heard, strict=True):
        own = answered[place].features
        if not isinstance(entry, MediaError) and entry.audio is not None and own.audio is not None:
            read = replace(own.read, sound=entry.read.sound)
            # Words that were heard in the sound go with it; nobody reads the donor's.
            swapped[place] = replace(own.without("sound"), audio=entry.audio, read=read)
    prompts = [Prompt.ask(answered[place].instruction, features) for place, features in swapped.items()]
    written = engine.generator.run(prompts, Sampling(max_tokens=max_new_tokens)) if prompts else []
    found: list[SwappedSound | None] = [None] * len(answered)
    for place, (completion,) in zip(swapped, written, strict=True):
        before = engine.answer_format.parse(answered[place].text).answer
        answer = engine.answer_format.parse(completion.text).answer
        donor = donors[place]
        assert donor is not None
        found[place] = SwappedSound(donor.id, answer, answer != before)
    return found
