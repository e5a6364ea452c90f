"""How much two blocks of codes know of each other: 0 means nothing that the measure can see.

Used between facet blocks, of users or of items: row n of `a` and row n of `b` describe the same
user or item. All three grow with the square of N in time; distances are never held whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]

# Distances alive at one time: 16 MiB as float64.
_CELLS_PER_BLOCK = 2**21
# Rows that the median heuristic looks at: it needs all their distances at once.
_MEDIAN_ROWS = 2000


def distance_correlation(a: Real, b: Real) -> float:
    """Distance correlation R_n: 0 to 1; for N to infinity it is 0 only under independence.

    R_n = (V²(a, b) / sqrt(V²(a, a) · V²(b, b)))^½, where V²(a, b) is the mean over pairs of rows
    of the product of the doubly centred Euclidean distances. Székely, Rizzo & Bakirov, "Measuring
    and testing dependence by correlation of distances", Annals of Statistics 2007, eq. 2.8 to
    2.10. With few rows it is well above 0 under independence too: compare at equal N.

    Arguments:
        a: float [N, p].
        b: float [N, q].

    Returns:
        R_n; 0 when all rows of a block are equal.

    Raises:
        ValueError: not two matrices with the same N >= 2.

    Example:
        >>> a = np.array([[0.0], [1.0], [4.0]])
        >>> round(distance_correlation(a, 3 - 2 * a), 6)  # a line in one dimension
        1.0
    """
    a, b = _checked(a, b)
    both, only_a, only_b = _centred_products(a, b, _distances, _distances)
    if only_a <= 0 or only_b <= 0:
        return 0.0
    return float(np.sqrt(max(both, 0.0) / np.sqrt(only_a * only_b)))


def linear_cka(a: Real, b: Real) -> float:
    """Linear centred kernel alignment: 0 to 1; 1 when b is a rotated, scaled and moved.

    |BᵀA|² / (|AᵀA| · |BᵀB|) in Frobenius norms, columns centred. Kornblith, Norouzi, Lee & Hinton,
    "Similarity of neural network representations revisited", ICML 2019, section 3. It sees linear
    dependence only.

    Arguments:
        a: float [N, p].
        b: float [N, q].

    Returns:
        The alignment; 0 when all rows of a block are equal.

    Raises:
        ValueError: not two matrices with the same N >= 2.

    Example:
        >>> a = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -3.0]])
        >>> round(linear_cka(a, 5 * a[:, ::-1] + 7), 6)
        1.0
    """
    a, b = _checked(a, b)
    a, b = a - a[0], b - b[0]  # equal rows are now exactly zero, whatever their mean rounds to
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return float(np.linalg.norm(b.T @ a) ** 2) / size if size > 0 else 0.0


def hsic(a: Real, b: Real, widths: tuple[float, float] | None = None) -> float:
    """Hilbert-Schmidt independence criterion with Gaussian kernels, the biased estimator.

    tr(K H L H) / (N - 1)², K_kl = exp(-|a_k - a_l|² / (2 w²)), L the same of b, H = I - 1/N.
    Gretton, Bousquet, Smola & Schölkopf, "Measuring statistical dependence with Hilbert-Schmidt
    norms", ALT 2005, eq. 9. Its scale depends on the widths: compare at equal widths and N.

    Arguments:
        a: float [N, p].
        b: float [N, q].
        widths: w of each kernel, in the units of a and b. Default: the median of the distances
            that are not zero, between at most 2,000 rows spread evenly over the N.

    Raises:
        ValueError: not two matrices with the same N >= 2, or a width that is not positive.

    Example:
        >>> a = np.array([[0.0], [1.0]])
        >>> round(hsic(a, a, widths=(1.0, 1.0)), 6)  # (1 - exp(-1/2))²
        0.154818
    """
    a, b = _checked(a, b)
    width_a, width_b = widths or (_median_distance(a), _median_distance(b))
    if not (width_a > 0 and width_b > 0):
        raise ValueError(f"widths must be positive, got {(width_a, width_b)}")
    both, _, _ = _centred_products(a, b, _gaussian(width_a), _gaussian(width_b))
    rows = len(a)
    return both * rows**2 / (rows - 1) ** 2


# A pairwise function: rows [r, p] and all rows [N, p] -> [r, N].
Pairwise = Callable[[Float64, Float64], Float64]


def _centred_products(
    a: Float64, b: Float64, of_a: Pairwise, of_b: Pairwise
) -> tuple[float, float, float]:
    """Means over all pairs of A·B, A·A and B·B, where A and B are doubly centred.

    mean(A B) = mean(x y) + mean(x) mean(y) - 2 mean(row mean x · row mean y) for the uncentred
    x and y, which a block of rows at a time can give.
    """
    rows = len(a)
    products = np.zeros(3)
    means = np.empty((2, rows))
    step = max(1, _CELLS_PER_BLOCK // rows)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        x, y = of_a(a[part], a), of_b(b[part], b)  # [r, N]
        products += np.vdot(x, y), np.vdot(x, x), np.vdot(y, y)
        means[:, part] = x.mean(axis=1), y.mean(axis=1)
    row_a, row_b = means
    both, only_a, only_b = (
        float(product / rows**2 + left.mean() * right.mean() - 2 * (left * right).mean())
        for product, left, right in zip(
            products, (row_a, row_a, row_b), (row_b, row_a, row_b), strict=True
        )
    )
    return both, only_a, only_b


def _distances(some: Float64, rows: Float64) -> Float64:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(some, rows), np.float64)


def _gaussian(width: float) -> Pairwise:
    def kernel(some: Float64, rows: Float64) -> Float64:
        values: Float64 = np.exp(-(_distances(some, rows) ** 2) / (2 * width**2))
        return values

    return kernel


def _median_distance(rows: Float64) -> float:
    from scipy.spatial.distance import pdist

    found = pdist(rows[:: -(-len(rows) // _MEDIAN_ROWS)])
    found = found[found > 0]
    return float(np.median(found)) if len(found) else 1.0  # equal rows: any width gives 0


def _checked(a: Real, b: Real) -> tuple[Float64, Float64]:
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a and b must be [N, p] and [N, q], N >= 2; got {a.shape}, {b.shape}")
    return a.astype(np.float64), b.astype(np.float64)
