"""Confusion matrices as tables: a number in every cell, shaded by its share of the row, the diagonal framed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True)
class Confusion:
    """Counts of answers per gold label."""

    title: str
    rows: Sequence[str]
    """Gold labels."""
    columns: Sequence[str]
    """Answers; the last column may hold those outside the label set."""
    counts: Sequence[Sequence[int]]

    @classmethod
    def from_scores(cls, title: str, scores: Mapping[str, Any]) -> "Confusion":
        """Read the matrix of a scores.json.

        Args:
            title: the model and the corpus.
            scores: the content of the file.
        """
        matrix = scores["confusion"]
        return cls(title, matrix["rows"], matrix["columns"], matrix["counts"])


def confusion_table(confusion: Confusion) -> Markup:
    """Format a matrix as a table of row percentages, with the counts in the title of each cell.

    Args:
        confusion: the counts. Rows without a clip are left out.
    """
    heads = Markup("").join(
        Markup('<th scope="col"><span>{}</span></th>').format("OOV" if name == "out of vocabulary" else name)
        for name in confusion.columns
    )
    body = []
    for name, counts in zip(confusion.rows, confusion.counts, strict=True):
        total = sum(counts)
        if not total:
            continue
        cells = [
            Markup('<td class="{}" style="--share:{:.3f}" title="{} answered {}: {} of {}">{}</td>').format(
                "right" if column == name else "",
                count / total,
                name,
                column,
                count,
                total,
                f"{100 * count / total:.0f}" if count else "·",
            )
            for column, count in zip(confusion.columns, counts, strict=True)
        ]
        body.append(
            Markup('<tr><th scope="row">{}</th>{}<td class="total">{}</td></tr>').format(
                name, Markup("").join(cells), total
            )
        )
    if not body:
        return Markup('<p class="none">{}: no clip was scored.</p>').format(confusion.title)
    return Markup(
        '<table class="confusion"><caption>{}</caption><thead><tr><td></td>{}<th scope="col" class="total">'
        "<span>clips</span></th></tr></thead><tbody>{}</tbody></table>"
    ).format(confusion.title, heads, Markup("").join(body))
