from __future__ import annotations

import pytest

from videdit.errors import WeightsError, out_of_memory


def raised(cause: BaseException) -> BaseException:
    """An error of ours that came from ``cause``."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise WeightsError("the network cannot be used") from error
    except WeightsError as error:
        return error


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        ImportError("libopenvino.so: failed to map segment from shared object"),
    ],
)
def test_a_lack_of_memory_is_told_from_what_it_breaks(cause: BaseException) -> None:
    for error in (cause, raised(cause)):
        found = out_of_memory(error)
        assert found is not None
        assert "memory" in found.message
        assert found.exit_code == 1


def test_other_errors_stay() -> None:
    assert out_of_memory(raised(ValueError("a wrong shape"))) is None
