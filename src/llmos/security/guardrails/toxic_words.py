"""Words of the guardrail `toxicity`: vulgar ones of several languages, slurs, and names of groups of people.

The lists are short and hold only words that hardly ever mean anything else. Published lists were not taken: they have
words such as "homosexual", "breast", "beer" and "adult", and so punish people for what they are.
"""

import re

from llmos.security.guardrails.normalization import normalize

_VULGAR = """
arse arsehole asshole assholes bastard bastards bitch bitches bitching bollocks bullshit bugger clusterfuck cocksucker
cocksuckers crap cum cunt cunts dickhead dickheads dipshit douchebag douchebags dumbass fuck fucked fucker fuckers
fuckin fucking fuckface fucks fuckwit goddamn horseshit jackass jerkoff motherfucker motherfuckers motherfucking piss
pissed pussy shit shite shithead shitheads shithole shits shitty skank slut sluts slutty tosser twat twats wank wanker
wankers whore whores wtf stfu gtfo arsch arschloch arschlöcher fick ficken ficker fotze hurensohn hurensöhne
missgeburt nutte scheiß scheiße scheisse schlampe wichser verpiss connard connards connasse couillon enculé enculés
enfoiré merde nique pétasse putain pute salaud salope cabrón cabrones capullo cojones gilipollas hijoputa joder jodido
maricón mierda pendejo puta putas zorra bastardo cazzo coglione coglioni fottiti merda puttana stronza stronzo stronzi
vaffanculo caralho cuzão foda foder merda porra puta vadia viado godverdomme hoer hufter klootzak kut kutwijf neuken
chuj jebać jebany kurwa kurwy kutas pierdol pierdolony pizda skurwysyn spierdalaj блядь блять ебать ёбаный ебаный
заебал мудак нахуй пидор пидорас пизда пиздец сука суки хуй хуйня orospu sikerim siktir yarrak jävla jävlar kuk fitta
knulla
"""

_VULGAR_PARTS = """
操你妈 他妈的 你妈的 傻逼 傻屄 妈逼 王八蛋 狗日的 婊子 贱人 贱货 滚蛋 混蛋 肏你
去死吧 くそったれ 死ね クソ野郎 ちくしょう 씨발 시발 개새끼 병신 지랄 좆
"""
"""Words of languages without spaces, and of languages whose words change at their ends."""

_SLURS = """
beaner beaners chinks dago dagos darkie darkies faggot faggots gook gooks gyppo
gyppos kike kikes nigger niggers paki pakis raghead ragheads retarded shemale
shemales spic spics towelhead towelheads wetback wetbacks wog wogs zipperhead
kanake kanaken neger schwuchtel spasti zigeuner bougnoule bougnoules sudaca sudacas negraccio
frocio terrone
"""

_GROUPS = """
woman women female females girl girls man men male males boy boys gay gays lesbian lesbians homosexual homosexuals
bisexual bisexuals queer queers trans transgender transsexual transsexuals nonbinary intersex asexual lgbt lgbtq lgbtqia
straight heterosexual heterosexuals black blacks white whites brown asian asians african africans arab arabs latino
latinos latina latinas hispanic hispanics caucasian caucasians indigenous aboriginal aboriginals native natives roma
romani jew jews jewish muslim muslims islamic christian christians catholic catholics protestant protestants hindu
hindus buddhist buddhists sikh sikhs mormon mormons atheist atheists american americans mexican mexicans chinese
japanese korean koreans vietnamese filipino filipinos indian indians pakistani pakistanis bangladeshi turkish turks
kurdish kurds syrian syrians iranian iranians iraqi iraqis afghan afghans israeli israelis palestinian palestinians
russian russians ukrainian ukrainians polish poles german germans french italian italians spanish spaniards irish
british english scottish welsh nigerian nigerians somali somalis ethiopian ethiopians kenyan kenyans ghanaian
brazilian brazilians colombian colombians cuban cubans haitian haitians jamaican jamaicans immigrant immigrants migrant
migrants refugee refugees foreigner foreigners disabled handicapped autistic blind deaf paralyzed wheelchair dyslexic
bipolar schizophrenic depressed elderly old young poor homeless fat feminist feminists conservative conservatives
liberal liberals democrat democrats republican republicans
"""

VULGAR = frozenset(map(normalize, _VULGAR.split()))
SLURS = frozenset(map(normalize, _SLURS.split()))
_PARTS = tuple(map(normalize, _VULGAR_PARTS.split()))
_GROUP = re.compile(rf"\b(?:{'|'.join(sorted(_GROUPS.split(), key=len, reverse=True))})\b")
_WORD = re.compile(r"\w+")
_REPEATED = re.compile(r"\bpeople(?: people| persons?)+\b")

_OWN_NAME = re.compile(
    r"\b(?:i am|i'm|we are|we're|being|us|fellow|proud|myself|ourselves|as) (?:an? )?(?:\w+ )?"
    rf"(?:{'|'.join(sorted(SLURS))})\b"
)
"""Phrases in which members of a group use a slur for themselves."""

GROUP_MARK = "people"


def is_vulgar(text: str) -> bool:
    """Return whether a normalized text has a vulgar word."""
    return not VULGAR.isdisjoint(_WORD.findall(text)) or any(part in text for part in _PARTS)


def has_slur(text: str) -> bool:
    """Return whether a normalized text has a slur that isn't about the writer."""
    if SLURS.isdisjoint(_WORD.findall(text)):
        return False
    return not SLURS.isdisjoint(_WORD.findall(_OWN_NAME.sub("", text)))


def without_groups(text: str) -> str:
    """Return the text with `people` for each name of a group, so that which group it is can't change the verdict."""
    return _REPEATED.sub(GROUP_MARK, _GROUP.sub(GROUP_MARK, text))
