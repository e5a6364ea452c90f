"""Which facets of a ledger can go: those that move the scores least.

A share of the whole is asked for, not a number of facets, because it means the same in every run,
and what is lost is what one wants to decide about.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from export.options import Options
from export.version_scorer import some_cases
from tfrec.console import say
from tfrec.errors import UserError
from tfrec.interest.disentanglement import facet_reports
from tfrec.interest.distribution import distribution
from tfrec.interest.reading import LedgerReader
from tfrec.interest.readouts import Readouts
from tfrec.models.build import category_matrix, category_names
from tfrec.models.ledger import Ledger
from tfrec.run import RunConfig
from tfrec.trained import Trained

# Means of shares are steady with far fewer, and a case costs a product with the catalogue.
_CASES = 500


class Facets(NamedTuple):
    """Those that an export keeps.

    Attributes:
        kept: their numbers in the run's model, rising.
        names: of all K facets of the run.
        shares: of each in what all of them contribute, K numbers that add up to 1.
        cases: validation cases that this was measured on; 0 where nothing was to be measured.
    """

    kept: list[int]
    names: list[str]
    shares: list[float]
    cases: int

    @property
    def pruned(self) -> bool:
        """Whether any is left out."""
        return len(self.kept) < len(self.names)

    def label(self) -> str:
        """In a few words."""
        return f"{len(self.kept)} of {len(self.names)} facets"

    def sentence(self) -> str:
        """What was measured and what follows from it."""
        told = [f"{name} {share:.1%}" for name, share in zip(self.names, self.shares, strict=True)]
        left_out = [name for n, name in enumerate(self.names) if n not in self.kept]
        return (
            f"of what the facets contribute to the scores of what {self.cases:,} users of the "
            f"validation cases were expected to take: {', '.join(told)}; left out: "
            f"{', '.join(left_out) or 'none'}"
        )


def facets_to_keep(
    config: RunConfig, trained: Trained, readouts: Readouts, options: Options
) -> Facets | None:
    """As few facets as contribute the share that is asked for.

    The contribution of facet f is Σ_i p_i |c_f(i)|, over the items that may come, as a share of
    the same of all facets, on average over validation cases. Test cases are not looked at: they
    measure what was lost.

    Arguments:
        config, trained, readouts: of the run.
        options: of the export.

    Returns:
        None where the model has no facets.

    Raises:
        UserError: pruning is asked of a model without facets.
    """
    data, model = trained.data, trained.model
    if not isinstance(model, Ledger):
        if options.prune is not None:
            raise UserError(
                f"--prune leaves out facets, and a {config.model.model} has none; only a ledger has"
            )
        return None
    reader = LedgerReader(model)
    categories = category_matrix(data), category_names(data)
    names = [report.name for report in facet_reports(reader, *categories)]
    every = list(range(len(names)))
    if options.prune is None:
        return Facets(every, names, [], 0)
    cases = some_cases(trained.split, "validation", _CASES, config)
    readings = reader.read(cases)
    removed = None if config.evaluation.keep_seen else cases.histories
    found = distribution(readings, reader.catalogue, readouts.temperature, 1, removed=removed)
    mean = found.facet_shares.mean(axis=0)
    shares = mean / max(mean.sum(), np.finfo(np.float64).tiny)
    order = np.argsort(-shares, kind="stable")
    enough = np.cumsum(shares[order]) >= options.prune - 1e-9
    count = int(enough.argmax()) + 1 if enough.any() else len(names)
    facets = Facets(sorted(order[:count].tolist()), names, shares.tolist(), len(cases))
    say(facets.sentence())
    return facets
