"""Whether an explanation gives its image's rating away: rating is the second round's question.

A number does so where it is this image's score (3.42, or 3.4), or where it is said of the quality: of how good
something is, not of how many there are. "A solid four" and "36 out of 50" rate; three stars in the sky, four out of
five fingers and f/1.8 do not. What tells them apart is the words around a number, in the languages that teachers write:
one that rates is given, earned, scored or follows the name of an aspect, and nothing that it could count follows it.
"""

import re


def _any(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


# A number, and what may stand with it as a rating. Words that are articles or mean other things as well are left out.
_WORDS = _any(
    "zero one two three four five six seven eight nine ten null eins zwei drei vier fünf sechs sieben acht zehn "
    "zéro deux trois quatre cinq huit dix cero uno dos tres cuatro cinco siete ocho nueve diez due tre quattro cinque "
    r"dois três quatro dez один два три четыре пять четв[её]рк\w тройк\w пят[её]рк\w"
)
_NUMBER = rf"(?:\d+(?:[.,]\d+)?|{_WORDS}(?:\s+and\s+a\s+half)?)"
_TOP = _any(
    "5 10 20 50 100 five ten hundred fünf zehn hundert cinq dix cent cinco diez cien cinque dieci dez пяти десяти"
)
_OF = r"(?:out\s+of|of|von|sur|de|su|di|из)"
_UNIT = _any(
    r"stars? points? sterne?n? punkte?n? étoiles? estrellas? puntos? stell[ae] punt[io] estrelas? pontos? балл\w*"
)
_SHARE = r"(?:%|per\s?cent\b|prozent\b)"
_RATIO = rf"{_NUMBER}(?:\s+{_UNIT})?\s+{_OF}\s+{_TOP}(?:\s+{_UNIT}\b)?"
_VALUE = rf"(?<![\w-])(?:{_RATIO}|{_NUMBER}(?:\s*/\s*{_TOP}|\s*{_SHARE}|[\s-]{_UNIT}\b)?)"
_SLASH = r"(?<![\w./])\d+(?:[.,]\d+)?\s*/\s*(?:5|10|20|50|100)(?![\w/-]|[.,]\d)"
_GAP = r"[^.!?;\n]{0,24}?"

# After a rating the sentence ends, pauses, or goes on with one of these; after a count comes what is counted.
_ON = (
    "(?:for|overall|here|at|and|but|by|with|because|since|though|although|which|so|too|only|or|given|due|to me"
    "|in (?:terms|total|all|quality|sharpness|this|my|general|every|each)"
    "|on (?:the whole|this|balance|average)|as (?:a whole|well|regards)"
    "|für|insgesamt|und|aber|weil|denn|geben|vergeben|wert|pour|et|mais|car|au total|para|por|y|pero|porque"
    "|per|e|ma|mas|за|и|но)"
)
_ALONE = rf"(?![\w%-])(?=\W*$|\s*[.,;:!?)»\"”'…]+(?:\s|$)|\s+[—–-]\s|\s+{_ON}\b)"

_SCORE = _any(
    r"scores? scored scoring rates? rated ratings? grade[sd]? note wertung bewertung\w* bewerte\w* benotet punktzahl "
    r"notée? notation nota puntuación puntaje calificación valoración voto punteggio valutazione pontuação avaliação "
    r"оценк\w рейтинг"
)
_GIVE = _any(
    "gives? gave deserves? merits? earns? earned gets? got receives? received awards? awarded reach(?:es)? worth "
    "verdient bekommt erhält gebe gibt vergebe mérite donne obtient reçoit vaut attribue merece doy obtiene recibe "
    "vale otorgo merita ottiene riceve dou recebe заслуживает получает ставлю"
)
_ASPECT = _any(
    r"quality overall sharpness correspondence authenticity alignment realism fidelity colou?rs? contrast qualität "
    r"übereinstimmung authentizität schärfe gesamt\w* qualité correspondance authenticité netteté calidad "
    r"correspondencia autenticidad nitidez qualità corrispondenza autenticità qualidade correspondência autenticidade "
    r"качество"
)
_IS = r"(?:\s*[:=]|(?:\s+(?:quality|level|is|of|at|sits|stands|lies|ist|liegt|bei|von|est|de|es|è|é|di))+)?"
_ABOUT = _any("an? about around roughly nearly almost only just eine? einer un una etwa rund environ circa cerca")
_ONE = _any("an? eine? einen un une una uma?")
_JUDGED = _any(
    "solid strong weak clear firm good decent low high bare full perfect generous straight safe near flat mere poor "
    "fair respectable comfortable cautious hard easy (?:solid|schwach|stark|klar|gut|glatt|knapp|voll)e?[nrs]? solide "
    "bon faible fort sólid[oa] buen débil solido buon pieno debole bom fraco"
)
_WORK = _any("quality picture image photo result rating score work match performance shot")

_RATINGS = [
    r"\bmean\s+opinion\b|(?-i:\bMOS\b)",
    rf"(?<![\w-]){_RATIO}{_ALONE}",  # 36 out of 50
    rf"{_SLASH}(?!\s*(?:of|s|sec\w*|de[rsl]?|du|della|do|da)\b)",  # 3/5, but not 1/5 of it, nor 1/100 s
    rf"(?<![\w-])(?<!frame )(?<!heart )(?<!bit ){_SCORE}\b{_GAP}{_VALUE}{_ALONE}",  # it scores about four
    rf"\b{_GIVE}\b{_GAP}{_VALUE}{_ALONE}",  # it deserves three stars
    rf"\b{_ASPECT}{_IS}(?:\s+{_ABOUT})*\s+{_VALUE}{_ALONE}",  # quality: 4
    rf"\b{_ONE}\s+{_JUDGED}\s+{_VALUE}{_ALONE}",  # a solid four
    rf"\b{_ONE}\s+{_NUMBER}\s+{_JUDGED}\b",  # un quatre solide
    rf"\b(?:it|this|that)(?:\s+(?:is|as|would\s+be)|'s)?(?:\s+{_ABOUT})*\s+an?\s+{_VALUE}{_ALONE}",  # it is a 4
    rf"(?:^|[.!?;]\s+)(?:\w+ly\s+)?{_NUMBER}\s+{_UNIT}{_ALONE}",  # Four stars.
    rf"\b{_NUMBER}[\s-](?:star|point)\s+{_WORK}\b",  # a 4-star picture
]
_RATING = re.compile("|".join(_RATINGS), re.IGNORECASE)
# Chinese and Japanese, which put no spaces between words.
_HAN = r"(?:\d+(?:\.\d+)?|[零一二三四五六七八九两])"
_STOP = r"(?=[\s。，,.！!；;、）)]|左右|です|$)"
_RATING_HAN = re.compile(
    rf"满分|点満点"
    rf"|(?:评分|得分|打分|分数|总分|评级|評価|得点|スコア)[为是：:约は]*\s*{_HAN}\s*(?:分|颗?星|点)?{_STOP}"
    rf"|(?:质量|评价)[为是：:]+\s*{_HAN}\s*(?:分|颗?星)?{_STOP}"
    rf"|[打给得评][了出个为]*\s*{_HAN}\s*(?:分|颗?星){_STOP}"
    rf"|(?:^|[。，,.！!；;：:\s]){_HAN}\s*分{_STOP}"
)

_DECIMAL = re.compile(r"(?<![A-Za-z\d.,/])\d[.,]\d{1,2}(?![A-Za-z\d]|[.,]\d|:\d)")
_NAMED = re.compile(  # what a number belongs to, before it: an aperture, a version
    r"(?:\bf\s*/?|ƒ/?|\b(?:aperture|blende|ouverture|apertura|abertura|diafram?ma|diafragma|version|diffusion|xl|flux"
    r"|midjourney|imagen|dall-e)(?:\s+(?:of|von|de|is|at))?|光圈)\s*$",
    re.IGNORECASE,
)
_MEASURED = re.compile(  # and after it: a unit
    r"\s*(?:[%°×倍米]|(?:percent|prozent|[cmkµn]?m|px|x|k?g|m?s|sec|seconds?|hours?|times|mal|fois|veces|MP|megapixels?"
    r"|EV|inch(?:es)?|feet|met(?:er|re)s?|mètres?|metros?)\b)"
)


def repeats(text: str, score: float) -> bool:
    """Whether `text` tells the score (0 to 5) or another rating of the image."""
    if _RATING.search(text) or _RATING_HAN.search(text):
        return True
    return any(_is(score, found.group()) and _bare(text, found) for found in _DECIMAL.finditer(text))


def _is(score: float, number: str) -> bool:
    """Whether `number`, as written, is the score rounded to as many decimals."""
    decimals = len(re.split("[.,]", number)[1])
    return abs(float(number.replace(",", ".")) - score) <= 0.5 * 10.0**-decimals + 1e-9


def _bare(text: str, number: re.Match[str]) -> bool:
    """Whether it is nothing but a number: not an aperture, a version or a length."""
    return not (_NAMED.search(text, 0, number.start()) or _MEASURED.match(text, number.end()))
