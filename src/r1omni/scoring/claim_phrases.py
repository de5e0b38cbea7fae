"""Words that claim something by themselves: "nods", "bursts out laughing", "speaks slowly"."""

import re
from dataclasses import dataclass

from r1omni.scoring.claim_lexicon import ClaimWhat, words


@dataclass(frozen=True)
class Phrase:
    """Words that claim something by themselves."""

    what: ClaimWhat
    value: str
    pattern: re.Pattern[str]
    negative: bool = False
    """The words deny it: "motionless" needs no "not", "remains silent" denies speech."""


def _phrase(what: ClaimWhat, value: str, pattern: str, *, negative: bool = False) -> Phrase:
    return Phrase(what, value, words(pattern), negative)


_LOOK = r"(?:look~|gaze~|stare~|glance~|peer~)"
_SPEAK = (
    r"(?:speak~|spoke|spoken|talk~|says?|said|saying|read~|answer~|"
    r"repl(?:ies|ied|ying|y)|utter~|express~|tells?|told|asks?|asked|pronounc\w+)"
)
_DEGREE = "very|so|quite|rather|too|more|extremely|relatively|really|a bit|a little|slightly|somewhat|fairly"
_VERY = f"(?: (?:{_DEGREE}))?"
_ALSO = r"(?: [\w-]+ly(?:,)?(?: and)?)?"

PHRASES: tuple[Phrase, ...] = (
    _phrase("steadiness", "steady", _SPEAK + _VERY + _ALSO + _VERY + r" (?:calmly|steadily)"),
    _phrase(
        "movement", "still", r"motionless(?:ly)?|without (?:moving|a movement)|(?:does|do|did) not move|sits? still"
    ),
    _phrase(
        "movement", "still", r"(?:remains?|stands?|stays?|lies?|sitting|standing) (?:still|motionless|frozen|rigid)"
    ),
    _phrase(
        "speech",
        "present",
        r"(?:says?|said|saying) nothing|(?:remains?|stays?|keeps?|is|falls?|fell) silent",
        negative=True,
    ),
    _phrase(
        "speech",
        "present",
        r"(?:does|do|did|is|are) not (?:speak(?:ing)?|talk(?:ing)?|say (?:anything|a word))|"
        r"no ?(?:body|one) (?:speaks|"
        r"talks|is speaking|says anything)|without (?:speaking|saying (?:anything|a word)|a word)|"
        r"no (?:speech|voice|"
        r"dialogue|lines?|spoken words?)|there is no sound",
        negative=True,
    ),
    _phrase("mouth", "sneer", r"sneer~|wrinkl(?:es|ed|ing) (?:his|her|the|their) nose|nose wrinkles"),
    _phrase("smile", "smirk", r"smirk~"),
    _phrase("smile", "present", r"smil(?:es|e|ed|ing|ey)|grin~|beam(?:s|ing)(?: face)?|smilingly"),
    _phrase("frown", "present", r"frown~|scowl~"),
    _phrase("eyes", "narrowed", r"squint~"),
    _phrase("eyes", "wide", r"wide eyed|goggl(?:es|ing)|saucer eyed"),
    _phrase("eyes", "blinking", r"blink~|winks?|winking"),
    _phrase("mouth", "pout", r"pout~"),
    _phrase("mouth", "open", r"jaw drops|gap(?:es|ing) at|open mouthed"),
    _phrase("tears", "present", r"tears?(?! (?:up|off|down|apart|open|it|the|a) )|teary|tearful(?:ly)?|wells? up"),
    _phrase(
        "tears",
        "present",
        r"(?:wipe~|rubs?|rubbing|dr(?:ies|ying)|dabs?(?: at)?) (?:at )?(?:his|her|the|their) eyes",
    ),
    _phrase(
        "head",
        "back",
        r"(?:tilt~|throws?|threw|thrown|toss~|lean~) (?:(?:his|her|their|"
        r"the) )?head(?: (?:is|was))?(?: thrown| tilted)? back(?:wards?)?",
    ),
    _phrase("head", "nodding", r"nod~"),
    _phrase("head", "lowered", r"hangs? (?:his|her|their) head"),
    _phrase("hands", "covering", r"cover~ (?:his|her|the|their) (?:face|mouth|eyes|head|ears)"),
    _phrase("hands", "covering", r"bur(?:ies|ied|ying) (?:his|her|the|their) face in (?:his|her|the|their) hands"),
    _phrase("hands", "gesturing", r"gesture~|gesticulate~|applauds?|clap~"),
    _phrase("mouth", "pressed", r"(?:grit~|clench~|grind~|ground|gnash~) (?:his|her|their|the) (?:teeth|jaw)"),
    _phrase("hands", "pointing", r"point~ (?:(?:his|her|a|one) (?:finger|hand) )?at"),
    _phrase("movement", "shrugging", r"shrug~"),
    _phrase("movement", "leaning_forward", r"lean~ (?:[\w-]+ly )?(?:forwards?|towards?|over|in)"),
    _phrase("movement", "leaning_forward", r"(?:bend~|bent) (?:forwards?|over|down)"),
    _phrase(
        "movement",
        "leaning_back",
        r"(?:lean~|shrink~|shrank|recoil~|flinch~) back(?:wards?)?",
    ),
    _phrase("movement", "leaning_back", r"recoil~"),
    _phrase("movement", "walking", r"(?:walk|stride|run|rush|jog)(?:s|ing)|walked|ran|rushed|running|striding"),
    _phrase("movement", "walking", r"pac(?:es|ed|ing) (?:up and down|back and forth|around)"),
    _phrase(
        "movement",
        "walking",
        r"step~ (?:back|forwards?|aside|towards?|out)|(?:takes?|took|taking) (?:a|one|"
        r"two) steps?(?: (?:back|forward))?",
    ),
    _phrase("movement", "turning", r"turn~ (?:around|round|away|back|towards?)"),
    _phrase("movement", "restless", r"fidget(?:s|ed|ing|y)?|squirm~|restlessly"),
    _phrase(
        "movement",
        "rising",
        r"(?:stand~|stood|get~|jump~|spring~) up(?! and down)|ris(?:es|ing) from|leaps? up|(?:jumps?|"
        r"gets?) to (?:his|her|their) feet",
    ),
    _phrase("movement", "trembling", r"(?:shiver(?:s|ed|ing)|shudder(?:s|ed|ing))"),
    _phrase(
        "gaze",
        "down",
        _LOOK + r" (?:[\w-]+ly )?(?:down(?:wards?)?(?! the)|at (?:the|his|her|their) (?:floor|ground|feet|lap))",
    ),
    _phrase(
        "gaze",
        "down",
        r"(?:lower|drop)(?:s|ed|ing)? (?:his|her|their|the) (?:eyes|gaze)|looking down|eyes (?:are )?cast down",
    ),
    _phrase("gaze", "up", _LOOK + r" (?:[\w-]+ly )?(?:up(?:wards?)?|at the (?:ceiling|sky))"),
    _phrase("gaze", "away", _LOOK + r" (?:[\w-]+ly )?(?:away|past|elsewhere|out of the window|into the distance)"),
    _phrase(
        "gaze",
        "away",
        r"avert~ (?:his|her|their|the) (?:eyes|gaze)|avoid~ (?:making )?eye contact|avoid~ the (?:eyes|gaze)",
    ),
    _phrase(
        "gaze", "sideways", _LOOK + r" (?:[\w-]+ly )?(?:sideways|aside|to (?:the|one|his|her) (?:left|right|side))"
    ),
    _phrase("gaze", "shifting", _LOOK + r" (?:[\w-]+ly )?(?:around|about|back and forth|from side to side)"),
    _phrase("gaze", "ahead", _LOOK + r" (?:straight |directly )*(?:ahead|forwards?|(?:at|into) the (?:camera|lens))"),
    _phrase("gaze", "fixed", r"(?:keep~|fix~) (?:his|her|their|the) (?:eyes|gaze) (?:fixed )?on"),
    _phrase("gaze", "fixed", r"stare~|glare~"),
    _phrase("gaze", "toward", _LOOK + r" (?:[\w-]+ly )?(?:at|towards?|over (?:at|to)|across)"),
    _phrase(
        "laughter",
        "present",
        r"(?:laugh(?:s|ed|ing|ter)?|chuckle~|giggle~|guffaw\w*|titter\w*|"
        r"snicker\w*)(?: (?:out loud|aloud|loudly))?",
    ),
    _phrase("crying", "present", r"sob~|wail~|whimper~|sniffle~"),
    _phrase("tears", "present", r"bursts? into tears|shed~ tears"),
    _phrase("crying", "present", r"cr(?:ies|y|ied|ying)(?! out)|weep~|wept"),
    _phrase("crying", "present", r"(?:tearful|weepy) (?:voice|tone)"),
    _phrase("sighs", "present", r"sigh~"),
    _phrase(
        "sighs",
        "breath",
        r"gasp~|pant(?:s|ed|ing)|(?:heavy|rapid|quick|audible|deep) breath~|breath(?:es|"
        r"ing) (?:heavily|quickly|rapidly|hard)",
    ),
    _phrase(
        "loudness",
        "loud",
        r"(?<!to\s)shout~|yell~|scream~|shriek~|roar~|bellow~|loudly|out loud|"
        r"at the top of (?:his|her|their) (?:lungs|voice)",
    ),
    _phrase("loudness", "loud", r"raise~ (?:his|her|their|the) voice"),
    _phrase("loudness", "soft", r"lower~ (?:his|her|their|the) voice"),
    _phrase("loudness", "soft", r"drops? to a (?:whisper|murmur)|whisper~|murmur~|mutter~|mumble~"),
    _phrase("loudness", "soft", _SPEAK + _VERY + _ALSO + r" (?:softly|quietly|in a whisper|under (?:his|her) breath)"),
    _phrase(
        "loudness",
        "rising",
        r"(?:(?:gets?|becomes?|grows?|getting|becoming) )?louder and louder|(?:gets?|becomes?|"
        r"grows?|getting|becoming) louder",
    ),
    _phrase("loudness", "falling", r"(?:gets?|becomes?|grows?) (?:quieter|softer)"),
    _phrase(
        "pace",
        "fast",
        _SPEAK
        + _VERY
        + _ALSO
        + _VERY
        + r" (?:fast|quickly|rapidly|hurriedly|hastily|in a (?:hurried|rapid|rushed) (?:manner|way))",
    ),
    _phrase("pace", "slow", _SPEAK + _VERY + _ALSO + _VERY + r" slowly"),
    _phrase("pace", "rising", r"faster and faster"),
    _phrase("pitch", "rising", r"from low to high"),
    _phrase("pitch", "falling", r"from high to low"),
    _phrase("pitch", "high", r"high pitched|shrill(?:y)?|in a high voice"),
    _phrase(
        "pitch",
        "flat",
        r"(?:no|little|few|without)(?: (?:any|much|obvious|great|clear|noticeable|"
        r"significant|strong))? (?:fluctuations?|ups and downs|variations?|"
        r"modulations?)(?: (?:in|of) (?:the |his |her )?(?:tone|pitch|voice|intonation))?",
    ),
    _phrase("pitch", "flat", r"monoton(?:e|ous|ously)"),
    _phrase(
        "steadiness",
        "trembling",
        r"(?:quaver|tremor|trembling|tremble|shaking|quiver) in (?:the|his|her|their) (?:voice|"
        r"tone)|chok(?:es|ed|ing) (?:up|with)",
    ),
    _phrase("pauses", "stutter", r"stutter~|stammer~"),
    _phrase("pauses", "long", r"long (?:pauses?|silences?)|paus(?:es|ed) for (?:a long|some) (?:time|while)"),
    _phrase(
        "pauses",
        "present",
        r"pause~|hesitat(?:es|e|ed|ing|ions?|ingly)|halting(?:ly)?|intermittent(?:ly)?",
    ),
)
"""Words that claim something by themselves, the more specific ones first."""

SPOKEN_ADVERBS: tuple[tuple[ClaimWhat, str, re.Pattern[str]], ...] = (
    ("pace", "fast", words(r"quickly|rapidly|hurriedly|fast")),
    ("pace", "slow", words(r"slowly")),
    ("loudness", "soft", words(r"softly|quietly")),
)
"""Adverbs that are claims about the voice only in a sentence about what is heard, beside a word for speaking."""
SPEAKING = words(_SPEAK + r"|speakers?|words|speech|sentence")
