"""Inputs for onnxruntime's calibrators, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from onnxruntime.quantization import CalibrationDataReader  # type: ignore[import-untyped]

from modelpress_plugins.onnx_graph.feeds import Feed


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """What onnxruntime calibrates on: inputs are made when it asks for the next. count: how many it got."""

    def __init__(self, feeds: Callable[[], Iterable[Feed]], tell: Callable[[int], None]) -> None:
        self._feeds, self._tell = feeds, tell
        self.count = 0
        self._rows = iter(feeds())

    def get_next(self) -> Feed | None:
        row = next(self._rows, None)
        if row is not None:
            self.count += 1
            self._tell(self.count)
        return row

    def rewind(self) -> None:
        self._rows, self.count = iter(self._feeds()), 0
