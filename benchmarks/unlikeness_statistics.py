"""Write src/fashion_cnn/unlikeness.npz: what the training split's classes look like on average.

The file holds no image, only ten means and covariances (as whitening matrices). Run this script
again if the measure changes; a test compares the file with what the script computes.
"""

import numpy as np
from numpy.typing import NDArray

import fashion_cnn as fc
from fashion_cnn.unlikeness import CELLS, STATISTICS, describe, unlikeness

SHARED = 0.2  # weight of the mean covariance of all classes in that of each class
# Added to the variances: otherwise cells that are always black would cause a division by zero, and
# an image a little too dark would seem very unlike, because the lightest pixel hardly varies.
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
    """Compute the classes' statistics and the unit, and write them to one file."""
    data = fc.load_fashion_mnist()
    if not data.source.is_fashion_mnist:
        raise SystemExit(f"the statistics need Fashion-MNIST, got {data.source}")
    means, triangles = class_statistics(data.train)
    np.savez_compressed(STATISTICS, means=means, triangles=triangles, unit=1.0)
    unit = np.quantile(unlikeness(data.validation.images), 1 - WARNED)
    np.savez_compressed(STATISTICS, means=means, triangles=triangles, unit=unit)
    print(f"{STATISTICS}: {STATISTICS.stat().st_size:,} bytes, unit {unit:.2f}")


if __name__ == "__main__":
    main()
