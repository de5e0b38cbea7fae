"""Exact Shapley values: how much of a game's value each player brings.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S))

They add up to v(all) - v(nobody), equal players get equal values, and a player who changes nothing gets 0. All 2^n
coalitions are needed; there is no sampling.

Source:
    L. S. Shapley (1953), "A value for n-person games". Shares as in MM-SHAP (L. Parcalabescu, A. Frank, 2023,
    arXiv 2212.08158, equation 2): absolute values, so that evidence against the answer counts as use of the side.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import TypeVar

Player = TypeVar("Player")
"""The name of a player."""


def coalitions(players: Sequence[Player]) -> list[frozenset[Player]]:
    """Return every set of players, from nobody to all.

    Args:
        players: different names.
    """
    return [frozenset(members) for size in range(len(players) + 1) for members in combinations(players, size)]


def shapley_values(players: Sequence[Player], value: Mapping[frozenset[Player], float]) -> dict[Player, float]:
    """Return what each player brings, in the unit of the value.

    Args:
        players: different names.
        value: of each of their `coalitions`.

    Raises:
        KeyError: the value of a coalition is missing.
    """
    count = len(players)
    found: dict[Player, float] = {}
    for player in players:
        others = [other for other in players if other != player]
        found[player] = sum(
            factorial(len(members))
            * factorial(count - len(members) - 1)
            / factorial(count)
            * (value[members | {player}] - value[members])
            for members in coalitions(others)
        )
    return found


def shares(values: Mapping[Player, float], among: Collection[Player] | None = None) -> dict[Player, float] | None:
    """Return each player's share of the absolute values; the shares sum to 1.

    Args:
        values: Shapley values.
        among: players that are compared, those without a value left out; None compares all.

    Returns:
        None where there is nobody, or nobody changes anything.
    """
    compared = {player: abs(value) for player, value in values.items() if among is None or player in among}
    total = sum(compared.values())
    return {player: value / total for player, value in compared.items()} if total > 0 else None
