"""Tensors as Treescope's arrays: https://treescope.readthedocs.io."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def tensor_adapter() -> Any:
    """The adapter by which Treescope reads Tensors. It is made when Treescope asks, as few users have it."""
    from treescope.external.numpy_support import NumpyArrayAdapter

    class TensorAdapter(NumpyArrayAdapter):  # type: ignore[misc]  # Treescope has no stubs
        """Treescope's adapter of NumPy arrays, for values from any device."""

        def get_axis_info_for_array_data(self, array: Any) -> Any:
            return super().get_axis_info_for_array_data(_host(array))

        def get_array_data_with_truncation(self, array: Any, mask: Any, edge_items_per_axis: Any) -> Any:
            return super().get_array_data_with_truncation(_host(array), _host(mask), edge_items_per_axis)

        def get_array_summary(self, array: Any, fast: bool) -> Any:
            return super().get_array_summary(_host(array), fast)

        def get_numpy_dtype(self, array: Any) -> Any:
            return _host(array).dtype

    return TensorAdapter()


def _host(x: Any) -> Any:
    """The values of a Tensor as a NumPy array; a mask may be one, or be missing."""
    return x.device.backend.to_host(x.data) if hasattr(x, "node") else x
