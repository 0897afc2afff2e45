"""Slices are told apart by what holds for all of a series; what cannot be told apart stays together."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from monai_ssl.io.dicom.marks import DIMENSIONS, Slice
from monai_ssl.io.dicom.volumes import split

TEMPORAL, ACQUISITION = (DIMENSIONS.index(tag) for tag in ("TemporalPositionIdentifier", "AcquisitionNumber"))


def a_slice(height, truth, number=None, clock="", thickness=2.0, folder="", across=0.0, **marks):
    """A slice whose file names the volume to which it belongs."""
    values = [""] * len(DIMENSIONS)
    for name, value in marks.items():
        values[DIMENSIONS.index(name)] = str(value)
    path = Path(f"{truth}/{height}-{number}-{clock}-{folder}-{across}")
    return Slice(
        key=path,
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        position=(across, 0.0, height),
        spacing=(1.0, 1.0),
        thickness=thickness,
        image=str(path),
        number=number,
        marks=tuple(values),
        moments=("", clock, "", "", ""),
        folder=folder,
    )


def sizes(parts):
    """How many slices each volume has; none may hold slices of two."""
    assert all(len({item.key.parent for item in part.slices}) == 1 for part in parts)
    return [len(part.slices) for part in parts if part.problem is None]


@given(
    st.integers(2, 5), st.integers(1, 7), st.booleans(), st.sampled_from(["number", "clock", "tag"]), st.integers(0, 99)
)
def test_times_in_any_order_of_files(times, size, by_place, told_by, seed):
    places = [(t, z) for t in range(times) for z in range(size)]
    if by_place:
        places.sort(key=lambda place: place[::-1])
    slices = []
    for n, (t, z) in enumerate(places, 1):
        told = {"number": {"number": n}, "clock": {"clock": f"20260101{100000 + n}"}}
        # every slice has its own time, as scanners write it
        more = {"TemporalPositionIdentifier": t + 1, "TriggerTime": 7 * n, "clock": f"{100000 + n}"}
        slices.append(a_slice(3.0 * z, t, **told.get(told_by, more)))
    Random(seed).shuffle(slices)
    assert sizes(split(slices)) == [size] * times


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(2, 6), st.integers(0, 99))
def test_echoes_times_and_repeats_multiply(echoes, times, repeats, size, seed):
    # the first echo is measured twice as often
    slices = [
        a_slice(2.5 * z, (e, t, r), EchoTime=4.5 * (e + 1), TemporalPositionIdentifier=t + 1, AcquisitionNumber=r + 1)
        for e in range(echoes)
        for t in range(times)
        for r in range(repeats * (2 if e == 0 else 1))
        for z in range(size)
    ]
    Random(seed).shuffle(slices)
    assert sizes(split(slices)) == [size] * (len(slices) // size)


def test_a_scan_that_was_broken_off_loses_its_rest_only():
    for told in ({"TemporalPositionIdentifier": 1}, {"AcquisitionNumber": 1}, {}):
        slices = [
            a_slice(3.0 * z, t, number=6 * t + z + 1, **dict.fromkeys(told, t))
            for t in range(4)
            for z in range(6 if t < 3 else 4)
        ]
        parts = split(slices)
        assert sizes(parts) == [6, 6, 6]
        assert [part.problem for part in parts if part.problem] == [
            "an incomplete volume: 4 of 6 slices; restore its files"
        ]


@pytest.mark.parametrize("lost", [0, 7, 8, 17])
def test_a_lost_file_costs_its_volume_only(lost):
    for tags in (True, False):
        slices = [
            a_slice(3.0 * z, t, number=6 * t + z + 1, **({"TemporalPositionIdentifier": t + 1} if tags else {}))
            for t in range(3)
            for z in range(6)
        ]
        del slices[lost]
        found = sizes(split(slices))
        # the reader refuses a volume with a gap, or fills it
        assert found.count(6) == 2 and sum(found) in (12, 17)


def test_numbers_that_repeat_irregularly_are_not_believed():
    order = [3, 1, 2, 0, 5, 4, 0, 4, 1, 2, 3, 5]
    slices = [a_slice(3.0 * z, "?", number=[1, 7, 2, 9, 3, 8, 4, 10, 5, 12, 6, 11][n]) for n, z in enumerate(order)]
    assert len(split(slices)) == 1
    same = [a_slice(3.0 * z, "?", number=z + 1, folder="a", across=0.0) for z in (0, 1, 2, 3, 2)]
    assert len(split(same)) == 1


@pytest.mark.parametrize("told", ["TemporalPositionIdentifier", "AcquisitionNumber", "number", "anew", "EchoTime"])
def test_passes_between_each_others_slices(told):
    def series(thickness):
        return [
            a_slice(
                3.0 * z + 1.5 * p,
                p,
                number=z + 1 if told == "anew" else 6 * p + z + 1,
                thickness=thickness,
                **({} if told in ("number", "anew") else {told: p}),
            )
            for p in range(2)
            for z in range(6)
        ]

    assert sizes(split(series(2.0))) == [6, 6]
    # slices that do not overlap were measured in turn, as one volume
    assert len(split(series(1.5))) == 1


def test_what_alternates_but_makes_no_stacks_is_one_volume():
    # two slices are no stack of which one could know that they are evenly spaced
    pairs = [a_slice(1.5 * z, 0, thickness=2.0, AcquisitionNumber=z % 2 + 1) for z in range(4)]
    assert sizes(split(pairs)) == [4]
    # in turn, but neither pass evenly spaced
    heights = [0.0, 1.5, 3.0, 4.5, 7.0, 8.5, 10.0, 11.5]
    uneven = [a_slice(h, 0, thickness=4.0, AcquisitionNumber=n % 2 + 1) for n, h in enumerate(heights)]
    assert len(split(uneven)) == 1


@given(
    st.lists(st.tuples(st.integers(0, 27), st.integers(3, 30)), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from(["AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime"]),
    st.integers(0, 99),
)
@example([(5, 15), (10, 15)], 0.4, "AcquisitionNumber", 0)
@example([(0, 6), (12, 7)], 0.0, "AcquisitionNumber", 0)
@example([(0, 7), (7, 23)], 0.0, "EchoTime", 0)
@example([(7, 23), (0, 7)], 0.0, "TemporalPositionIdentifier", 0)
def test_phases_of_other_extent_and_between_slices(parts, offset, told, seed):
    """What a tag tells apart is believed where each is a regular stack and one reaches as far as all others do."""
    phases = [*(range(start, min(30, start + size)) for start, size in parts), range(30)]
    assume(all(len(heights) > 2 for heights in phases))
    # acquisitions that share no place and leave none out are turns of one, as below
    assume(told != "AcquisitionNumber" or offset or not tile(phases[:-1]))
    slices = [
        a_slice(1.25 * z + offset * p, p, number=n, clock=f"{1000 + 100 * p + z}", **{told: p + 1})
        for p, heights in enumerate(phases)
        for n, z in enumerate(heights)
    ]
    Random(seed).shuffle(slices)
    assert sorted(sizes(split(slices))) == sorted(map(len, phases))


def tile(phases):
    """Whether some of the stacks fill the places of the longest without sharing one."""
    filled = {()}
    for heights in phases:
        filled |= {(*places, *heights) for places in filled if not {*places} & {*heights}}
    return tuple(range(30)) in {tuple(sorted(places)) for places in filled}


@pytest.mark.parametrize(
    "tag",
    [
        *("ComplexImageComponent", "EchoNumbers", "EchoTime", "EffectiveEchoTime", "StackID"),
        *("TemporalPositionIdentifier", "TemporalPositionIndex", "DiffusionBValue", "KVP", "ConvolutionKernel"),
    ],
)
def test_what_differs_in_kind_is_not_put_together_though_it_fills_one_extent(tag):
    def sized(values):
        heights = (range(7), range(7, 30), range(30))
        stacks = enumerate(zip(values, heights, strict=True))
        return [
            a_slice(1.0 * z, t, clock=f"{1000 + 100 * t + z}", **{name: value})
            for t, ((name, value), stack) in stacks
            for z in stack
        ]

    assert sorted(sizes(split(sized([(tag, 1), (tag, 2), (tag, 3)])))) == [7, 23, 30]
    # turns of one acquisition are one volume, and so is what lacks the tag in a part of the files
    for values in ([("AcquisitionNumber", n) for n in range(3)], [(tag, 1), (tag, ""), (tag, 3)]):
        assert [len(part.slices) for part in split(sized(values))] == [30, 30]


def test_turns_of_a_scanner_and_bands_measured_at_once_are_no_volumes():
    turns = [
        a_slice(1.0 * z, t, number=40 * t + z + 1, AcquisitionNumber=10 * t + z // 4, clock=f"{1000 + 10 * t + z // 4}")
        for t in range(2)
        for z in range(40)
    ]
    assert sizes(split(turns)) == [40, 40]
    bands = [a_slice(3.0 * z, 0, number=z + 1, clock=f"{100 + z % 4}", TriggerTime=z % 4) for z in range(12)]
    assert sizes(split(bands)) == [12]
    assert sizes(split(bands[:5] + bands[6:])) == [11]


def test_copies_stay_with_their_image_and_rounding_does_not_part():
    slices = [
        a_slice(3.0 * z + 1e-4 * t, t, number=6 * t + z + 1, across=12.345 + 1e-5 * t, EchoTime=t)
        for t in range(2)
        for z in range(6)
    ]
    assert sizes(split(slices + slices[2:5])) == [9, 6]
    folders = [a_slice(3.0 * z, f, number=z + 1, folder=f) for f in "ab" for z in range(6)]
    assert sizes(split(folders)) == [6, 6]


def test_slices_that_lie_nowhere_stay_together():
    for position in ((), (0.0, float("nan"), 0.0)):
        slices = [a_slice(0.0, 0, number=n) for n in range(3)]
        lost = [replace(item, position=position) for item in slices]
        assert len(split(lost)) == 1
