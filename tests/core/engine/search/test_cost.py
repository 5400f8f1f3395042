"""What a search costs beside passes and metrics."""

from __future__ import annotations

import time

import modelpress

LENGTH = {"type": "length", "sub_types": [{"name": "length", "priority": 1}]}
_MOST = 0.1
"""Seconds of this process for a candidate beside its passes and metrics."""
_AGAIN = 10 / 500
"""Seconds for one that was done in an earlier run."""


def test_candidates_whose_work_is_done_cost_little(searched) -> None:
    """Of alternatives that are the same, the first does the work."""
    alike = [{"type": "Grow", "text": "n"}] * 10
    file = searched.write({"first": alike, "second": alike}, LENGTH)
    began = time.process_time()
    modelpress.validate(file)
    loading = time.process_time() - began
    began = time.process_time()
    result = modelpress.run(file, in_process=True)
    each = (time.process_time() - began - loading) / 100
    assert len(result.run_record["search"]["candidates"]) == 100
    assert searched.count("begin grow") == 2
    assert each < _MOST, f"{1000 * each:.1f} ms"
    began = time.process_time()
    modelpress.run(file, in_process=True)
    assert time.process_time() - began - loading < 100 * _AGAIN, "nothing is done again"
    assert searched.count("begin grow") == 2
