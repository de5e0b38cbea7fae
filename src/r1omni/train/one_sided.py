"""What is taught about a clip whose pictures or sound are taken away: which side goes, and what is left of its reasons.

A sentence that describes the absent side is left out, and so is one that opens a part about it ("In the audio, ...").
Sentences about the other side and about the emotion stay. Sides are drawn by name, so that a resumed run and a run over
several processes take away the same ones.

Left out on purpose: rewriting sentences that describe both sides. They go as a whole.
"""

import random
from collections.abc import Collection, Iterator

from r1omni.infer.features import Side
from r1omni.scoring.claim_scope import SECTIONS, SENTENCE_END
from r1omni.scoring.claims import read_reasons


def reasons_without(reasons: str, side: Side) -> str | None:
    """Return the reasons of a clip without what they say of one side; None where nothing that can be checked is left.

    Args:
        reasons: the reasoning of the whole clip.
        side: what is taken away.
    """
    claims = read_reasons(reasons).claims
    kept: list[str] = []
    num_claims = 0
    for start, stop in _sentences(reasons):
        about = [claim.side for claim in claims if start <= claim.start < stop]
        if side in about or (not about and _opens(reasons[start:stop], side)):
            continue
        kept.append(reasons[start:stop])
        num_claims += len(about)
    return "".join(kept).strip() if num_claims else None


def drawn_side(share: float, sides: Collection[Side], name: str) -> Side | None:
    """Draw the side that is taken away from an example; None shows it whole.

    Args:
        share: probability that a side is taken away.
        sides: those that may go; none shows the example whole.
        name: fixes what is drawn.
    """
    generator = random.Random(f"{name}/side")
    if not sides or generator.random() >= share:
        return None
    return generator.choice(sorted(sides))


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in SENTENCE_END.finditer(text):
        yield start, match.end()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _opens(sentence: str, side: Side) -> bool:
    """Whether a sentence begins what is said about a side."""
    opened = [(match.start(), about) for about, cue in SECTIONS if (match := cue.search(sentence))]
    return bool(opened) and min(opened)[1] == side
