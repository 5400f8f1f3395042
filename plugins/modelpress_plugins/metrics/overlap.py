"""How near an answer in words is to the right one, as SQuAD's script judges (P. Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping

from modelpress.api import Artifact, Estimate, PassContext
from modelpress_plugins.metrics.answers import answers
from modelpress_plugins.metrics.config import AnswerOptions
from modelpress_plugins.metrics.spread import mean, share

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def f1(model: Artifact, config: AnswerOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Mean over the prompts of the words that answer and right answer share: 2 PR / (P + R)."""
    return {"f1": mean([shared_words(given, right) for given, right in answers(model, config, ctx)])}


def exact_match(model: Artifact, config: AnswerOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Share of answers that are right but for case, punctuation, articles and spaces."""
    pairs = answers(model, config, ctx)
    return {"exact_match": share(sum(words(given) == words(right) for given, right in pairs), len(pairs))}


def shared_words(given: str, right: str) -> float:
    """From 0, none in common, to 1, the same words; two empty answers are the same."""
    ours, theirs = words(given), words(right)
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def words(text: str) -> list[str]:
    """Lower case, without punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()
