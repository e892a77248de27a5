"""What the names of files show."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.entrypoints.file_names import (
    LONGEST,
    element_name,
    format_of,
    pairs_of,
)


PAIRS = [
    (["s1_R1.fastq.gz", "s1_R2.fastq.gz"], [("s1", 0, 1)], []),
    (["s1_2.fq", "s1_1.fq"], [("s1", 1, 0)], []),
    (["s1.R1.fq", "s1.R2.fq"], [("s1", 0, 1)], []),
    (["s1-r1.fq", "s1-r2.fq"], [("s1", 0, 1)], []),
    (["a_S1_L001_R1_001.fq", "a_S1_L001_R2_001.fq"], [("a_S1_L001", 0, 1)], []),
    # The last number counts, and an R more than a bare one.
    (["s_1_1.fq", "s_1_2.fq", "s_2_1.fq"], [("s_1", 0, 1)], [2]),
    (["s_1_R1.fq", "s_1_R2.fq", "s_2_R2.fq"], [("s_1", 0, 1)], [2]),
    (["s_R1_trimmed.fq", "s_R2_trimmed.fq"], [("s", 0, 1)], []),
    # Pairs differ in nothing else.
    (["s_R1.fq", "s_R2.fq.gz"], [], [0, 1]),
    (["s_R1.fq", "s_2.fq"], [], [0, 1]),
    (["s_R1.fq", "S_R2.fq"], [], [0, 1]),
    (["s_R1.fq", "s_R2.fq", "s_R2.fq"], [("s", 0, 1)], [2]),
    (
        ["s_R1_001.fq", "s_R2_001.fq", "s_R1_002.fq", "s_R2_002.fq"],
        [("s_001", 0, 1), ("s_002", 2, 3)],
        [],
    ),
    (
        ["s_R1.a.fq", "s_R2.a.fq", "s_R1.b.fq.gz", "s_R2.b.fq.gz"],
        [("s.a", 0, 1), ("s.b", 2, 3)],
        [],
    ),
    (["notes.txt", "s_3.fq", "_1.fq", "1.fq", "", "s_12.fq", "s\n_1.fq"], [], range(7)),
    (["ä b_1.fq", "x.bam", "ä b_2.fq"], [("ä b", 0, 2)], [1]),
    (["s_1", "s_2"], [("s", 0, 1)], []),
]
"""Names, the pairs of them, and the places of the others."""


@pytest.mark.parametrize(("names", "pairs", "others"), PAIRS, ids=str)
def test_pairs_differ_in_one_number(
    names: list[str], pairs: list[tuple[str, int, int]], others: list[int]
) -> None:
    found, rest = pairs_of(names)
    assert [(pair.name, pair.forward, pair.reverse) for pair in found] == pairs
    assert list(rest) == list(others)


NAMES = st.lists(st.text("ab12R_.-", max_size=8) | st.text(max_size=5), max_size=12)


@given(NAMES)
def test_each_file_is_in_one_place(names: list[str]) -> None:
    pairs, others = pairs_of(names)
    places = [place for pair in pairs for place in (pair.forward, pair.reverse)]
    assert sorted([*places, *others]) == list(range(len(names)))
    for pair in pairs:
        forward, reverse = names[pair.forward], names[pair.reverse]
        differing = [*zip(forward, reverse, strict=True)]
        assert [two for two in differing if two[0] != two[1]] == [("1", "2")]
        assert pair.name


@pytest.mark.parametrize(
    ("name", "ext"),
    [
        ("a.fastq", "fastqsanger"),
        ("a.b.FQ.GZ", "fastqsanger.gz"),
        ("a.vcf.gz", "vcf_bgzip"),
        ("a.tsv", "tabular"),
        ("a.tsv.gz", None),
        ("a.gz", None),
        ("fastq", None),
        ("", None),
        ("a.", None),
    ],
)
def test_the_format_is_that_of_the_end(name: str, ext: str | None) -> None:
    assert format_of(name) == ext


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("a.fastq.gz", "a"),
        ("ctrl.rep1.FASTQ.gz", "ctrl.rep1"),
        ("a.b.bam", "a.b"),
        ("a.b.unknown", "a.b"),
        ("a.tsv.gz", "a.tsv"),
        ("a.", "a"),
        ("a", "a"),
        (".hidden", ".hidden"),
        (".fq", ".fq"),
        ("", ""),
    ],
)
def test_an_element_is_called_without_its_format(name: str, element: str) -> None:
    assert element_name(name) == element


@pytest.mark.parametrize(
    "sample",
    ["s" * (LONGEST - 5), "s\n", "s\u2028", "s\udcff"],
    ids=["long", "line break", "separator", "no UTF-8"],
)
def test_names_that_no_upload_has_are_no_pair(sample: str) -> None:
    names = [f"{sample}_R1.fq", f"{sample}_R2.fq"]
    assert pairs_of(names) == ([], [0, 1])


def test_names_of_255_characters_can_be_a_pair() -> None:
    sample = "s" * (LONGEST - 6)
    names = [f"{sample}_R1.fq", f"{sample}_R2.fq"]
    assert {*map(len, names)} == {255}
    [pair], _ = pairs_of(names)
    assert pair.name == sample


@pytest.mark.parametrize(
    "names",
    [
        ["a" + "_R1" * 20_000 + "\n"],
        ["a" + "_R1" * 350_000],
        ["a" + ".1" * 30_000 + "\n"],
        ["a" + "_R1" * 84 + "x"] * 4000,
        ["a" + "_R1" * 84 + "\n"] * 4000,
        ["a" + "_R1" * 84 + "\u00a0"] * 4000,
        ["." * 2**20],
    ],
    ids=["lines", "long", "bare", "many", "many lines", "many blanks", "periods"],
)
def test_names_of_a_megabyte_take_no_time(names: list[str]) -> None:
    begun = time.process_time()
    pairs_of(names)
    for name in names:
        format_of(name)
        element_name(name)
    assert time.process_time() - begun < 1
