"""Shapley values of games small enough to work by hand."""

import pytest

from r1omni.scoring.shapley import coalitions, shapley_values, shares


def game(values: dict[str, float]) -> dict[frozenset[str], float]:
    """Values by the initials of a coalition's members."""
    return {frozenset(members): value for members, value in values.items()}


def test_coalitions_are_all_subsets_from_nobody_to_all():
    assert coalitions(["a", "b"]) == [frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")]
    assert len(set(coalitions(["a", "b", "c", "d"]))) == 16


def test_two_players_by_hand():
    """a alone adds 2, after b 6 - 1 = 5: (2 + 5) / 2 = 3.5. b alone adds 1, after a 4: 2.5."""
    found = shapley_values(["a", "b"], game({"": 0, "a": 2, "b": 1, "ab": 6}))
    assert found == {"a": 3.5, "b": 2.5}


def test_three_players_by_hand():
    """The glove game: a left glove (a) and two right ones (b, c); a pair is worth 1.

    a adds 1 unless it comes first, so in 4 of 6 orders; b adds 1 only in the order a b c, so in 1 of 6.
    """
    found = shapley_values(["a", "b", "c"], game({"": 0, "a": 0, "b": 0, "c": 0, "ab": 1, "ac": 1, "bc": 0, "abc": 1}))
    assert found == pytest.approx({"a": 4 / 6, "b": 1 / 6, "c": 1 / 6})


def test_values_are_efficient_symmetric_and_0_for_a_null_player():
    """v(S) = |S and {a, b}| squared - 3; c changes nothing; four players with another weight each way."""
    players = ["a", "b", "c", "d"]
    value = {
        members: len(members & {"a", "b"}) ** 2 - 3 + (0.25 if "d" in members else 0.0)
        for members in coalitions(players)
    }
    found = shapley_values(players, value)
    assert sum(found.values()) == pytest.approx(value[frozenset(players)] - value[frozenset()])
    assert found["a"] == pytest.approx(found["b"]) == pytest.approx(2.0)
    assert found["c"] == pytest.approx(0.0)
    assert found["d"] == pytest.approx(0.25)


def test_one_player_gets_everything_and_nobody_nothing():
    assert shapley_values(["a"], game({"": -4, "a": -1})) == {"a": 3}
    assert shapley_values([], game({"": -4})) == {}


def test_a_missing_coalition_is_an_error():
    with pytest.raises(KeyError):
        shapley_values(["a", "b"], game({"": 0, "a": 1, "ab": 2}))


def test_shares_compare_absolute_values():
    """|3|, |-1| and |4| of 8; among the first two of 4."""
    values = {"pictures": 3.0, "sound": -1.0, "reasons": 4.0}
    assert shares(values) == {"pictures": 0.375, "sound": 0.125, "reasons": 0.5}
    assert shares(values, ("pictures", "sound", "subtitle")) == {"pictures": 0.75, "sound": 0.25}


def test_shares_of_nothing_are_none():
    assert shares({"pictures": 0.0}) is None
    assert shares({}) is None
    assert shares({"reasons": 1.0}, ("sound",)) is None
