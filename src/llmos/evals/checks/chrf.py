"""chrF: how alike a translation and its reference are (Popović 2015), without a tokenizer, so for every language."""

from collections import Counter

_ORDER = 6
_BETA = 2.0


def chrf(text: str, reference: str) -> float:
    """Return the F2 score of n-grams of 1 to 6 characters, without spaces, from 0 to 1.

    The mean precision and recall over the orders that both texts are long enough for, as sacrebleu computes it for one
    sentence with its `eps_smoothing` off.
    """
    one, other = "".join(text.split()), "".join(reference.split())
    precisions, recalls = 0.0, 0.0
    num_orders = 0
    for order in range(1, _ORDER + 1):
        found, wanted = _ngrams(one, order), _ngrams(other, order)
        if not found or not wanted:
            continue
        num_orders += 1
        common = (found & wanted).total()
        precisions += common / found.total()
        recalls += common / wanted.total()
    if not num_orders or not precisions or not recalls:
        return 0.0
    precision, recall = precisions / num_orders, recalls / num_orders
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[i : i + order] for i in range(len(text) - order + 1))
