"""StyleFlow: edits by a conditional continuous normalising flow.

A flow F(z, a) takes standard normal noise z to a row of W, given what the face is like, a. An edit
goes back to the noise with the face's own attributes, and forward again with others: what the noise
holds, which is all that the attributes don't tell, stays (*StyleFlow: Attribute-conditioned
Exploration of StyleGAN-Generated Images using Conditional Continuous Normalizing Flows*, Abdal et
al., ACM TOG 2021). The velocity is a network of the place, the time and the conditions; each layer
is gated by time and conditions, as the paper's are (from FFJORD, Grathwohl et al., ICLR 2019). What
differs, and why:

- The flow lives in W's whitened coordinates, in which W is nearly standard normal already, and it
  runs along the path of equal variance (``training.styleflow``): there the velocity of a standard
  normal is 0, so that a flow that has learned nothing is the identity.
- What is added to a code is F(z, a') - F(z, a), not F(z, a') - w: the round trip's error cancels,
  and a code whose attributes stay is not moved at all.
- Conditions are the latent classifier's 40 logits and, held in every edit, the head's yaw, pitch
  and size of yaw by the classifier's own regressions. Logits are squashed softly at three
  deviations, lest an edit ask for what no face has.
- Forty logits tell much of the same many times over: all but a twentieth of the variance of most of
  them is explained by the others. To move one and hold 39 to the letter would be a long way. So the
  flow learns from attributes with noise on them: it holds the others about as closely, not to the
  letter, and takes an attribute that moves for partly noise. ``lengths`` make up for that.
- An alpha of 1 moves the condition; beyond, a code goes on along the same chord.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn
from torchdiffeq import odeint  # type: ignore[import-untyped]

from ..files import replaced
from ..generators.mobile import ROWS
from ..generators.wspace import WStatistics
from .classifier import GOAL, LatentClassifier
from .editor import Codes, Editor
from .files import described, read_described, readable
from .shell import Shell
from .transformer import EDITED_ROWS

STEPS = 8
"""Of the solver, from noise to code."""

POSE = 3
"""Conditions beside the attributes: yaw, pitch and the size of yaw."""

_COLOURS = frozenset(
    {
        *("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
        *("Pale_Skin", "Rosy_Cheeks", "Wearing_Lipstick", "Heavy_Makeup"),
    }
)
_BOUND = 3.0  # deviations at which conditions are squashed
_WAVES = 4  # of the time's embedding
_EMBEDDED = 192
FORMAT = "videdit.styleflow.1"

Floats = npt.NDArray[np.float32]


def edited_rows(name: str, rows: int = ROWS) -> int:
    """Rows that an edit moves, from the first, of codes with so many: those that the latent
    transformers move."""
    return rows if name in _COLOURS else min(rows, EDITED_ROWS)


class _Gated(nn.Module):
    """``(W x + b) * sigmoid(gate(e)) + shift(e)``, e the embedding of time and conditions."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.gate = nn.Linear(_EMBEDDED, width_out)
        self.shift = nn.Linear(_EMBEDDED, width_out, bias=False)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        gated = self.linear(x) * self.gate(embedded).sigmoid()
        return cast(Tensor, gated + self.shift(embedded))


class ConditionalFlow(nn.Module):
    """The velocity v(x, t, a), and the flow along it.

    It begins as the identity: the velocity of a new one is 0 everywhere.

    Args:
        width: of x, W's whitened coordinates.
        conditions: how many there are.
        hidden, layers: width and number of the hidden layers.

    Attributes:
        centre, spread: (conditions,) mean and standard deviation of the raw conditions.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, width: int, conditions: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.width, self.conditions = width, conditions
        self.hidden, self.layers = hidden, layers
        self.embed = nn.Linear(conditions + 2 * _WAVES, _EMBEDDED)
        self.first = _Gated(width, hidden)
        self.middle = nn.ModuleList(_Gated(hidden, hidden) for _ in range(layers - 1))
        self.last = _Gated(hidden, width)
        for part in (self.last.linear, self.last.shift):
            nn.init.zeros_(part.weight)
        nn.init.zeros_(self.last.linear.bias)
        self.register_buffer("centre", torch.zeros(conditions))
        self.register_buffer("spread", torch.ones(conditions))

    def squashed(self, raw: Tensor) -> Tensor:
        """Raw conditions (..., k) as the velocity takes them: in deviations, within 3 of them."""
        return _BOUND * torch.tanh((raw - self.centre) / (_BOUND * self.spread))

    def rounded(self) -> dict[str, Tensor]:
        """Its state as it is kept in a file: weights in half precision."""
        exact = ("centre", "spread")
        return {
            name: (value if name in exact else value.half()).cpu().contiguous()
            for name, value in self.state_dict().items()
        }

    def forward(self, x: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
        """The velocity.

        Args:
            x: (n, width) whitened.
            time: (n,) or one number, from 0, noise, to 1, codes.
            conditions: (n, k), ``squashed``.

        Returns:
            (n, width) whitened units per unit of time.
        """
        turns = time.reshape(-1, 1) * torch.arange(1, _WAVES + 1, device=x.device)
        turns = math.pi / 2 * turns.expand(len(x), -1)
        embedded = F.silu(self.embed(torch.cat((conditions, turns.sin(), turns.cos()), 1)))
        x = F.silu(self.first(x, embedded))
        for layer in self.middle:
            x = x + F.silu(layer(x, embedded))
        return cast(Tensor, self.last(x, embedded))

    @torch.no_grad()
    def transported(
        self, x: Tensor, conditions: Tensor, *, back: bool = False, steps: int = STEPS
    ) -> Tensor:
        """Noise (n, width) to codes, whitened, or ``back``.

        By Runge and Kutta's method of the fourth order, in steps of one size: the same numbers
        every time.

        Args:
            x: where it begins.
            conditions: (n, k), ``squashed``.
            back: from codes to noise.
            steps: of the solver.
        """
        times = torch.linspace(1, 0, steps + 1) if back else torch.linspace(0, 1, steps + 1)
        path = odeint(lambda t, y: self(y, t, conditions), x, times.to(x.device), method="rk4")
        return cast(Tensor, path[-1])


def raw_conditions(classifier: LatentClassifier, codes: Tensor) -> Tensor:
    """(n, k + 3) of codes (n, rows, 512): logits, then yaw, pitch and size of yaw in deviations
    from those of W's mean."""
    rows = classifier.coordinates(codes)
    return torch.cat((classifier.of_coordinates(rows), classifier.turns(rows)), 1)


def goal(logit: Tensor, alpha: float) -> Tensor:
    """The logit that an edit asks for: alpha 1 goes from any below 0 to `GOAL`, and goes that far
    from those above; alpha -1 likewise below. Alphas beyond ask for no more."""
    alpha = min(max(alpha, -1.0), 1.0)
    sign = math.copysign(1.0, alpha)
    return logit + alpha * (GOAL - sign * logit).clamp(min=GOAL)


class StyleFlow(Editor):
    """Edits by a flow; each code by itself, its rows together, so that its result is to the last
    bit what it would be alone.

    Args:
        flow: of `raw_conditions`' numbers.
        stats: of W.
        classifier: reads the conditions; the one that the flow was trained with.
        lengths: by attribute, by how much F(z, a') - F(z, a) is multiplied for an alpha of -1 and
            for one of 1; 1 where nothing is said.
        rows: by attribute, how many rows are edited, from the first; `edited_rows` where nothing
            is said.
        shell: holds edited rows where W's samples lie; None holds none.
        steps: of the solver.
    """

    def __init__(
        self,
        flow: ConditionalFlow,
        stats: WStatistics,
        classifier: LatentClassifier,
        lengths: Mapping[str, tuple[float, float]] | None = None,
        rows: Mapping[str, int] | None = None,
        shell: Shell | None = None,
        steps: int = STEPS,
    ) -> None:
        self.flow, self.stats, self.classifier = flow, stats, classifier
        self.names = classifier.names
        self.lengths = dict(lengths or {})
        known = {name: edited_rows(name, classifier.rows) for name in self.names}
        self.rows = known | dict(rows or {})
        self.shell, self.steps = shell, steps

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """See ``Editor.move``; rows that the attribute does not edit stay, and so do codes whose
        strength is 0."""
        return self.move_together(codes, {name: strengths})

    def move_together(self, codes: Codes, strengths: Mapping[str, Floats]) -> Codes:
        """Codes (n, rows, width) with several attributes edited at once, (n,) strengths by name.

        All conditions are read off the code as it came, and the noise is sought once.

        Raises:
            UsageError: unknown attribute.
        """
        wishes = {self.name(name): alphas for name, alphas in strengths.items()}
        edited = np.array(codes, np.float32)
        for number, code in enumerate(codes):
            alphas = {n: float(a[number]) for n, a in wishes.items() if a[number] != 0}
            if alphas:
                edited[number] = self._edited(code, alphas)
        return edited

    def _edited(self, code: Codes, alphas: Mapping[str, float]) -> Codes:
        raw = self._raw(code)
        # One attribute after the other, so that each one's part can be given its own length and
        # rows; where all have the same, the parts add up to the whole.
        order = [name for name in self.names if name in alphas]
        wanted = raw.repeat(len(order), 1)
        for number, name in enumerate(order):
            column = self.names.index(name)
            wanted[number:, column] = goal(raw[column], alphas[name])
        ways = self.ways(code, wanted, max(self.rows[name] for name in order))
        parts = np.diff(ways, axis=0, prepend=np.zeros_like(ways[:1]))
        edited = np.array(code, np.float32)
        for part, name in zip(parts, order, strict=True):
            minus, plus = self.lengths.get(name, (1.0, 1.0))
            times = (plus if alphas[name] > 0 else minus) * max(1.0, abs(alphas[name]))
            edited[: self.rows[name]] += np.float32(times) * part[: self.rows[name]]
        if self.shell is not None:
            edited = self.shell.held(edited[None], code[None])[0]
        return edited

    @torch.no_grad()
    def ways(self, code: Codes, wanted: Tensor, rows: int | None = None) -> Floats:
        """What other conditions make of a code: F(z, a') - F(z, a).

        Args:
            code: (rows, 512).
            wanted: (m, k) other conditions, raw.
            rows: so many, from the first; all, if not said.

        Returns:
            (m, rows, 512) W units.
        """
        rows = len(code) if rows is None else rows
        conditions = self.flow.squashed(torch.cat((self._raw(code)[None], wanted)))
        noise = self._noise(code[:rows], conditions[0])
        count = len(conditions)
        made = self.flow.transported(
            noise.repeat(count, 1), conditions.repeat_interleave(rows, 0), steps=self.steps
        ).reshape(count, rows, -1)
        change = (made[1:] - made[:1]) * self.stats.scale
        return np.asarray((change @ self.stats.axes.T).numpy(), np.float32)

    @torch.no_grad()
    def cycle_error(self, codes: Codes) -> float:
        """Root of the mean square of F(F^-1(w, a), a) - w over all rows of codes (n, rows, 512), in
        whitened units."""
        total = 0.0
        for code in codes:
            conditions = self.flow.squashed(self._raw(code))
            there = self._noise(code, conditions)
            back = self.flow.transported(there, conditions.expand(len(there), -1), steps=self.steps)
            total += float((back - self._whitened(code)).square().mean())
        return math.sqrt(total / max(1, len(codes)))

    @torch.no_grad()
    def _raw(self, code: Codes) -> Tensor:
        return raw_conditions(self.classifier, torch.tensor(code)[None])[0]

    def _noise(self, rows: Codes, conditions: Tensor) -> Tensor:
        rows_ = self._whitened(rows)
        return self.flow.transported(
            rows_, conditions.expand(len(rows_), -1), back=True, steps=self.steps
        )

    def _whitened(self, rows: Codes) -> Tensor:
        # A copy of its own: how a product is rounded may depend on where in memory it begins.
        return self.stats.whiten(torch.tensor(rows))

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write half precision; ``notes`` say how it was made."""
        about = {
            "format": FORMAT,
            "names": self.names,
            "rows": self.rows,
            "lengths": self.lengths,
            "steps": self.steps,
            "flow": [self.flow.width, self.flow.conditions, self.flow.hidden, self.flow.layers],
            "classifier": fingerprint(self.classifier),
            "notes": dict(notes),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as temporary:
            temporary.write_bytes(save(self.flow.rounded(), described(about)))


def fingerprint(classifier: LatentClassifier) -> str:
    """The same for a classifier and what it is after being saved and loaded."""
    digest = hashlib.sha256(json.dumps(classifier.names).encode())
    for name, value in sorted(classifier.state_dict().items()):
        digest.update(name.encode() + value.half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_styleflow(
    path: Path, stats: WStatistics, classifier: LatentClassifier, shell: Shell | None = None
) -> StyleFlow:
    """What `StyleFlow.save` wrote.

    Args:
        path: the flow.
        stats, classifier, shell: of ``StyleFlow``, on the CPU.

    Raises:
        WeightsError: missing, damaged, no such file, or made for another classifier.
    """
    remedy = "Run `videdit weights verify`, or train it anew."
    with readable(path, "the flow", remedy):
        about, tensors = read_described(path)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
        if about["classifier"] != fingerprint(classifier):
            raise ValueError("it was trained with another latent classifier")
        width, conditions, hidden, layers = (int(value) for value in about["flow"])
        if (width, conditions) != (len(stats.mean), len(classifier.names) + POSE):
            raise ValueError(f"it has {conditions} conditions of codes {width} wide")
        if not all(np.isfinite(array).all() for array in tensors.values()):
            raise ValueError("it holds numbers that are not finite")
        flow = ConditionalFlow(width, conditions, hidden, layers)
        flow.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
        lengths = {name: (float(a), float(b)) for name, (a, b) in about["lengths"].items()}
        rows = {name: int(count) for name, count in about["rows"].items()}
        steps = int(about["steps"])
    flow = flow.eval().requires_grad_(False)
    return StyleFlow(flow, stats, classifier, lengths, rows, shell, steps)
