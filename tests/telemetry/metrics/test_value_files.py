"""The files of values are read, merged and written as prometheus_client does it, and sums are exact."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from fractions import Fraction
from math import fsum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from fraiseql_guard.telemetry.metrics import value_files
from fraiseql_guard.telemetry.metrics.value_files import DamagedFileError, Values

COUNTS = st.integers(0, 2**40).map(float)
BOUNDS = ("0.1", "1.0", "10.0", "+Inf")
NAMES = st.sampled_from(["a", "a_total", "öl-€", 'with "quotes"\n', ""])
KINDS = st.sampled_from(
    "counter summary gauge_all gauge_liveall gauge_min gauge_livemin gauge_max gauge_livemax gauge_sum gauge_livesum "
    "gauge_mostrecent gauge_livemostrecent".split()
)


def written(folder: Path, name: str, rows: list[tuple[str, float, float]]) -> Path:
    """A file by prometheus_client itself."""
    path = folder / name
    values = MmapedDict(str(path))
    for key, value, time in rows:
        values.write_value(key, value, time)
    values.close()
    return path


def ours(paths: list[Path]) -> list:
    known: dict = {}
    return value_files.families({path: value_files.read(path, known) for path in paths}, known)


def samples(families) -> dict:
    return {
        (family.name, family.type, sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@given(
    files=st.lists(
        st.tuples(KINDS, st.lists(st.tuples(NAMES, COUNTS, st.integers(0, 5).map(float)), max_size=6)), max_size=5
    )
)
def test_values_are_merged_as_prometheus_client_does(files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            written(
                Path(folder),
                f"{kind}_{pid}.db",
                [(mmap_key(f"x_{kind}", f"x_{kind}", ["label"], [text], "Help."), v, t) for text, v, t in rows],
            )
            for pid, (kind, rows) in enumerate(files)
        ]
        assert samples(ours(paths)) == samples(MultiProcessCollector.merge(map(str, paths)))


@given(files=st.lists(st.lists(st.tuples(st.sampled_from(BOUNDS), COUNTS), max_size=8), max_size=4))
def test_histograms_too(files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for pid, rows in enumerate(files):
            keys = [(mmap_key("x", "x_bucket", ["le"], [bound], "H"), value, 0.0) for bound, value in rows]
            keys.append((mmap_key("x", "x_sum", [], [], "H"), float(pid), 0.0))
            paths.append(written(Path(folder), f"histogram_{pid}.db", keys))
        assert samples(ours(paths)) == samples(MultiProcessCollector.merge(map(str, paths)))


@given(rows=st.lists(st.tuples(NAMES, st.floats(allow_nan=False), st.floats(0, 1e9)), unique_by=lambda row: row[0]))
def test_what_is_packed_is_read_by_both(rows) -> None:
    entries = [(mmap_key("x", "x", ["l"], [text], "H").encode(), (value, time)) for text, value, time in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "counter_1.db")
        path.write_bytes(value_files.packed(entries, b"more"))
        assert value_files.read(path, {}) == entries
        assert value_files.trailer(path) == b"more"
        theirs = [(key.encode(), (value, time)) for key, value, time, _ in MmapedDict.read_all_values_from_file(path)]
        assert theirs == entries


@given(values=st.lists(st.floats(-1e200, 1e200), min_size=1))
def test_parts_are_exact(values) -> None:
    parts = value_files.exact_parts(values)
    assert sum(map(Fraction, parts)) == sum(map(Fraction, values))


@given(
    dead=st.lists(st.floats(0, 1e12), min_size=2, max_size=8),
    alive=st.lists(st.floats(0, 1e12), max_size=4),
    split=st.integers(0, 8),
)
def test_a_sum_is_the_same_to_its_last_digit_before_and_after_folding(dead, alive, split) -> None:
    key = mmap_key("x", "x_sum", [], [], "H").encode()
    total: list = []
    for part in (dead[:split], dead[split:]):
        values = Values("summary")
        values.add([*total, *[(key, (value, 0.0)) for value in part]])
        total = values.condensed()
    assert fsum([value for _, (value, _) in total] + alive) == fsum(dead + alive)


@given(data=st.binary(max_size=200), begin=st.integers(-5, 300))
def test_rubbish_is_damage_and_nothing_else(data, begin) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "counter_1.db")
        path.write_bytes(begin.to_bytes(4, "little", signed=True) + bytes(4) + data)
        with suppress(DamagedFileError):
            value_files.read(path, {})
        value_files.trailer(path)


@pytest.mark.parametrize(
    "key", [b"[]", b"{}", b'["a","b",{"le":"x"},"h"]', b'["a","b",{"l":1},"h"]', b'["","b",{},""]']
)
def test_a_key_that_says_nothing_is_damage(tmp_path, key) -> None:
    path = tmp_path / "histogram_1.db"
    path.write_bytes(value_files.packed([(key, (1.0, 0.0))]))
    with pytest.raises(DamagedFileError):
        value_files.read(path, {})
