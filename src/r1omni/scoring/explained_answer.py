"""One answer with everything that is known about its reasons: a line of explanations.jsonl, and figures over many.

    hallucination rate = contradicted claims / (contradicted + supported)

Counts are per answer, so that intervals resample answers with all their claims. What was not measured of an answer is
None and leaves it out of that figure.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from r1omni.core.evidence import Evidence, EvidenceSide
from r1omni.scoring.claim_grading import CLAIM_RULES, GradedClaim, grade_claims
from r1omni.scoring.claims import Abstention, read_reasons
from r1omni.scoring.coherence import AnswerWithReasons, Figure, coherence_figures, ratio
from r1omni.scoring.prediction import Prediction

SIDES: tuple[EvidenceSide, ...] = ("pictures", "sound", "text")


@dataclass(frozen=True)
class Reliance:
    """The likeliest label after changed reasons: whether the answer hangs on them.

    Source:
        Lanham et al., "Measuring faithfulness in chain-of-thought reasoning" (arXiv 2307.13702): early answering, and
        corrupted reasoning. Deviation: the corrupted reasons are another clip's, or have one claim turned round.
    """

    own: str
    """After its own reasons."""
    cut: tuple[str, ...]
    """After the first 0, 1, 2, ... sentences, all but the last."""
    replaced: str | None
    """After another clip's reasons; None where there is no other clip."""
    turned: str | None
    """After its own reasons with one claim turned round; None where no claim can be."""

    @property
    def num_changed_by_cut(self) -> int:
        """How many of the cuts change the label."""
        return sum(label != self.own for label in self.cut)


@dataclass(frozen=True)
class ExplainedAnswer:
    """What is known about the reasons of one answer."""

    id: str
    """The clip's id."""
    text_hash: str
    """Of the model's whole output, see `hash_of`: another output, or other rules, make the record stale."""
    claims: tuple[GradedClaim, ...]
    abstentions: tuple[Abstention, ...]
    alone: Mapping[str, float] | None = None
    """Label -> probability, by the model given only the reasons, without pictures and sound."""
    reliance: Reliance | None = None
    """None where it was not measured."""
    attribution: Mapping[str, Any] | None = None
    """What the answer rests on, as `explain.attribution` writes it; None where it was not measured."""

    evidence_version: str = ""
    """How the clip was measured: another version makes the record stale."""

    @property
    def implied_alone(self) -> str | None:
        """The likeliest label by the reasons alone, as the model reads them."""
        return max(self.alone, key=self.alone.__getitem__) if self.alone else None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "id": self.id,
            "text_hash": self.text_hash,
            "claims": [claim.to_json() for claim in self.claims],
            "abstentions": [asdict(abstention) for abstention in self.abstentions],
            "alone": None if self.alone is None else dict(self.alone),
            "reliance": None if self.reliance is None else asdict(self.reliance),
            "attribution": None if self.attribution is None else dict(self.attribution),
            "evidence_version": self.evidence_version,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "ExplainedAnswer":
        """Read what `to_json` wrote.

        Args:
            record: the JSON object.

        Raises:
            ValueError: a field is missing or unknown.
        """
        try:
            reliance = record["reliance"]
            return cls(
                record["id"],
                record["text_hash"],
                tuple(GradedClaim.from_json(claim) for claim in record["claims"]),
                tuple(Abstention(**abstention) for abstention in record["abstentions"]),
                record["alone"],
                None if reliance is None else Reliance(**{**reliance, "cut": tuple(reliance["cut"])}),
                record["attribution"],
                record["evidence_version"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an explanation ({error}); delete the file and explain the run again") from error


def hash_of(text: str) -> str:
    """Return a short hash of a model's output and of the rules that claims are read and graded by.

    Args:
        text: the whole output.
    """
    return hashlib.sha256(f"{CLAIM_RULES}\n{text}".encode()).hexdigest()[:16]


def explain_by_evidence(prediction: Prediction, evidence: Evidence) -> ExplainedAnswer:
    """Read the claims of an answer and grade them.

    Args:
        prediction: an answer.
        evidence: of its clip, whole; what the model was not given of it counts as absent.
    """
    reasons = read_reasons(prediction.reasoning or "")
    read = prediction.read
    if read is not None and read.pictures is None:
        evidence = evidence.without("pictures")
    if read is not None and read.sound is None:
        evidence = evidence.without("sound")
    graded = tuple(grade_claims(reasons.claims, evidence))
    return ExplainedAnswer(prediction.id, hash_of(prediction.text or ""), graded, reasons.abstentions)


def claim_figures(answers: Sequence[ExplainedAnswer]) -> dict[str, Figure]:
    """Return the shares over claims, as fractions: hallucinations, absent sides, what could be verified, misquotations.

    Args:
        answers: those with reasons.
    """

    def over(wanted: Sequence[str], side: str | None = None) -> list[int]:
        return [
            sum(claim.state in wanted and side in (None, claim.claim.side) for claim in answer.claims)
            for answer in answers
        ]

    verifiable = over(["supported", "contradicted"])
    counts = [len(answer.claims) for answer in answers]
    rates = [[claim.error_rate for claim in answer.claims if claim.error_rate is not None] for answer in answers]
    by_side = {
        f"hallucination_rate_{side}": ratio(over(["contradicted"], side), over(["supported", "contradicted"], side))
        for side in SIDES
    }
    return {
        "hallucination_rate": ratio(over(["contradicted"]), verifiable),
        **by_side,
        "absent_side_rate": ratio([sum(claim.is_side_absent for claim in answer.claims) for answer in answers], counts),
        "verifiable_rate": ratio(verifiable, counts),
        "subtitle_error_rate": ratio([sum(row) for row in rates], [len(row) for row in rates]),
    }


def count_figures(answers: Sequence[ExplainedAnswer]) -> dict[str, Figure]:
    """Return the means per answer: claims, verifiable claims, abstentions.

    Args:
        answers: those with reasons.
    """
    ones = [1] * len(answers)
    verifiable = [sum(claim.state != "unverifiable" for claim in answer.claims) for answer in answers]
    return {
        "claims_per_answer": ratio([len(answer.claims) for answer in answers], ones),
        "verifiable_claims_per_answer": ratio(verifiable, ones),
        "abstentions_per_answer": ratio([len(answer.abstentions) for answer in answers], ones),
    }


def model_reader_figures(answers: Sequence[ExplainedAnswer], predictions: Sequence[Prediction]) -> dict[str, Figure]:
    """Return EEA, EPC and FCR by the second reader: the model, given only the reasons.

    Args:
        answers: those with reasons.
        predictions: the same answers, in the same order.
    """
    rows = []
    for answer, prediction in zip(answers, predictions, strict=True):
        implied = answer.implied_alone
        if answer.alone is not None:
            agrees = None if prediction.normalised is None else implied == prediction.normalised
            right = prediction.gold is not None and prediction.normalised == prediction.gold
            rows.append(AnswerWithReasons(implied, agrees, prediction.gold, right))
    figures = coherence_figures(rows)
    return {f"{name}_by_model": figures[name] for name in ("eea", "epc", "fcr")}


def reliance_figures(answers: Sequence[ExplainedAnswer]) -> dict[str, Figure]:
    """Return the shares of answers that change when the reasons do.

    `reliance_cut` is over all cuts, `reliance_removed` over the cut that leaves no reasons at all.

    Args:
        answers: those without a measurement are left out.
    """
    rows = [answer.reliance for answer in answers if answer.reliance is not None]
    return {
        "reliance_cut": ratio([row.num_changed_by_cut for row in rows], [len(row.cut) for row in rows]),
        "reliance_removed": ratio(
            [bool(row.cut) and row.cut[0] != row.own for row in rows], [bool(r.cut) for r in rows]
        ),
        "reliance_replaced": ratio(
            [row.replaced not in (None, row.own) for row in rows], [row.replaced is not None for row in rows]
        ),
        "reliance_turned": ratio(
            [row.turned not in (None, row.own) for row in rows], [row.turned is not None for row in rows]
        ),
    }


def attribution_figures(answers: Sequence[ExplainedAnswer]) -> dict[str, Figure]:
    """Return each side's mean share of what answers rest on, and the share of answers that another sound changes.

    Shares are among what the model was given, without its reasons.

    Args:
        answers: those without an attribution, or whose answer nothing changes, are left out.
    """
    attributions = [answer.attribution for answer in answers if answer.attribution]
    found = [shares for attribution in attributions if (shares := attribution.get("clip_shares"))]
    names = dict.fromkeys(name for shares in found for name in shares)
    figures = {
        f"{name}_share": ratio([shares.get(name, 0.0) for shares in found], [name in shares for shares in found])
        for name in names
    }
    swapped = [row for attribution in attributions if (row := attribution.get("swapped_sound"))]
    if swapped:
        figures["changed_by_other_sound"] = ratio([row["is_changed"] for row in swapped], [1] * len(swapped))
    return figures
