"""Collections and sample sheets, as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain.model.source_json import source_from_json
from galaxy_jobs.entrypoints.client.errors import Usage
from galaxy_jobs.entrypoints.client.sheets import collection, data, jobs, sheet


URL = "https://example.org/1.fq"


def by_address(url: str, ext: str = "fastq") -> dict[str, Any]:
    return {"source": {"src": "url", "url": url, "ext": ext}}


# --- --collection -------------------------------------------------------------------


def test_elements_stand_in_the_order_in_which_they_are_typed() -> None:
    typed = (
        "b/forward=hda:1",
        "a/forward=d1",
        f"b/reverse={URL}?x=y=z",
        "a/reverse=d 2",
    )
    source = collection("list:paired", typed, "fastq")
    assert source == {
        "src": "collection",
        "collection_type": "list:paired",
        "elements": [
            {
                "name": "b",
                "elements": [
                    {"name": "forward", "source": {"src": "hda", "id": "1"}},
                    {"name": "reverse", **by_address(f"{URL}?x=y=z")},
                ],
            },
            {
                "name": "a",
                "elements": [
                    {"name": "forward", "dataset_id": "d1"},
                    {"name": "reverse", "dataset_id": "d 2"},
                ],
            },
        ],
    }
    source_from_json(source)
    assert collection("list", (), None)["elements"] == []


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (["a"], "got 'a'"),
        (["=d1"], "got '=d1'"),
        (["a="], "got 'a='"),
        (["a/=d1"], "got 'a/=d1'"),
        (["/a=d1"], "got '/a=d1'"),
        (["a=d1", "a=d2"], "Element 'a' is given twice"),
        (["a/b=d1", "a=d2"], "Element 'a' is given twice"),
        (
            ["name=d1", "name/b=d2"],
            "'name/b=d2' lies in an element that has data itself",
        ),
        ([f"a={URL}"], "The format of an address is missing"),
        (["a=./1.fq"], "There is no file './1.fq'"),
    ],
)
def test_an_element_that_cannot_be_read_is_quoted(
    typed: list[str], problem: str
) -> None:
    with pytest.raises(Usage, match=problem):
        collection("list", typed, None)


@given(st.lists(st.text(max_size=8).map("x{}".format), min_size=1))
def test_whatever_is_typed_is_read_or_refused(typed: list[str]) -> None:
    with suppress(Usage):
        assert collection("list", typed, "txt")["elements"]


def test_a_file_that_is_here_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert data("reads.fq", None) == {"dataset_id": "reads.fq"}
    (tmp_path / "reads.fq").touch()
    assert data("reads.fq", None) == {"file": Path("reads.fq"), "ext": "fastqsanger"}
    assert data("./reads.fq", "bam")["ext"] == "bam"
    (tmp_path / "reads").touch()
    with pytest.raises(Usage, match="The name of reads does not show its format"):
        data("reads", None)


# --- --sheet ------------------------------------------------------------------------

Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("s.tsv").write_text(text, encoding="utf-8")
        return Path("s.tsv")

    return write


def test_pairs_become_one_dataset_or_one_each(written: Written) -> None:
    path = written(
        f"Name\tforward\treverse\tid\ns1\t{URL}\thda:5\tfirst\n\ns 2\td1\td2\t\n"
    )
    pairs: list[list[dict[str, Any]]] = [
        [
            {"name": "forward", **by_address(URL)},
            {"name": "reverse", "source": {"src": "hda", "id": "5"}},
        ],
        [
            {"name": "forward", "dataset_id": "d1"},
            {"name": "reverse", "dataset_id": "d2"},
        ],
    ]
    plate = {
        "src": "collection",
        "collection_type": "list:paired",
        "elements": [
            {"name": "s1", "elements": pairs[0]},
            {"name": "s 2", "elements": pairs[1]},
        ],
    }
    assert list(sheet(path, "Plate", "fastq")) == [
        ("s.tsv", {"name": "Plate", "source": plate})
    ]
    source_from_json(plate)
    each = [
        {"src": "collection", "collection_type": "paired", "elements": pair}
        for pair in pairs
    ]
    assert list(sheet(path, None, "fastq")) == [
        ("s.tsv, line 2", {"name": "s1", "source": each[0], "dataset_id": "first"}),
        ("s.tsv, line 4", {"name": "s 2", "source": each[1]}),
    ]


def test_single_files_become_a_list_or_one_dataset_each(written: Written) -> None:
    path = written(f'\ufeffurl,name,ext\n{URL},"s,1",bam\nhda:1,s2,\n')
    bodies = [body for _, body in sheet(path, None, "fastq")]
    assert bodies == [
        {"name": "s,1", **by_address(URL, "bam")},
        {"name": "s2", "source": {"src": "hda", "id": "1"}},
    ]
    ((_, whole),) = sheet(path, "Plate", "fastq")
    assert whole["source"]["collection_type"] == "list"
    assert [element["name"] for element in whole["source"]["elements"]] == ["s,1", "s2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "s.tsv, line 1: expected the columns name, .*; got none"),
        ("name\tforward\n", "line 1: expected the columns .*; got name, forward"),
        ("name,url,forward,reverse\n", "line 1: expected the columns"),
        ("name,url,size\n", "line 1: there is no column 'size'; there are: name"),
        ("name,url,name\n", "line 1: a column is there twice"),
        ("name,url\n", "s.tsv has no samples"),
        ("name,url\n,hda:1\n", "line 2: name is empty"),
        ("name,url\na,hda:1\nb\n", "line 3: url is empty"),
        ("name,url\na,hda:1,c\n", "line 2: 3 cells in 2 columns"),
        ("name,url\na,hda:1\n\na,hda:2\n", "line 4: 'a' stands in line 2, too"),
        (
            f"name,url\na,{URL}\n",
            "line 2, column url: The format of an address is missing",
        ),
        (
            "name,url\na,reads/1.fq\n",
            "line 2, column url: There is no file 'reads/1.fq'",
        ),
        ("name,url\na,d1\n", "line 2: its data is a registered dataset already"),
        ('name,url\n"a,hda:1\n', "line 2: unexpected end of data"),
        ('name,url\n"a\nb",hda:1\nc,\n', "line 4: url is empty"),
        ('name,url\n"a\nb",\n', "line 2: url is empty"),
    ],
    ids=repr,
)
def test_what_is_wrong_in_a_sheet_is_named_with_its_line(
    written: Written, text: str, problem: str
) -> None:
    with pytest.raises(Usage, match=problem):
        list(sheet(written(text), None, None))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_cells_keep_their_line_breaks(written: Written, end: str) -> None:
    path = written("")
    rows = ["dataset,note", 'd1,"line1\nline2"', "d2,a\u2028b\x85c\x0cd", ""]
    path.write_bytes(end.join(rows).encode())
    found = [(id_, inputs) for id_, inputs, _ in jobs(path)]
    assert found == [
        ("d1", {"note": ["line1\nline2"]}),
        ("d2", {"note": ["a\u2028b\x85c\x0cd"]}),
    ]


def test_a_sheet_that_cannot_be_read_is_named(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Usage, match=r"s\.tsv could not be read .No such file"):
        list(sheet(Path("s.tsv"), None, None))
    written("name,url\na,hda:1\n").write_bytes(b"name,url\n\xff,hda:1\n")
    with pytest.raises(Usage, match=r"s\.tsv is not UTF-8"):
        list(sheet(Path("s.tsv"), None, None))
    monkeypatch.setattr("galaxy_jobs.entrypoints.client.sheets.SHEET_SIZE", 5)
    with pytest.raises(Usage, match="more than"):
        list(sheet(written("name,url\na,hda:1\n"), None, None))
