"""Write src/fashion_cnn/unlikeness.npz: what the training split's classes look like on average.

No image is in it, only ten means and covariances (as the matrices that whiten by them). Run it
again if the measure changes; a test compares the file with what this script computes.
"""

import numpy as np
from numpy.typing import NDArray

import fashion_cnn as fc
from fashion_cnn.unlikeness import CELLS, STATISTICS, describe, unlikeness

SHARED = 0.2  # of each class's covariance: the mean covariance of all classes
# Added to the variances: cells that are always black would otherwise divide by zero, and an image
# that is a little too dark would seem very unlike, for the lightest pixel hardly varies.
LEAST_VARIANCES = [*np.full(CELLS * CELLS, 1e-5), 0.05**2]
WARNED = 0.01  # of the validation images


def class_statistics(split: fc.Split) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the classes' means and the lower triangles of the matrices that whiten them."""
    described = describe(split.images)
    of_class = [described[split.labels == label] for label in range(len(fc.CLASS_NAMES))]
    covariances = np.array([np.cov(members, rowvar=False) for members in of_class])
    covariances = (1 - SHARED) * covariances + SHARED * covariances.mean(axis=0)
    covariances += np.diag(LEAST_VARIANCES)
    whitenings = np.linalg.inv(np.linalg.cholesky(covariances))
    means = np.array([members.mean(axis=0) for members in of_class], np.float32)
    return means, whitenings[:, *np.tril_indices(described.shape[1])].astype(np.float32)


def main() -> None:
    """Compute the classes' statistics, then the unit, with which they are one file."""
    data = fc.load_fashion_mnist()
    if not data.source.is_fashion_mnist:
        raise SystemExit(f"the statistics are of Fashion-MNIST, got {data.source}")
    means, triangles = class_statistics(data.train)
    np.savez_compressed(STATISTICS, means=means, triangles=triangles, unit=1.0)
    unit = np.quantile(unlikeness(data.validation.images), 1 - WARNED)
    np.savez_compressed(STATISTICS, means=means, triangles=triangles, unit=unit)
    print(f"{STATISTICS}: {STATISTICS.stat().st_size:,} bytes, unit {unit:.2f}")


if __name__ == "__main__":
    main()
