"""What the names of files show: the format of each, and which two are a pair of reads.

Rule of the file: all of it is a proposal, which a person can correct.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import frozen


FORMATS: Mapping[str, str] = {
    **{
        ext: ext
        for ext in (
            *("bam", "bcf", "bed", "bigwig", "cram", "csv", "gff", "gff3", "gtf"),
            *("h5ad", "html", "json", "mzml", "pdb", "pdf", "png", "sam", "tabular"),
            *("tiff", "txt", "vcf", "zip"),
        )
    },
    **dict.fromkeys(("fa", "fasta", "fna"), "fasta"),
    **dict.fromkeys(("fa.gz", "fasta.gz", "fna.gz"), "fasta.gz"),
    **dict.fromkeys(("fastq", "fq"), "fastqsanger"),
    **dict.fromkeys(("fastq.gz", "fq.gz"), "fastqsanger.gz"),
    **dict.fromkeys(("fastq.bz2", "fq.bz2"), "fastqsanger.bz2"),
    "bw": "bigwig",
    "nwk": "newick",
    "tab": "tabular",
    "tif": "tiff",
    "tsv": "tabular",
    "vcf.gz": "vcf_bgzip",
}
"""Galaxy's names of formats, by the ends of the names of files."""

LONGEST = 255
"""Characters of the longest name that can be one of a pair, as in file systems."""

# An R decides before a bare digit, and of several the last one: S_1_L002_R2_001.fastq.
_AFTER_R = re.compile(
    r"(?P<stem>(?P<sample>.+)[._-]R)(?P<read>[12])(?P<rest>(?:[._-].*)?)", re.IGNORECASE
)
_BARE = re.compile(r"(?P<stem>(?P<sample>.+)[._-])(?P<read>[12])(?P<rest>(?:\..*)?)")


@frozen
class Pair:
    """Two files with the reads of a sample.

    Attributes:
        name: That of the sample.
        forward: The place of the file with the forward reads, counting from 0.
        reverse: The place of the other one.
    """

    name: str
    forward: int
    reverse: int


def format_of(name: str) -> str | None:
    """Return Galaxy's name of the format of a file; None: its name does not show it."""
    ending = _ending(name)
    return None if ending is None else FORMATS[ending]


def element_name(name: str) -> str:
    """Return the name of a file as the element of a list: without its format.

    Where the name shows none, what follows its last period is left out.
    """
    return _without_format(name) or name


def _ending(name: str) -> str | None:
    """Return the end of a name that shows a format, in lower case."""
    parts = name.lower().split(".")[1:]
    ends = (".".join(parts[-count:]) for count in (2, 1) if len(parts) >= count)
    return next((end for end in ends if end in FORMATS), None)


def _without_format(name: str) -> str:
    ending = _ending(name)
    if ending is None:
        return name.rpartition(".")[0] if "." in name else name
    return name[: -len(ending) - 1]


def pairs_of(names: Sequence[str]) -> tuple[Sequence[Pair], Sequence[int]]:
    """Return which files are pairs, and the places of the others.

    The names of a pair differ in one number alone, which is ``_R1`` and ``_R2``, or
    ``_1`` and ``_2`` at the end, before the format; a period or a hyphen does as well.
    A name that is too long, or not printable, has no mate.
    Pairs are in the order of their first files. Where several would have the same
    name, what follows the number is in it, too, but for the format: ``S1_001``.

    Args:
        names: Of the files.
    """
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for place, name in enumerate(names):
        # A megabyte of _R1 and a line break would take the patterns minutes.
        if len(name) > LONGEST or not name.isprintable():
            continue
        if match := _AFTER_R.fullmatch(name) or _BARE.fullmatch(name):
            key = match.group("stem", "sample", "rest")
            found.setdefault(key, {}).setdefault(match["read"], place)
    whole = {key: reads for key, reads in found.items() if len(reads) > 1}
    count = Counter(sample for _, sample, _ in whole)
    pairs = [
        Pair(
            sample + (_without_format(rest) if count[sample] > 1 else ""),
            forward=reads["1"],
            reverse=reads["2"],
        )
        for (_, sample, rest), reads in whole.items()
    ]
    paired = {place for pair in pairs for place in (pair.forward, pair.reverse)}
    return pairs, [place for place in range(len(names)) if place not in paired]
