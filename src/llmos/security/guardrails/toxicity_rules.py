"""Rules of toxic text: hate against groups of people in English, insults and threats in fourteen languages.

They see `people` in the place of each name of a group (toxic_words.py), so that a sentence has the same verdict whichever
group it names. A sentence that denies, quotes or condemns what it says isn't hate.
"""

import re

from llmos.security.guardrails.hostile_phrases import hostile
from llmos.security.guardrails.toxic_words import GROUP_MARK

_G = rf"(?:these |those |all |you )?(?:\w+ )?{GROUP_MARK}"
_VERY = r"(?:(?:all|just|nothing but|no better than|like|so|such|very|really|such an?|an?|the|a bunch of|fucking|absolute|total|complete|basically|simply|literally|disgusting|dirty|filthy|stupid|lazy) ){0,3}"
_BAD = r"(?:scum|vermin|trash|garbage|filth|filthy|disgusting|subhumans?|sub-human|animals|apes|monkeys|parasites?|leeches|diseased?|cancer|plague|rats|roaches|cockroaches|maggots|pigs|dogs|worthless|inferior|stupid|idiots?|morons?|dumb|ugly|pathetic|evil|monsters?|criminals|terrorists|rapists|thieves|savages|freaks?|losers?|retards?|abominations?|burden|repulsive|revolting|vile|uncivilized|perverts?|degenerates?|mentally ill|mistakes?|unnatural|sick|immoral|liars|a waste of \w+)"
_HATE = r"(?:hates?|hating|despises?|detests?|loathes?|abhors?|(?:can't|cannot|can not) stand|(?:am|is|are|'m|get|so|really) (?:sick|disgusted|repulsed)(?: \w+)? (?:of|by)|fuck(?: all)?|death to|down with)"
_DIE = r"(?:die|drop dead|burn(?: in hell)?|rot(?: in hell)?|suffer|disappear|go back|be (?:\w+ )?(?:killed|shot|hanged|hung|burned|burnt|exterminated|eradicated|eliminated|deported|wiped|beaten|locked|put down|removed|punished|gassed|slaughtered|stoned|sterilized|castrated|banned|shipped|sent back))"
_KILL = r"(?:kill|murder|hurt|beat|stab|shoot|rape|burn|strangle|slit|attack|punch|exterminate|gas|hang|destroy|smash|cut|break)"
_HARSH = r"(?:idiots?|morons?|imbeciles?|cretins?|stupid|worthless|pathetic|disgusting|repulsive|scum|scumbags?|trash|garbage|losers?|ugly|dumb|dumbass(?:es)?|pigs?|freaks?|brainless|assholes?|bitch(?:es)?|cunts?|bastards?|dickheads?|fuckers?|motherfuckers?|whores?|sluts?|piece of (?:shit|trash|garbage|crap)|waste of (?:air|space|oxygen))"

_HATE_OF_GROUPS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_HATE} {_G}\b",
        rf"\b{GROUP_MARK} (?:\w+ ){{0,2}}?(?:are|is|were) {_VERY}{_BAD}\b",
        rf"\b{GROUP_MARK} (?:disgust|repulse|sicken|infuriate)s?\b|\b{GROUP_MARK} makes? me (?:sick|want to (?:throw up|vomit|puke))\b",
        rf"\b(?:{_BAD}) {GROUP_MARK}\b",
        rf"\b(?:should|must|need to|needs to|deserves? to|ought to|have to) (?:\w+ )?{_DIE}\b",
        rf"\b(?:should|must|have to|need to|let's|someone|going to|gonna|want to|will|i'll|we'll) (?:\w+ ){{0,2}}{_KILL} (?:\w+ ){{0,3}}{GROUP_MARK}\b",
        rf"\b{GROUP_MARK} (?:are|is) not (?:even )?(?:human|people|equal|real|normal)\b",
        rf"\b{GROUP_MARK} (?:\w+ ){{0,2}}(?:do not|does not|don't|doesn't|should not|shouldn't|must not|never) (?:be allowed to|be treated|belong|deserve(?! to)|get to|have rights|have any)\b",
        rf"\b(?:no|without|get rid of|rid of|wipe out|round up|deport|exterminate) (?:all |the |any |more )?{GROUP_MARK}\b.{{0,30}}\b(?:here|country|town|better|now|us)\b",
    )
)  # fmt: skip
_IS_ABOUT_GROUPS = re.compile(rf"\b{GROUP_MARK}\b")

_INSULTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:you|u|you're|ur|your (?:mother|mom|father|family)|she|he) ?(?:are|is|'re|re|'s)? {_VERY}{_HARSH}\b",
        r"\b(?:shut your (?:\w+ )?(?:mouth|face|trap)|screw you|fuck you|go fuck yourself|eat shit|suck my|kiss my ass)\b",
        r"^\W*(?:(?:just|please|now|so|oh|and|no)\W+)*(?:shut (?:the \w+ )?up|fuck off|go to hell|get lost)\b",
    )
)  # fmt: skip

_THREATS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:i|we)(?:'ll| will| shall|'m going to| am going to|'m gonna| are going to| want to|'d love to)(?: \w+)? (?:find you and )?{_KILL} (?:you|your|u|them|her|him)\b(?! (?:know|a drink))",
        r"\b(?:kill|hang|drown|hurt|shoot) (?:yourself|urself)\b|\b(?:kys|go die|drop dead|rot in hell|burn in hell)\b",
        r"\b(?:i )?(?:hope|wish)(?: that)? (?:you|he|she|they|your \w+)(?: \w+)? (?:dies?|suffers?|get cancer|gets cancer|burns?|rots?|are dead|were dead)\b",
        r"\b(?:you|they|he|she) (?:should|deserve to|must) (?:all |both )?(?:die|be (?:killed|shot|hanged|raped|beaten|murdered)|kill yourself)\b|\bworld would be better (?:off )?without you\b",
        r"\b(?:watch your back|sleep with one eye open|i know where you live)\b",
    )
)  # fmt: skip

_DISTANCE = re.compile(
    r"\b(?:not|isn't|aren't|don't|doesn't|won't|wouldn't|shouldn't|can't say|never|nobody|no one|wrong|said|says?|saying|called|calling|calls|claim\w*|quote\w*|wrote|writes|tweet\w*|comment\w*|hateful|racis[mt]\w*|sexis[mt]|homophobi\w*|transphobi\w*|bigot\w*|illegal|unacceptable|condemn\w*|stop|against|victims?|film|movie|novel|story|character|villain|classify|translate|meaning|okay to|ok to|how dare|if (?:you|someone))\b|\bno people\b|[\"\u201c\u201d\u00ab\u00bb\u201e\u300c\u300d]"
)  # fmt: skip
"""Words with which a sentence distances itself from its content."""

_SENTENCE = re.compile(r"[^.!?\n。！？]+")
_NEGATED = frozenset((6, 7, 8))
"""The indexes of _HATE_OF_GROUPS whose patterns contain a "not" or "no" themselves."""


def find(text: str) -> str | None:
    """Return what is in a normalized text without names of groups: hate, threat, insult, or nothing."""
    for sentence in _SENTENCE.findall(text):
        keeps_away = _DISTANCE.search(sentence) is not None
        if _IS_ABOUT_GROUPS.search(sentence):
            for i, pattern in enumerate(_HATE_OF_GROUPS):
                if (not keeps_away or i in _NEGATED) and pattern.search(sentence):
                    return "hate"
        if not keeps_away and any(pattern.search(sentence) for pattern in _THREATS):
            return "threat"
        if not keeps_away and any(pattern.search(sentence) for pattern in _INSULTS):
            return "insult"
        if not keeps_away and (rule := hostile(sentence)):
            return rule
    return None
