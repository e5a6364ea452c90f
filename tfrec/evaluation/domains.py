"""How well each domain of a joined log is served, and whom: ranked among its own items alone.

A list of films is made of films, so the candidates of a target are the items of its own domain.
Events of every domain stay in the history: what they teach about another domain is the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.domains import Domains, domains
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Int64
from tfrec.data.splits import Split, Subset
from tfrec.evaluation.ranking import Ranking
from tfrec.evaluation.results import SliceRow
from tfrec.evaluation.slices import slice_row, with_targets

WITHIN = "ranked within it"
WARM, COLD, UNKNOWN = "some", "none, some elsewhere", "none at all"


def unasked_domains(
    data: PreparedData, split: Split, subset: Subset, seen_removed: bool
) -> list[str]:
    """The domains of a joined log in which no case has a target, so that nothing is measured there.

    Arguments:
        data, split: of a run.
        subset, seen_removed: which cases, see `Split.cases`.
    """
    found = domains(data)
    if found is None:
        return []
    cases = split.cases(subset, seen_removed=seen_removed)
    targets = np.bincount(found.of_item[cases.targets], minlength=len(found.names))
    return [name for name, count in zip(found.names, targets, strict=True) if not count]


def domain_slices(
    rank: Callable[[Cases, Bool], Ranking],
    cases: Cases,
    among: Domains,
    ks: Sequence[int],
    seed: int,
) -> dict[str, list[SliceRow]]:
    """hit_rate@k and ndcg@k of every domain's targets among the items of that domain.

    One slice has a row for each domain. Then there is one for each domain, by what the history
    holds: some events of the domain; none of it, but some of others (the user is cold there);
    none at all. The history is what the model is told at the request, so at the test cases it
    holds the events of training and those of validation.

    Arguments:
        rank: cases, candidates [num_items] -> ranking, see `tfrec.evaluation.ranking.rank`.
        cases: with targets in any domain; one with targets in two counts in both.
        among: the domains.
        ks, seed: as for `accuracy` and `intervals`.

    Returns:
        slice name -> rows; rows and domains without cases are left out.
    """
    whole: list[SliceRow] = []
    found = {f"domain, {WITHIN}": whole}
    for domain, name in enumerate(among.names):
        candidates = among.items(domain)
        part, _ = with_targets(cases, candidates[cases.targets])
        if not len(part):
            continue
        ranking = rank(part, candidates)
        everything = np.ones(len(part.targets), bool)
        whole.append(slice_row(name, everything, ranking, part, ks, seed))
        own = events_in(part, candidates)
        known = part.histories.lengths > 0
        groups = {WARM: own > 0, COLD: (own == 0) & known, UNKNOWN: ~known}
        found[f"history in {name}, {WITHIN}"] = [
            slice_row(label, chosen, ranking, part, ks, seed)
            for label, of_cases in groups.items()
            if (chosen := of_cases[part.target_cases()]).any()
        ]
    return found


def events_in(cases: Cases, items: Bool) -> Int64:
    """Events of each history that are of the chosen items, int64 [N]."""
    histories = cases.histories
    rows = np.repeat(np.arange(len(cases)), histories.lengths)
    return np.bincount(rows[items[histories.items()]], minlength=len(cases))
