"""Arrays to a device and back."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.copies import downloaded, uploaded


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_there_and_back(device: str, dtype: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    tensor = uploaded(array, device)
    assert tensor.device.type == device
    assert downloaded(tensor).dtype == dtype
    np.testing.assert_array_equal(downloaded(tensor), array)
    # What is another way round in memory, too.
    np.testing.assert_array_equal(downloaded(tensor.permute(2, 0, 1)), array.transpose(2, 0, 1))


def test_what_may_only_be_read_stays_as_it_is(device: str) -> None:
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    tensor = uploaded(array, device)
    tensor += 1
    assert not array.any()
