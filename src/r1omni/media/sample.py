"""Which frames of a clip are read: the published models' uniform rule, by frame index, whatever the frame rate."""


def sample_frame_indices(num_available: int, num_frames: int) -> list[int]:
    """Choose frames evenly: the centre of each of `num_frames` equal segments of the index range.

    index_i = round((n - 1) / k * (i + 1/2) + 1e-6), halves to even. Frames repeat if fewer are available.

    Args:
        num_available: frames in the clip, n, at least 1.
        num_frames: frames wanted, k, at least 1.

    Source:
        github.com/HumanMLLM/R1-Omni at 17cafca, humanomni/mm_utils.py, frame sampling in uniform mode.
    """
    if num_available < 1 or num_frames < 1:
        raise ValueError(f"cannot choose {num_frames} of {num_available} frames: both must be at least 1")
    segment = (num_available - 1) / num_frames
    return [round(segment * (i + 0.5) + 1e-6) for i in range(num_frames)]
