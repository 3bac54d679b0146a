"""Sentences of teachers in several languages: those that give this image's rating away, and those that only count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.repeats import repeats

MOS = 3.42
RATINGS = [
    # English
    "It has a score of 3.",
    "Rated 3.4 by people.",
    "That is 3/5.",
    "I give it 4 out of 5.",
    "MOS: high.",
    "About 3,4.",
    "It deserves three stars.",
    "The mean opinion is high.",
    "3.42",
    "It scores about four here.",
    "All in all a solid four.",
    "Altogether 36 out of 50.",
    "It is a weak 3 overall.",
    "Quality: 4.",
    "The overall quality is 3.5 at best.",
    "A 4-star picture.",
    "Four stars.",
    "I would award it four points for sharpness.",
    "It earns four and a half stars.",
    "Sharpness 7/10, colours 8/10.",
    "A quality of 70 %.",
    "I would call it a 4.",
    "Its quality sits around 3.",
    "Three stars out of five.",
    "It barely reaches a 3.",
    "70 out of 100.",
    "Easily four stars!",
    # German
    "Insgesamt 4 von 5 Punkten.",
    "Eine solide Vier.",
    "Das Bild verdient vier Sterne.",
    "Die Bewertung liegt bei 3,4.",
    "Ich gebe vier Punkte.",
    "Qualität: 4.",
    "Ich würde 3,5 von 5 vergeben.",
    "Eine glatte Drei.",
    # French
    "Une note de 4.",
    "Elle mérite quatre étoiles.",
    "Je lui donne 4 sur 5.",
    "Un quatre solide, sans plus.",
    # Spanish
    "Merece cuatro estrellas.",
    "Una puntuación de 4.",
    "Le doy un 4 de 5.",
    "Un sólido cuatro.",
    # Italian, Portuguese, Russian
    "Il voto è 4.",
    "Merece quatro estrelas.",
    "Оценка 4.",
    "4 из 5.",
    # Chinese, Japanese
    "评分为4分。",
    "可以打四分。",
    "给四颗星。",
    "评价：四星。",
    "5点満点中4点です。",
]
COUNTS = [
    # English
    "A star with five points hangs above.",
    "It is drawn in one point perspective.",
    "Three stars shine over the sea.",
    "Three balls are there, and 3 were asked for.",
    "The f/1.8 look blurs it.",
    "It scores well.",
    "A sign says 50.",
    "An underrated beauty of 1912.",
    "Its first-rate sharpness shows in 2 places.",
    "The generate button shows 4.",
    "Three out of five balls are red.",
    "Only 4 out of 5 fingers can be seen.",
    "Two of the five chairs are missing.",
    "A solid four-legged table stands in the middle.",
    "A solid 4 walls surround it.",
    "The number 5 is painted on a clear blue door.",
    "The player scores two goals.",
    "The horizon lies at 1/3 of the height, the sky takes 4/5 of the picture.",
    "A five-star hotel rises behind three palms.",
    "The flag shows four stars in two rows.",
    "Two vanishing points meet at the left.",
    "The quality of three faces suffers.",
    "It looks like 35 mm film at ISO 100, 1/100 s.",
    "The aspect ratio of 16:9 suits it; a rate of 24 frames would too.",
    "He points 2 fingers at one of the clouds.",
    "The prompt gets two points wrong: colour and pose.",
    "There is a rating of 'PG-13' on the poster.",
    "The sheriff's badge has six points.",
    "The dice show a 3 and a 4.",
    "It scores on two counts: light and pose.",
    "Quality varies: one face is sharp, the other is not.",
    # German
    "Drei Sterne leuchten über dem Meer.",
    "Vier von fünf Fingern sind zu sehen.",
    "Eine solide Vierkantstange trägt das Dach.",
    "Zwei Punkte an der Wand fallen auf.",
    "Das Bild zeigt in guter Qualität zwei Hunde.",
    # French
    "Trois étoiles brillent dans le ciel.",
    "Une étoile à cinq branches, en perspective à un point de fuite.",
    "Deux des cinq chaises manquent.",
    "On note deux défauts de lumière.",
    # Spanish
    "Tres estrellas brillan sobre el mar.",
    "Se notan dos manchas; cuatro de los cinco dedos se ven bien.",
    # Italian, Portuguese, Russian
    "Due stelle brillano nel cielo.",
    "Três pontos de luz aparecem no céu.",
    "Две звезды сияют над морем.",
    # Chinese, Japanese
    "天空占画面的三分之二，十分清晰。",
    "一颗五角星挂在天上，四颗星星在闪烁。",
    "画面分为三部分，采用三分法构图。",
    "一共五个人，其中三个模糊，拍摄于十分钟前。",
    "机の上に本が3点あります。",
]
NOT_ITS_SCORE = [
    ("Taken at f/1.8, wide open.", 1.8),
    ("Aufgenommen bei Blende 1,8.", 1.8),
    ("An aperture of 1.8 melts the background.", 1.8),
    ("The ball is 1.5 m wide.", 1.5),
    ("It looks like Stable Diffusion 1.5 made it.", 1.5),
    ("The 2.4:1 frame is wide.", 2.4),
    ("Magnified 2.5x, and 2.5 times larger than the hand.", 2.5),
    ("About 4.5 % of the pixels are noise.", 4.5),
    ("Version v3.5 is written on it.", 3.5),
    ("Three balls are there.", 3.0),
    ("Only three out of five balls are red.", 3.0),
    ("The clock shows 3.42.", 2.0),
]


@pytest.mark.parametrize("sentence", RATINGS)
def test_a_rating_is_seen(sentence):
    assert repeats(sentence, MOS)
    assert repeats(f"Edges are crisp and colours lively. {sentence} There is little grain.", MOS)


@pytest.mark.parametrize("sentence", COUNTS)
def test_what_counts_things_is_no_rating(sentence):
    assert not repeats(sentence, MOS)
    assert not repeats(f"Edges are crisp and colours lively. {sentence} There is little grain.", MOS)


@pytest.mark.parametrize(("sentence", "mos"), NOT_ITS_SCORE)
def test_a_number_that_happens_to_be_the_score(sentence, mos):
    assert not repeats(sentence, mos)


@given(st.integers(0, 500))
def test_the_score_itself_is_seen_wherever_it_stands(hundredths):
    score = hundredths / 100
    for written in (f"{score:.2f}", f"{score:.2f}".replace(".", ","), f"{score:.1f}"):
        assert repeats(f"Grain is little, {written} I would think.", score)
        assert repeats(f"It is {written}.", score)
