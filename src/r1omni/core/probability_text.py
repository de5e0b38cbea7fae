"""How a probability is shown to people: in whole percent, and never as certain. JSON has the numbers."""


def probability_text(probability: float) -> str:
    """Return a probability in percent; what would round to 0 or 100 is shown as below 1 or above 99.

    Args:
        probability: in [0, 1].
    """
    rounded = f"{100 * probability:.0f}"
    return {"0": "< 1 %", "100": "> 99 %"}.get(rounded, f"{rounded} %")
