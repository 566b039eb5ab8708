"""Embeddings of any kind and place, read a tile at a time: tensors, arrays, files mapped into memory."""

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic.retrieval.measures import bad_rows

_ROWS_SCANNED = 16384
# Beyond it float32 products overflow; the geometry itself ends near 1e17, at radius 40.
_LONGEST = 1e30
# Beyond it the sum of squares leaves float32.
_SQUARED_SAFELY = 1e18


class EmbeddingRows:
    """Rows of a matrix of embeddings that are moved to a device when asked for.

    Positions count the rows that compete, in increasing order of their number in the matrix.

    Args:
        name: of the matrix in error messages.
        matrix: (N, D) floating-point tensor on any device, or numpy array.
        device: where rows are wanted.
        rows: (m,) integers, the rows that compete in any order; None for all.

    Raises:
        ValueError: the matrix is not of floating-point numbers; `rows` are not integers, out of range or repeated.
    """

    def __init__(
        self, name: str, matrix: Tensor | np.ndarray, device: torch.device, rows: Tensor | np.ndarray | None = None
    ) -> None:
        self.name = name
        self.matrix = matrix
        self.device = device
        floating = (
            matrix.is_floating_point() if isinstance(matrix, Tensor) else np.issubdtype(matrix.dtype, np.floating)
        )
        if not floating:
            raise ValueError(f"{name} holds {matrix.dtype}: embeddings are floating-point numbers")
        self.rows = None if rows is None else _sorted_rows(rows, len(matrix), name)

    def __len__(self) -> int:
        return len(self.matrix) if self.rows is None else len(self.rows)

    def tile(self, start: int, stop: int, precision: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Positions `start` to `stop`, as far as they exist: (T, D) rows in their own dtype and their lengths,
        float64 numbers as exact as `precision`: float32 costs a sixth of the time.

        Raises:
            ValueError: a row of it holds NaN or infinity or is longer than 1e30; the message counts and names those of
                the whole matrix.
        """
        if self.rows is not None:
            return self.checked(self._take(self.rows[start:stop]), precision)
        part = self.matrix[start:stop]
        if isinstance(part, np.ndarray):
            part = _tensor(part)
        return self.checked(part.detach().to(self.device), precision)

    def take(self, positions: Tensor) -> Tensor:
        """(n,) positions -> (n, D) rows in their own dtype."""
        return self._take(positions if self.rows is None else self.rows[positions.cpu()])

    def numbers(self, positions: Tensor) -> Tensor:
        """Positions -> row numbers of the matrix."""
        return positions if self.rows is None else self.rows.to(positions.device)[positions]

    def _take(self, rows: Tensor) -> Tensor:
        if isinstance(self.matrix, np.ndarray):
            return _tensor(self.matrix[rows.cpu().numpy()]).to(self.device)
        return self.matrix.detach()[rows.to(self.matrix.device)].to(self.device)

    def checked(self, part: Tensor, precision: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """(n, D) rows of this matrix with their lengths, as exact as `precision`; the same error as `tile`."""
        # the lengths are needed anyway, and one is finite only where its row is: no pass of its own
        norms = torch.linalg.vector_norm(part, dim=1, dtype=torch.promote_types(part.dtype, precision)).double()
        if not bool((norms <= _SQUARED_SAFELY).all()):
            norms = torch.linalg.vector_norm(part, dim=1, dtype=torch.float64)
        if not bool((norms <= _LONGEST).all()):
            raise self._named()
        return part, norms

    def _named(self) -> ValueError:
        infinite: list[int] = []
        long: list[int] = []
        for start in range(0, len(self), _ROWS_SCANNED):
            positions = torch.arange(start, min(start + _ROWS_SCANNED, len(self)))
            part = self.take(positions)
            finite = part.isfinite().all(dim=1).cpu()
            infinite += self.numbers(positions[~finite]).tolist()
            short = (torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) <= _LONGEST).cpu()
            long += self.numbers(positions[finite & ~short]).tolist()
        if infinite:
            return bad_rows(self.name, infinite, len(self))
        return bad_rows(self.name, long, len(self), f"vectors longer than {_LONGEST:.0e}")


def _tensor(part: np.ndarray) -> Tensor:
    """A copy: torch warns of arrays that cannot be written, and a mapped file is read here and not later."""
    return torch.from_numpy(np.array(part, dtype=part.dtype.newbyteorder("=")))


def _sorted_rows(rows: Tensor | np.ndarray, length: int, name: str) -> Tensor:
    chosen = torch.as_tensor(rows).cpu()
    if chosen.ndim == 1 and not len(chosen):
        return chosen.long()  # an empty list comes without a dtype of its own
    if chosen.ndim != 1 or chosen.dtype == torch.bool or chosen.is_floating_point():
        raise ValueError(f"rows are {chosen.dtype} of shape {tuple(chosen.shape)}: give a list of row numbers")
    chosen = chosen.long()
    outside = chosen[(chosen < 0) | (chosen >= length)]
    if len(outside):
        raise ValueError(f"rows name row {int(outside[0])}, and the {name} has {length} rows")
    chosen = chosen.sort().values
    twice = chosen[1:][chosen[1:] == chosen[:-1]]
    if len(twice):
        raise ValueError(f"rows name row {int(twice[0])} of the {name} more than once")
    return chosen
