"""What is drawn of a clip's sound: the waveform and the curves, thinned."""

import numpy as np

from r1omni.explain.clip_tracks import thin_curve, waveform_peaks


def test_the_waveform_is_drawn_by_its_loudest_samples():
    """401 samples in 400 columns: the first column holds two."""
    waveform = np.zeros(401, np.float32)
    waveform[1], waveform[400] = -0.5, 0.25
    peaks = waveform_peaks(waveform)
    assert len(peaks) == 400 and peaks[0] == 0.5 and peaks[-1] == 0.25 and sum(peaks) == 0.75
    assert waveform_peaks(np.zeros(0, np.float32)) == ()


def test_curves_are_thinned_by_medians_and_keep_their_gaps():
    """Two points to a stretch: (100, nan) gives 100, (nan, nan) a gap, (1, 3) gives 2."""
    values = np.full(800, np.nan)
    values[:2], values[4:6] = (100.0, np.nan), (1.0, 3.0)
    curve = thin_curve(np.arange(800) / 100, values)
    assert curve[:3] == ((0.005, 100.0), (0.025, None), (0.045, 2.0)) and len(curve) == 400
    assert thin_curve(np.zeros(0), np.zeros(0)) == ()
