"""Writes wordpiece.json: what Hugging Face's tokenizers make of texts with a small vocabulary.

python wordpiece.py > wordpiece.json     (tokenizers 0.22 or later)
"""

import json
import os
import tempfile

from tokenizers import BertWordPieceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = (
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    + list(LETTERS)
    + ["##" + letter for letter in LETTERS]
    + ["the", "film", "un", "##aff", "##able", "##ing", "run", "##n", "n", "'", "t", "cafe", "resume", "strasse", ",", ".",
       "!", "?", "-", "(", ")", "\"", "$", "\u20ac", "\u2014", "\u2026", "\u6771", "\u4eac", "\u00df", "##\u00df", "The", "##F",
       "\u03c3", "##\u03c3", "##\u03c2", "\u0131", "i\u0307", "\u00e9", "##\u00e9", "`", "^", "|", "\u3002", "\u00a3"]
)
TEXTS = [
    "the film is unaffable , running .", "The Film, running!", "ca n't", "can't", "caf\u00e9 r\u00e9sum\u00e9", "cafe\u0301",
    "\u6771\u4eacthe", "the\u3000film\u00a0run", "a\tb\nc\rd", "stra\u00dfe STRASSE", "zero\u200bwidth soft\u00adhyphen",
    "bell\u0007 nul\u0000 bad\ufffd", "", "   ", "\u2014\u2026\u20ac$^`|", "\u03a3\u0391\u03a3 \u03c3\u03c2", "\u0130stanbul \u0131", "\ud55c\uad6d\uc5b4",
    "emoji \U0001f600 the", "a" * 100, "a" * 101, "x\u0336y", "\u00a3the\u3002", "\uff0cthe\uff01", "word\u2009thin\u202fspace",
    "\U00020000the", "\u0e01\u0e34", "\u0915\u093f", "\u201cquoted\u201d", "don\u2019t", "e\u0301\u0301", "\ue000private", "\u2028line",
]


def encoded(lowercase):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(VOCABULARY) + "\n")
        tokenizer = BertWordPieceTokenizer(path, lowercase=lowercase)
        return [tokenizer.encode(text).ids for text in TEXTS]


print(json.dumps({
    "vocabulary": VOCABULARY,
    "cases": [{"name": name, "lowercase": lowercase, "texts": TEXTS, "ids": encoded(lowercase)}
              for name, lowercase in [("uncased", True), ("cased", False)]],
}, ensure_ascii=True, indent=1))
