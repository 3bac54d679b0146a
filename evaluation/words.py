"""Texts as what they say, word by word: the columns of a ridge."""

from sklearn.feature_extraction.text import TfidfVectorizer

WORD = r"(?u)\b\w+\b"  # single letters and digits ("a", "2") too: they count objects


def tfidf() -> TfidfVectorizer:
    """Words and pairs of words."""
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
