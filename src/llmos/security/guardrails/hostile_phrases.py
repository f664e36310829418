"""Threats and insults against a person, in thirteen languages besides English.

They see normalized text, and hold only phrases whose negation reads otherwise: a false alarm is worse than a miss.
"""

import re

_THREATS = re.compile(
    r"\b(?:ich|wir) (?:bringe?n?|mache?n?|schlage?n?|steche?n?) (?:dich|euch) (?:um|fertig|tot|ab|kalt)\b"
    r"|\bich (?:werde|will) (?:dich|euch) (?:toten|umbringen|abstechen|erschiessen|totschlagen)\b|\bbring dich um\b"
    r"|\bje (?:vais|veux) (?:te|vous) (?:tuer|buter|egorger|frapper|casser la gueule)\b|\b(?:suicide[- ]toi|tue-toi|va (?:mourir|crever))\b"
    r"|(?<!no )\b(?:te|os) voy a (?:matar|golpear|apunalar|violar|reventar)\b|\b(?:matate|suicidate|muerete|ojala te mueras)\b"
    r"|(?<!non )\bti (?:ammazzo|uccido|uccidero|ammazzero|spacco la faccia)\b|\b(?:spero che tu muoia|muori ammazzat[oa])\b"
    r"|(?<!nao )\bvou (?:te (?:matar|bater|esfaquear|estuprar)|matar voces?)\b|\b(?:mate-se|tomara que voce morra)\b"
    r"|\bik (?:maak|schiet|sla|steek) (?:je|jou|jullie) (?:dood|kapot|af|neer)\b|\bik ga (?:je|jou|jullie) (?:vermoorden|doden|afmaken)\b|\b(?:maak jezelf dood|pleeg zelfmoord)\b"
    r"|(?<!nie )\b(?:zabije|zatluke|pobije) cie\b|\b(?:zabij sie|powies sie|zdychaj)\b"
    r"|(?<!не )\bубью (?:тебя|вас)\b|\bя (?:тебя|вас) (?:убью|зарежу|прикончу)\b|\b(?:убеи себя|сдохни)\b"
    r"|\b(?:seni|sizi) (?:oldurecegim|gebertecegim|vuracagim|bicaklayacagim)\b|\b(?:kendini oldur|geber git)\b"
    r"|(?<!لن )\b(?:ساقتلك|سوف اقتلك|ساذبحك|هقتلك)\b|\bاقتل نفسك\b"
    r"|(?:तुम्हें|तुझे) (?:जान से )?मार (?:डालू|दू)[ंँ]गा"
    r"|我(?:要|会)?(?:杀了|弄死|打死|杀死)你(?!的)|你去死吧|殺してやる|ぶっ殺す|お前を殺す|(?:널|너를) 죽여 ?버[리릴린]|(?:널|너를) 죽일 ?거|나가 죽어"
)  # fmt: skip

_INSULTS = re.compile(
    r"\bdu (?:bist (?:ein |eine |so |nur |echt )*)?(?:voll)?(?:idiot|dummkopf|abschaum|versager|arschloch|drecksau|miststuck|wertlos|missgeburt|hurensohn|trottel)\b"
    r"|\btu es (?:un |une |vraiment |qu'un |qu'une )*(?:idiote?|imbecile|connard|connasse|ordure|cretine?|raclure|minable|debile|moins que rien)\b"
    r"|(?<!no )\beres (?:un |una |tan |muy )*(?:idiota|imbecil|estupid[oa]|basura|escoria|inutil|mierda|gilipollas|pendej[oa]|asqueros[oa])\b"
    r"|(?<!non )\bsei (?:un |una |uno |proprio |davvero |solo )*(?:idiota|stupid[oa]|imbecille|cretin[oa]|feccia|merda|stronz[oa]|schifos[oa]|deficiente)\b"
    r"|\bvoce e (?:um |uma |muito |tao )*(?:idiota|imbecil|burr[oa]|lixo|escoria|estupid[oa]|merda|inutil|nojent[oa])\b"
    r"|\b(?:je|jij) bent (?:een |echt |zo'n |gewoon )*(?:idioot|sukkel|klootzak|uitschot|achterlijke?|waardeloos|stuk stront|debiel)\b"
    r"|(?<!nie )\bjestes (?:zwykl\w+ |kompletn\w+ )*(?:idiot(?:a|ka)|idiota|debilem|smieciem|kretyn\w+|zerem|szmata|gownem|glup(?:i|ia))\b"
    r"|\bты (?:просто |полныи |конченыи )*(?:идиот|идиотка|дурак|дура|мразь|урод|ничтожество|тварь|дебил|кретин)\b"
    r"|\bsen (?:bir |tam bir )*(?:aptal|salak|gerizekali|pislik|serefsiz)(?:sin)?\b(?! degil)"
    r"|\bانت (?:غبي|حقير|احمق|حثاله|قذر|تافه)\b"
    r"|(?:तुम|तू) (?:एक )?(?:बेवकूफ|मूर्ख|कमीने|नीच|घटिया) (?:हो|है)"
    r"|你(?:就)?是(?:个|一个)?(?:白痴|废物|垃圾|蠢货|人渣|败类)|你这个?(?:白痴|废物|垃圾|蠢货|人渣)"
    r"|(?:お前|おまえ|てめえ|貴様)(?:は|って)?(?:本当に|ただの)?(?:馬鹿|バカ|クズ|ゴミ|アホ)(?!じゃな|ではな|でな)"
    r"|(?:너는|넌|네놈은) (?:정말 |그냥 )?(?:바보|쓰레기|멍청이|등신)(?!\w* 아니)"
)  # fmt: skip

_LATIN_WORDS = frozenset(
    [
        "cie",
        "dich",
        "du",
        "eres",
        "euch",
        "geber",
        "jestes",
        "jij",
        "jou",
        "je",
        "jullie",
        "kendini",
        "maak",
        "mate",
        "matate",
        "muerete",
        "muori",
        "ojala",
        "os",
        "pleeg",
        "powies",
        "sei",
        "sen",
        "seni",
        "sizi",
        "spero",
        "suicide",
        "suicidate",
        "te",
        "ti",
        "toi",
        "tomara",
        "tu",
        "tue",
        "va",
        "voce",
        "vou",
        "vous",
        "voy",
        "zabij",
        "zdychaj",
    ]
)
"""One of these is in each phrase in Latin letters: English text, which has them seldom, costs no more than its words."""
_WORD = re.compile(r"[a-z]+")


def hostile(sentence: str) -> str | None:
    """Return what is in a normalized sentence: threat, insult, or nothing."""
    if sentence.isascii() and _LATIN_WORDS.isdisjoint(_WORD.findall(sentence)):
        return None
    if _THREATS.search(sentence):
        return "threat"
    return "insult" if _INSULTS.search(sentence) else None
