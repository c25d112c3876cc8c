import numpy as np
import pytest

import fashion_cnn as fc


def test_expected_calibration_error_by_hand():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.3), size=500)
    labels = rng.integers(0, 10, 500)
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    error = 0.0
    for low in np.arange(10) / 10:
        chosen = (confidence >= low) & (confidence < low + 0.1)
        if chosen.any():
            gap = abs(is_right[chosen].mean() - confidence[chosen].mean())
            error += chosen.mean() * gap
    title = fc.inside.plot_reliability(labels, probabilities).get_title()
    assert title == f"number of images at each dot; ECE {error:.4f}"


@pytest.mark.parametrize("probabilities", [np.zeros(10), np.zeros((0, 10)), np.zeros((3, 10))])
def test_plot_reliability_refuses(probabilities):
    with pytest.raises(ValueError, match=r"labels of shape \(n,\)"):
        fc.inside.plot_reliability(np.zeros(len(probabilities[:2]), int), probabilities)


def test_plot_reliability_sorts_by_confidence():
    """Four images in two bins, worked out by hand."""
    probabilities = np.full((4, 10), 0.0, np.float32)
    probabilities[[0, 1, 2, 3], [1, 1, 2, 2]] = [0.62, 0.68, 0.92, 0.94]
    probabilities[:, 0] = 1 - probabilities.sum(axis=1)
    ax = fc.inside.plot_reliability([1, 5, 2, 2], probabilities)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[0.65, 0.5], [0.93, 1.0]], atol=1e-6)
    assert [text.get_text() for text in ax.texts] == ["2", "2"]
    error = 0.5 * abs(0.65 - 0.5) + 0.5 * abs(0.93 - 1)
    assert ax.get_title() == f"number of images at each dot; ECE {error:.4f}"
