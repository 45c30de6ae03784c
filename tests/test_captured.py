from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from videdit.captured import Captured

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no GPU"
))]  # fmt: skip


def network(device: str) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
    return nn.Sequential(*layers).to(device).eval()


@pytest.mark.parametrize("device", DEVICES)
def test_it_answers_as_the_network_for_every_size_of_batch(device: str) -> None:
    plain = network(device)
    captured = Captured(plain, device)
    for count in (1, 3, 8, 5, 11, 3):
        batch = torch.rand(count, 3, 16, 16, device=device)
        with torch.no_grad():
            expected = plain(batch)
        torch.testing.assert_close(captured(batch), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_threads_get_their_own_answers(device: str) -> None:
    captured = Captured(network(device), device)
    batches = [torch.full((1, 3, 16, 16), k / 10, device=device) for k in range(20)]
    alone = [captured(batch).clone() for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(captured, batches * 5))
    for found, expected in zip(together, alone * 5, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_what_cannot_be_recorded_is_run_as_it_is(device: str) -> None:
    def asks_for_a_number(batch: Tensor) -> Tensor:
        return batch * batch.max().item()

    batch = torch.arange(4.0, device=device)[:, None]
    captured = Captured(asks_for_a_number, device)
    for _ in range(2):
        assert captured(batch).flatten().tolist() == [0, 3, 6, 9]


def test_half_precision_gives_float32() -> None:
    captured = Captured(network("cpu"), "cpu", "bf16")
    batch = torch.rand(2, 3, 16, 16)
    found = captured(batch)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, network("cpu")(batch).detach(), atol=2e-2, rtol=2e-2)
