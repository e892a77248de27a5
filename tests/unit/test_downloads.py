"""The names of files that are downloaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain.model.download import (
    FILE_NAME_LENGTH,
    OutputFile,
    file_name,
    zip_names,
)
from galaxy_jobs.entrypoints.api.downloads import content_disposition


@pytest.mark.parametrize(
    ("name", "extension", "expected"),
    [
        ("sorted", "txt", "sorted.txt"),
        ("sorted.TXT", "txt", "sorted.TXT"),
        ("reads", "fastqsanger.gz", "reads.fastqsanger.gz"),
        ("a/b", None, "a_b"),
        ("../../etc/passwd", None, "_.._etc_passwd"),
        (".bashrc", None, "bashrc"),
        ("line\nbreak\r\n", "txt", "line_break.txt"),
        ("\u202egpj.exe", "txt", "gpj.exe.txt"),
        ("...", None, "_"),
        ("", "txt", "_.txt"),
        ("ä ö", "txt", "ä_ö.txt"),
        ("a", "x/y", "a.x_y"),
        ("x" * 300, "txt", "x" * 196 + ".txt"),
        ("ä" * 300, "txt", "ä" * 98 + ".txt"),
    ],
)
def test_any_text_becomes_the_name_of_a_file(
    name: str, extension: str | None, expected: str
) -> None:
    assert file_name(name, extension) == expected


TEXTS = st.text(max_size=300)


@given(TEXTS, st.none() | st.text(max_size=100))
def test_no_name_leads_out_of_its_folder(name: str, extension: str | None) -> None:
    given_name = file_name(name, extension)
    assert 0 < len(given_name.encode(errors="replace")) <= 2 * FILE_NAME_LENGTH
    assert not set(given_name) & set('/\\:*?"<>|\0\r\n')
    assert not given_name.startswith(".")
    header = content_disposition(given_name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@given(st.lists(st.lists(st.sampled_from("aAbß/."), min_size=1, max_size=3)))
def test_no_two_files_of_a_zip_have_one_path(paths: list[list[str]]) -> None:
    files = [OutputFile(dataset_id="d", path=tuple(path)) for path in paths]
    names = zip_names(files)
    lower = [name.lower() for name in names]
    assert len(set(lower)) == len(names)
    for name in lower:
        assert not any(other.startswith(f"{name}/") for other in lower)
