"""The one table of emotion words: word -> family -> sector -> valence, written for this package and reviewed by hand.

A family holds one emotion with its inflections and its plain synonyms; a sector holds neighbouring families. Thirteen
families carry the class names of the corpora: they are what the `synonym` normaliser credits. Shades that are not plain
synonyms (annoyed, excited, lonely) have families of their own: near in open-vocabulary scoring, a miss in a closed set.
Words whose sense depends on the sentence (touched, upset, moved, shocking) are left out.

Left out on purpose: any mapping computed from string distance or an embedding. `fearless` is near `fear` in both.
"""

from typing import Literal

Valence = Literal["positive", "negative", "neither"]

SECTOR_VALENCE: dict[str, Valence] = {
    "joy": "positive",
    "love": "positive",
    "pride": "positive",
    "interest": "positive",
    "serenity": "positive",
    "neutrality": "neither",
    "surprise": "neither",
    "fear": "negative",
    "sadness": "negative",
    "shame": "negative",
    "anger": "negative",
    "aversion": "negative",
}

WHEEL: dict[str, dict[str, str]] = {
    "joy": {
        "happy": (
            "happy happier happiest happily happiness joy joyful joyfully joyous joyfulness glad gladly gladness "
            "cheerful cheerfully cheerfulness cheery delighted delight delightful delightedly pleased elated "
            "elation jubilant jubilation merry merriment gleeful glee overjoyed blissful bliss ecstatic ecstasy"
        ),
        "amused": "amused amusement amusing playful playfully playfulness humorous mischievous",
        "excited": (
            "excited excitement excitedly exciting thrilled enthusiastic enthusiasm enthusiastically exhilarated "
            "exhilaration eager eagerly eagerness energetic passionate"
        ),
        "hopeful": "hopeful hopefully hope hopefulness optimistic optimism encouraged",
    },
    "love": {
        "affectionate": (
            "affectionate affection affectionately loving lovingly love tender tenderness tenderly caring warm "
            "warmth fond fondness adoring adoration romantic"
        ),
        "grateful": "grateful gratitude gratefully thankful thankfulness appreciative appreciation",
        "compassionate": "compassionate compassion sympathetic sympathy empathetic empathy kind kindness",
        "admiring": "admiring admiration admiringly respectful respect awed awe",
    },
    "pride": {
        "proud": "proud pride proudly triumphant triumph victorious",
        "confident": (
            "confident confidence confidently assured self-assured determined determination resolute bold brave "
            "bravery courageous courage fearless fearlessness"
        ),
    },
    "interest": {
        "curious": "curious curiosity curiously interested interest intrigued fascinated fascination attentive",
        "anticipating": "anticipating anticipation expectant expectation",
    },
    "serenity": {
        "calm": (
            "calm calms calmed calming calmly calmness calmer calmest peaceful peacefully peacefulness serene "
            "serenely serenity "
            "tranquil tranquillity tranquility"
        ),
        "content": "content contented contentment satisfied satisfaction satisfying comfortable",
        "relieved": "relieved relief relaxed relaxation reassured",
    },
    "neutrality": {
        "neutral": "neutral neutrally neutrality emotionless unemotional expressionless",
        "serious": "serious seriously seriousness solemn solemnity focused concentrated",
    },
    "surprise": {
        "surprise": (
            "surprise surprised surprisedly surprises surprising surprisingly astonished astonishment astonishing "
            "astonishingly amazed amazement amazing startled stunned"
        ),
        "shocked": "shocked shock",
        "confused": (
            "confused confusion confusedly puzzled puzzlement bewildered bewilderment perplexed doubtful doubt"
        ),
    },
    "fear": {
        "fear": (
            "fear fears feared fearful fearfully fearfulness fearing afraid scared scare frightened fright frightening "
            "terrified terror horrified horror dread dreading"
        ),
        "anxious": "anxious anxiously anxiousness anxiety anxieties",
        "worried": "worried worriedly worry worries worrying worrisome",
        "nervous": (
            "nervous nervously nervousness tense tension uneasy unease uneasiness apprehensive apprehension "
            "restless stressed stress panicked panic insecure"
        ),
    },
    "sadness": {
        "sad": (
            "sad sadly sadder saddest sadness sadden saddens saddened saddening sorrow sorrowful sorrowfully "
            "sorrowfulness unhappy "
            "unhappily unhappiness mournful mourning grief grieving grieved grief-stricken heartbroken melancholy "
            "melancholic gloomy gloom miserable misery tearful"
        ),
        "disappointed": (
            "disappointed disappointedly disappoint disappoints disappointment disappointments disappointing "
            "let-down disillusioned disillusionment"
        ),
        "helpless": "helpless helplessly helplessness powerless powerlessness",
        "depressed": (
            "depressed depression dejected dejection despondent despondency discouraged desperate despair "
            "despairing desperation hopeless hopelessness"
        ),
        "lonely": "lonely loneliness isolated abandoned homesick",
        "hurt": "hurt wronged aggrieved anguished anguish pained suffering distressed distress wounded",
        "tired": "tired tiredness weary weariness exhausted exhaustion",
    },
    "shame": {
        "guilty": "guilty guilt guiltily remorseful remorse regretful regret apologetic",
        "ashamed": "ashamed shame humiliated humiliation",
        "embarrassed": "embarrassed embarrassment embarrassing awkward awkwardness shy shyness bashful",
    },
    "anger": {
        "angry": (
            "angry angrily angrier angriest anger angers angered angering mad furious furiously fury enraged rage "
            "raging irate "
            "wrathful wrath outraged outrage"
        ),
        "annoyed": (
            "annoyed annoyance irritated irritation irritable displeased displeasure dissatisfied dissatisfaction "
            "impatient impatience agitated agitation"
        ),
        "frustrated": "frustrated frustration frustrating exasperated exasperation",
        "resentful": (
            "resentful resentment hostile hostility hateful hatred hate vengeful bitter bitterness indignant "
            "indignation"
        ),
        "jealous": "jealous jealousy envious envy",
    },
    "aversion": {
        "disgust": (
            "disgust disgusts disgusted disgustedly disgusting repulsed repulsion revolted revulsion repelled nauseated"
        ),
        "contemptuous": (
            "contemptuous contemptuously contemptuousness contempt scorn scornful scornfully disdain disdainful "
            "disdainfully "
            "derisive derision despising"
        ),
        "mocking": "mocking mockery sarcastic sarcasm sneering ridicule",
        "bored": "bored boredom indifferent indifference apathetic apathy",
        "suspicious": (
            "suspicious suspicion suspiciously distrustful distrust skeptical sceptical scepticism skepticism"
        ),
    },
}
"""Sector -> family -> its words, separated by spaces; a family's name is its first word."""

FAMILY_OF: dict[str, str] = {
    word: family for families in WHEEL.values() for family, words in families.items() for word in words.split()
}
"""Word -> family."""

SECTOR_OF: dict[str, str] = {family: sector for sector, families in WHEEL.items() for family in families}
"""Family -> sector."""


def valence_of(word: str) -> Valence | None:
    """Return whether a word of the wheel is pleasant, unpleasant or neither; None for a word that the wheel lacks."""
    family = FAMILY_OF.get(word)
    return None if family is None else SECTOR_VALENCE[SECTOR_OF[family]]
