"""The words of claims: what can be claimed of a clip, and which words claim it.

`PARTS` are nouns with the words that say how they are ("brows" + "raised"); words that claim something by themselves
("nods") are in `claim_phrases`. To add a claim type: a name in `ClaimWhat`, its side in `SIDE_OF`, its words here or
there, and a rule in `claim_grading` that says which measurement decides it.

Left out on purpose: words for impressions and emotions ("a tense face", "an angry tone"), which no measurement decides.
"""

import re
from dataclasses import dataclass
from typing import Literal

from r1omni.core.evidence import EvidenceSide

ClaimWhat = Literal[
    "smile",
    "frown",
    "brows",
    "eyes",
    "gaze",
    "mouth",
    "tears",
    "head",
    "hands",
    "movement",
    "pitch",
    "loudness",
    "pace",
    "pauses",
    "steadiness",
    "laughter",
    "crying",
    "sighs",
    "speech",
    "quotation",
    "topic",
]
"""What a claim is about; `speech` is claimed only by saying that nobody speaks, `topic` only in made corpora."""

_VERB = re.compile(r"([a-z]+)([a-z])~")


def _forms(verb: re.Match[str]) -> str:
    stem, last = verb[1], verb[2]
    if last == "e":
        return f"{stem}(?:e|es|ed|ing)"
    if last == "y" and stem[-1] not in "aeo":
        return f"{stem}(?:y|ies|ied|ying)"
    return f"{stem}{last}(?:s|es|{last}?ed|{last}?ing)?"


_WHAT_BY_SIDE: dict[EvidenceSide, str] = {
    "pictures": "smile frown brows eyes gaze mouth tears head hands movement",
    "sound": "pitch loudness pace pauses steadiness laughter crying sighs speech",
    "text": "quotation topic",
}
SIDE_OF: dict[str, EvidenceSide] = {what: side for side, names in _WHAT_BY_SIDE.items() for what in names.split()}
"""What -> the side of the clip on which it can be checked."""


def words(pattern: str) -> re.Pattern[str]:
    """Compile whole words, in any case.

    Args:
        pattern: a regular expression in which a space stands for white space or a hyphen, and `~` behind a verb for its
            regular forms: `nod~` is nod, nods, nodded and nodding.
    """
    pattern = _VERB.sub(_forms, pattern)
    spaced = pattern.replace(" ?", r"[\s-]?").replace(" ", r"[\s-]+")
    return re.compile(rf"\b(?:{spaced})(?!\w)", re.IGNORECASE)


_WHOSE = r"(?:(?:the|his|her|their|its|both|one|a) )?(?:[\w-]+'s )?"


@dataclass(frozen=True)
class Part:
    """A noun and the words that make a claim about it."""

    what: ClaimWhat
    noun: re.Pattern[str]
    values: tuple[tuple[str, re.Pattern[str]], ...]
    """(value, words), the more specific ones first."""


def _part(what: ClaimWhat, noun: str, **values: str) -> Part:
    return Part(what, words(noun), tuple((value, words(pattern)) for value, pattern in values.items()))


_BROWS = r"eye ?brows?|brows?"
_LIDS = r"eyes?|eye ?lids?"
_MOUTH = r"mouth|lips?|jaw"
_CORNERS = rf"(?:corners? of {_WHOSE}(?:mouth|lips?)|mouth corners?|corners? of (?:the|his|her) \w+'s mouth)"
_VOICE = r"voices?|tone of voice|tone of speech|vocal tone|tone"
_SPEED = (
    r"(?:speed|pace|rate|tempo|rhythm)(?: of (?:(?:the|his|her|their) )?(?:speech|speaking|talking|voice|words))?|"
    r"(?:speaking|speech|talking) (?:speed|pace|rate|tempo|rhythm)|speech|delivery"
)
_RISE = r"increase~|rise~|rose|go(?:es)? up|climb~"
_FALL = r"decrease~|falls?|falling|fell|drop~|go(?:es)? down|sinks?|sinking"

PARTS: tuple[Part, ...] = (
    _part("smile", "mouth", smirk=r"smirking", present=r"smiling"),
    _part(
        "mouth",
        _CORNERS,
        corners_up=r"raise~|upturned|upwards?|turn(?:s|ed)? up(?:wards?)?|lift(?:s|ed)?|up|curl(?:s|ed)? up"
        r"(?:wards?)?|rise~|curve~ up(?:wards?)?",
        corners_down=r"droop~|downturned|downwards?|turn(?:s|ed)? down(?:wards?)?|down|sag~|"
        r"lower(?:ed|s)?|drop(?:s|ped)?",
    ),
    _part(
        "frown",
        _BROWS + r"|fore ?head|between (?:the|his|her) (?:eye ?)?brows",
        present=r"furrow~|knit~|frown~|wrinkled?|wrinkling|creased?|knotted|"
        r"scrunch(?:ed|es)?|dr(?:awn?|aws|ew) (?:tightly |close )?together|pulled together|"
        r"contract(?:ed|s)?|together|"
        r"squeezed together|locked|drawn|pinched|tightly",
    ),
    _part(
        "brows",
        r"inner (?:ends|corners|parts?) of (?:the|his|her) (?:eye ?)?brows|inner (?:eye ?)?brows",
        slanted=r"(?:pulled|drawn|raised|lifted|turned|go) ?(?:up(?:wards?)?)?|rais(?:ed|es)|up",
    ),
    _part(
        "brows",
        _BROWS,
        slanted=r"slant~|obliquely?|oblique",
        moving=r"(?:move~|go|jump|dance~) up and down|twitch~|move~",
        raised=r"raise~|lift~|arch~|up|high|go(?:es)? up|shoot up|rise~",
        lowered=r"lower~|pulled down|drawn down|down|pressed down|drop(?:s|ped)?",
        level=r"level|straight|relaxed|smooth",
    ),
    _part(
        "eyes",
        _LIDS,
        blinking=r"blink~|flutter~",
        rolling=r"roll~",
        narrowed=r"droop~|half (?:closed|shut|open)|narrow~|squint~|slits|squeezed|screwed up",
        closed=r"close~|shut",
        crinkled=r"crinkle~|crow's feet|curve~|crescents?|wrinkle~",
        wide=r"wid(?:e open|ens?|ened|ening|e|er)|round|bulg(?:ing|e)|enlarged|big(?: and round)?|"
        r"(?:opened|open) wide|"
        r"opens",
        relaxed=r"relaxed",
        red=r"red|reddened|bloodshot|swollen",
    ),
    _part("eyes", r"corners? of (?:the|his|her|their) eyes", crinkled=r"wrinkle~|crinkle~|crease~"),
    _part("smile", r"eyes?", present=r"smiling"),
    _part("tears", r"eyes?", present=r"moist|wet|teary|watery|watering|tearful|glisten~|well~ up"),
    _part(
        "gaze",
        r"gazes?|eyes?|eyesight|line of sight|look|glances?|stare",
        down=r"down|downwards?|downcast|lower~|cast down|"
        r"(?:directed|turned|drops|dropped) (?:to|at|towards?) the (?:floor|ground)|drops|dropped|"
        r"(?:on|at|to|towards?) the (?:floor|ground)",
        up=r"upwards?|lift~|rais(?:es|ed)|turned up",
        away=r"avert~|avoid~(?: (?:eye )?contact)?|turned? away|away|elsewhere|evasive|evad(?:es|ing)",
        shifting=r"wander~|dart~|shift(?:s|ed|ing|y)?|flicker~|drift~|"
        r"roam~|move~ (?:around|about|back and forth)|restless|unfocused",
        sideways=r"sideways|askance|to (?:the|one|his|her) (?:left|right|side)",
        ahead=r"straight ahead|straight|ahead|forwards?|(?:directly )?(?:at|into|to|towards?) the (?:camera|lens)",
        fixed=r"(?:fixed|glued|focus(?:ed|es)|locked|riveted|fixated|rest~|trained) (?:on|upon|at)|fixed|"
        r"focused|steady|staring|glaring|unwavering|firm|fierce|intense|intently|glar(?:es|e)|star(?:es|e)",
    ),
    _part(
        "mouth",
        _MOUTH,
        trembling=r"tremble~|quiver~|twitch~|shake~",
        moving=r"opens? and closes?(?: repeatedly)?|opening and closing|open and close|move~",
        pressed=r"press~(?: (?:tightly|firmly))?(?: together)?|purse~|compress(?:ed|es)?|"
        r"tight(?:ened|ens|en)?|thin line|bite~|bitten|pinched|clench(?:ed|es)?",
        sneer=r"sneer~|curl(?:s|ed)? (?:in contempt|into a sneer)",
        pout=r"pout~",
        stretched=r"stretch~",
        corners_down=r"droop~|turned down|downturned",
        corners_up=r"upturned|upward curve|curve~ ?up(?:wards?)?|turned up|curl(?:s|ed)? up(?:wards)?",
        open=r"wide open|agape|gap(?:es|ing)|open~|part(?:ed|s)|drop~|hang~ open|ajar",
        closed=r"close~|shut|sealed",
    ),
    _part(
        "head",
        r"head(?! of (?:the|a|an|his|her) (?:company|table|department|school|team|firm|office|"
        r"family|bed|stairs))|chin",
        nodding=r"nod~",
        shaking=r"shak(?:es|e|en|ing)|shook",
        lowered=r"lower~|bow~|bent|hang~|hung|down|downcast|droop~|"
        r"drop(?:s|ped)?|dips?|low|sink~|tucked|bur(?:ied|ies)",
        forward=r"forwards?",
        back=r"back|backwards?",
        raised=r"raise~|lift~|held high|(?:holds?|held) up|up|high|upright",
        tilted=r"tilt~|cock(?:ed|s)|lean~ to (?:the|one)|(?:is|leans) to (?:one|the) side|inclin(?:ed|es)",
        turned=r"turn~|away|to the (?:left|right)|swivel(?:s|led)?",
        restless=r"restless|mov(?:es|ing) restlessly|sway~",
        still=r"still|motionless",
    ),
    _part("head", r"face", turned=r"turned|turns|away", lowered=r"bur(?:ied|ies)|lowered"),
    _part(
        "hands",
        r"hands?|fists?|arms?|fingers?|palms?",
        clenched=r"clench~|tight(?:ly closed)?|grip~|ball(?:ed|s)",
        crossed=r"cross~|fold~",
        trembling=r"tremble~|shak(?:es|e|ing|y)|quiver~",
        covering=r"(?:over|to|in front of|on) (?:his|her|the) (?:face|mouth|eyes|head|forehead)|cover~",
        pointing=r"point~",
        gesturing=r"wave~|gesture~|spread~|outstretched|swing~|gesticulat\w+",
        raised=r"raise~|lift~|up|in the air",
        still=r"still|motionless|do not move|(?:hang~|rest~) (?:still|motionless)",
    ),
    _part(
        "movement",
        r"body|shoulders?|torso|upper body|posture|whole body",
        trembling=r"tremble~|shake~|shiver~|heave~|shudder~|quiver\w*",
        shrugging=r"shrug~",
        leaning_forward=r"lean~ (?:slightly )?(?:forwards?|towards?|over)|bent forwards?|forwards?",
        leaning_back=r"lean~ back(?:wards?)?|backwards?",
        turning=r"turn~(?: (?:around|away|to))?",
        restless=r"restless|sway~|fidget(?:s|ing|y)?",
        still=r"still|motionless|rigid|frozen",
    ),
    _part(
        "steadiness",
        _VOICE + r"|intonation|speech",
        trembling=r"tremble~|shak(?:y|ing|es|e|en)|quiver~|quaver(?:s|ed|ing|y)?|unsteady|wavers?|"
        r"wavering|crack~|break~|broken|chok(?:ed|es|ing)|falter~|tremulous|tremors?|unstable",
        steady=r"stead(?:y|ily)|stable|calm|firm|even|composed|constant|unwavering",
    ),
    _part(
        "loudness",
        r"volume|loudness",
        rising=rf"(?:gets?|becomes?|grows?|is getting) (?:louder|higher)|{_RISE}|louder",
        falling=rf"(?:gets?|becomes?|grows?) (?:lower|quieter|softer)|{_FALL}|lowers|quieter",
        loud=r"loud|high|large|big|strong|raised|raise~",
        soft=r"low|lower~|soft|small|quiet|weak|faint",
        moderate=r"moderate|normal|medium|average",
    ),
    _part(
        "loudness",
        _VOICE + r"|speech|words|sound",
        rising=r"(?:gets?|becomes?|grows?|getting|becoming) (?:much )?louder|louder and louder|"
        r"increasingly loud|swells",
        falling=r"(?:gets?|becomes?|grows?|getting|becoming) (?:quieter|softer|weaker|fainter)|fades|trails off",
        loud=r"loud(?:er)?|raise~|booming|thundering|strong",
        soft=r"soft|quiet|hushed|faint|lower(?:s|ing)|weak|muted|small|whispered|whispery",
    ),
    _part("loudness", r"voice", loud=r"raised"),
    _part(
        "pitch",
        r"pitch|intonation|register|" + _VOICE,
        varied=r"lively|varied|animated|expressive|melodic|(?:changes|varies|fluctuates)(?: (?:a lot|greatly))?|"
        r"up and down|fluctuat(?:es|ing)|undulating|cadenced",
        flat=r"flat|monotonous|monotone|unvarying|lacks? any rise or fall|no (?:ups and downs|fluctuation|change)",
        rising=rf"rising|{_RISE}|(?:gets?|becomes?|grows?) higher",
        falling=rf"falling|{_FALL}|(?:gets?|becomes?|grows?) (?:lower|deeper)",
        high=r"high(?:er)?|raised|high pitched|sharp|shrill|piercing|elevated",
        low=r"low(?:er)?|deep(?:er)?|lowered",
        medium=r"medium|moderate|normal|average|middle",
    ),
    _part(
        "pace",
        _SPEED + r"|words",
        rising=r"(?:gets?|becomes?|grows?|is getting) (?:faster|quicker)|faster and faster|quickens?|accelerate~|"
        r"speeds? up|" + _RISE,
        falling=r"(?:gets?|becomes?|grows?) slower|slows(?: down)?|slow(?:ing)? down|slowing|decelerat\w+|" + _FALL,
        fast=r"fast(?:er)?|quick(?:er)?|rapid|hurried|brisk|hasty|swift|rushed|high",
        slow=r"slow(?:er)?|unhurried|leisurely|sluggish|drawn out|dragging|low",
        normal=r"normal|moderate|even|medium|steady|average|regular|measured|ordinary",
    ),
    _part("sighs", r"breath(?:ing|s)?", breath=r"rapid|quick|fast|heavy|hurried|laboured|labored|deep|short"),
    _part("pace", r"voice|tone", fast=r"fast|quick|rapid|hurried|hasty", slow=r"slow"),
    _part(
        "topic",
        r"words",
        plain=r"plain",
        kind=r"kind",
        hostile=r"hostile",
        mournful=r"mournful",
        alarming=r"alarming",
        astonished=r"astonished",
    ),
)
"""Nouns, each with the words that claim something about it."""
