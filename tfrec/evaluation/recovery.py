"""How well learned codes recover planted factors, on data whose truth is known.

`codes` is float [N, K]: what a model learned of N users or items, one column per facet.
`factors` is float [N, F]: the truth, continuous or ordered, every column with some variation.
No measure here depends on the order, sign or positive scale of the codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int64

Float64 = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]

# Weight of the squared coefficients, per row: steadies twin codes, shrinks a lone one by .1 %.
RIDGE = 1e-3
_STREAM = 0x7265_636F


def importance(codes: Real, factors: Real, ridge: float = RIDGE) -> Float64:
    """How much each code has to say in the best linear reading of each factor, [K, F].

    Absolute coefficients of a ridge regression, codes and factors standardised:
    |(ZᵀZ / N + ridge · I)⁻¹ Zᵀ Y / N|. A constant code has importance 0. Ridge shares a factor
    between codes that say the same, where the lasso would pick one of them.

    Raises:
        ValueError: not two matrices with the same N >= 2, or a factor is constant.

    Example:
        >>> codes = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> importance(codes, 3 * codes[:, [1]], ridge=0.0).tolist()
        [[0.0], [1.0]]
    """
    codes, factors = _checked(codes, factors)
    return np.abs(_ridge(_standardised(codes), _standardised(factors), ridge))


def informativeness(codes: Real, factors: Real, seed: int, ridge: float = RIDGE) -> Float64:
    """Held-out R² of each factor from all codes by the regression of `importance`, [F].

    Rows are dealt into two halves; each half is predicted from the other. R² = 1 - squared error
    of the prediction / squared error of the other half's mean: 1 at best, below 0 where the codes
    mislead. Eastwood & Williams 2018 (see `dci`) call the error itself informativeness.

    Raises:
        ValueError: as `importance`; N below 4.
    """
    codes, factors = _checked(codes, factors)
    rows = len(codes)
    if rows < 4:
        raise ValueError(f"two halves need N >= 4, got codes {codes.shape}")
    order = np.random.default_rng([seed, _STREAM]).permutation(rows)
    error, baseline = np.zeros((2, factors.shape[1]))
    for test in (order[: rows // 2], order[rows // 2 :]):
        train = np.setdiff1d(order, test)
        centre, scale = codes[train].mean(axis=0), _scale(codes[train])
        mean = factors[train].mean(axis=0)
        weights = _ridge((codes[train] - centre) / scale, factors[train] - mean, ridge)
        truth = factors[test] - mean
        error += ((truth - (codes[test] - centre) / scale @ weights) ** 2).sum(axis=0)
        baseline += (truth**2).sum(axis=0)
    r2: Float64 = 1 - error / baseline
    return r2


@dataclass(frozen=True)
class DCI:
    """What `dci` finds, each number from 0 to 1.

    Attributes:
        disentanglement: weighted mean of `per_code`.
        completeness: weighted mean of `per_factor`.
        per_code: [K], 1 when the code is important for one factor only; 0 for an unused code.
        per_factor: [F], 1 when one code only is important for the factor.
    """

    disentanglement: float
    completeness: float
    per_code: Float64
    per_factor: Float64


def dci(importance: Real) -> DCI:
    """Disentanglement and completeness of an importance matrix.

    D_i = 1 - H_F(R_i / sum R_i), entropy to the base F over the row of code i; completeness is
    the same down the columns, to the base K. The means are weighted with the share of importance
    in each row, or column. Eastwood & Williams, "A framework for the quantitative evaluation of
    disentangled representations", ICLR 2018, section 2.

    Arguments:
        importance: float [K, F], not negative, K and F at least 2.

    Raises:
        ValueError: a smaller or negative matrix, or one without any importance.

    Example:
        >>> found = dci(np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
        >>> found.disentanglement, round(found.completeness, 3)  # 1/2 · 1 + 1/2 · (1 - log_3 2)
        (1.0, 0.685)
    """
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(f"importance must be [K, F], both at least 2; got {importance.shape}")
    if not (importance >= 0).all() or not importance.any():
        raise ValueError("importance must not be negative, nor zero throughout")
    weights = importance.astype(np.float64) / importance.sum()
    per_code, per_factor = _concentration(weights), _concentration(weights.T)
    return DCI(
        disentanglement=float(weights.sum(axis=1) @ per_code),
        completeness=float(weights.sum(axis=0) @ per_factor),
        per_code=per_code,
        per_factor=per_factor,
    )


def mutual_information_gap(codes: Real, factors: Real, bins: int = 20) -> float:
    """MIG: mean over factors of (I(best code; v) - I(second best code; v)) / H(v).

    Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational
    autoencoders", NeurIPS 2018, eq. 6. Information and entropy are those of the joint histogram,
    `bins` equal widths per column; a column with at most `bins` values keeps its values.

    Raises:
        ValueError: as `importance`; fewer than two codes.

    Example:
        >>> codes = np.array([[0.0, 5.0], [0.0, 7.0], [1.0, 5.0], [1.0, 7.0]])
        >>> mutual_information_gap(codes, codes)
        1.0
    """
    codes, factors = _checked(codes, factors, codes_needed=2)
    code_bins, factor_bins = (
        np.stack([_binned(column, bins) for column in matrix.T]) for matrix in (codes, factors)
    )
    information = np.array([[_information(z, v) for v in factor_bins] for z in code_bins])  # [K, F]
    entropy = np.array([_information(v, v) for v in factor_bins])  # I(v; v) = H(v)
    return float(np.mean(_gap(information) / entropy))


def sap(codes: Real, factors: Real) -> float:
    """SAP: mean over factors of (R² of the best single code - R² of the second best).

    Kumar, Sattigeri & Balakrishnan, "Variational inference of disentangled latent concepts from
    unlabeled observations", ICLR 2018, section 3; the score for continuous factors.

    Raises:
        ValueError: as `importance`; fewer than two codes.

    Example:
        >>> codes = np.array([[0.0, 5.0], [0.0, 7.0], [1.0, 5.0], [1.0, 7.0]])
        >>> round(sap(codes, codes), 6)
        1.0
    """
    codes, factors = _checked(codes, factors, codes_needed=2)
    return float(np.mean(_gap(_single_r2(codes, factors))))


@dataclass(frozen=True)
class Matching:
    """One code for each factor, no code twice.

    Attributes:
        codes: int64 [F], the code of each factor; -1 where there are fewer codes than factors.
        r2: float64 [F], the R² of the factor from that code; 0 where there is none.
    """

    codes: Int64
    r2: Float64


def matched_r2(codes: Real, factors: Real) -> Matching:
    """The one-to-one assignment of codes to factors with the largest sum of R².

    Raises:
        ValueError: as `importance`.

    Example:
        >>> codes = np.array([[0.0, 5.0], [0.0, 7.0], [1.0, 5.0], [1.0, 7.0]])
        >>> matched_r2(codes, -2 * codes[:, ::-1]).codes.tolist()
        [1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    r2 = _single_r2(*_checked(codes, factors))
    rows, columns = linear_sum_assignment(r2, maximize=True)
    found = Matching(np.full(r2.shape[1], -1, np.int64), np.zeros(r2.shape[1]))
    found.codes[columns] = rows
    found.r2[columns] = r2[rows, columns]
    return found


def _ridge(z: Float64, y: Float64, ridge: float) -> Float64:
    penalised = z.T @ z / len(z) + ridge * np.eye(z.shape[1])
    # lstsq, so that a constant or repeated code without a penalty is no failure.
    return np.asarray(np.linalg.lstsq(penalised, z.T @ y / len(z), rcond=None)[0], np.float64)


def _scale(columns: Float64) -> Float64:
    """Standard deviations, 1 for a constant column."""
    return np.where(np.ptp(columns, axis=0) > 0, columns.std(axis=0), 1.0)


def _standardised(columns: Float64) -> Float64:
    columns = columns - columns[0]  # a constant column is now exactly zero
    standardised: Float64 = (columns - columns.mean(axis=0)) / _scale(columns)
    return standardised


def _single_r2(codes: Float64, factors: Float64) -> Float64:
    """Squared correlation of each code with each factor, [K, F]."""
    correlation = _standardised(codes).T @ _standardised(factors) / len(codes)
    return np.minimum(correlation**2, 1.0)


def _concentration(weights: Float64) -> Float64:
    """1 - entropy of each row to the base of its length; 0 for a row of zeros."""
    sums = weights.sum(axis=1, keepdims=True)
    shares = weights / np.where(sums > 0, sums, 1.0)
    logs = np.log(np.where(shares > 0, shares, 1.0)) / np.log(weights.shape[1])
    return np.where(sums[:, 0] > 0, 1.0 + (shares * logs).sum(axis=1), 0.0)


def _gap(scores: Float64) -> Float64:
    """Largest minus second largest of each column."""
    second, first = np.sort(scores, axis=0)[-2:]
    return np.asarray(first - second, np.float64)


def _binned(column: Float64, bins: int) -> Int64:
    values, inverse = np.unique(column, return_inverse=True)
    if len(values) <= bins:
        return inverse.astype(np.int64)
    inner = np.linspace(values[0], values[-1], bins + 1)[1:-1]
    return np.searchsorted(inner, column, side="right").astype(np.int64)


def _information(x: Int64, y: Int64) -> float:
    """Mutual information of two binned columns, in nats."""
    width = int(y.max()) + 1
    counts = np.bincount(x * width + y, minlength=(int(x.max()) + 1) * width)
    joint = counts.reshape(-1, width) / len(x)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


def _checked(codes: Real, factors: Real, codes_needed: int = 1) -> tuple[Float64, Float64]:
    shapes = f"got {codes.shape}, {factors.shape}"
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or len(codes) < 2:
        raise ValueError(f"codes and factors must be [N, K] and [N, F], N >= 2; {shapes}")
    if codes.shape[1] < codes_needed:
        raise ValueError(f"at least {codes_needed} codes are needed; {shapes}")
    constant = np.flatnonzero(np.ptp(factors, axis=0) == 0)
    if len(constant):
        raise ValueError(f"factor {int(constant[0])} is constant: there is nothing to recover")
    return codes.astype(np.float64), factors.astype(np.float64)
