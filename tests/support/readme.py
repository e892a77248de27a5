"""README's sessions, typed again: commands are run, and what came is compared.

A ``console`` block holds lines that begin with ``$``, each followed by what it
printed. What cannot be the same twice is taken for what it is: ids, times and
ports stand for those of this run, ``…`` stands for anything, how much white space
there is between two words does not matter, nor does through which counts of jobs a
run came to its end. At ``^C``, a command is interrupted.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGINT

from attrs import define, field, frozen


README = Path(__file__).parents[2] / "README.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ID = r"[0-9a-f]{16,32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = (
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?"  # a date and a time
    r"|\d+(?:\.\d+)? ?(?:ms|s|min|h|d)(?: ago)?\b|just now|\d\d:\d\d(?::\d\d)?"
)
_ON_THE_WAY = re.compile(r"^\d\d:\d\d:\d\d  (?:queued|in_progress) .*\n", re.MULTILINE)
_VARIES = re.compile(
    rf"(?P<id>\b(?:{_ID})\b)|(?P<time>{_TIME})|(?P<any>…)|(?P<gap>\s+)"
)


@frozen
class Block:
    """One block of code.

    Attributes:
        language: What stands behind its first fence.
        text: What is in it.
        section: The heading above it.
    """

    language: str
    text: str
    section: str

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a ``console`` block with what it printed."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            while command.endswith("\\"):
                more, _, printed = printed.partition("\n")
                command = f"{command}\n{more}"
            yield command, printed


def blocks(path: Path = README) -> list[Block]:
    """Return the blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    result = []
    for match in _BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)
        result.append(Block(match[1], match[2], headings[-1]))
    return result


@define
class Session:
    """Types what a document says, and knows what stands for what by now.

    Attributes:
        env: What the commands find in their environment.
        folder: Where they run.
        known: What the document says, and what this run has in its place.
    """

    env: Mapping[str, str]
    folder: Path
    known: dict[str, str] = field(factory=dict)

    def type(self, block: Block) -> None:
        """Run the commands of a block; each must print what is shown.

        Raises:
            AssertionError: One prints something else.
        """
        for command, shown in block.commands():
            before, ctrl_c, after = shown.partition("^C\n")
            lines = before.count("\n") if ctrl_c else None
            printed = self.run(command, lines)
            self.compare(before + after, printed, command)

    def run(self, command: str, lines: int | None = None) -> str:
        """Run one command, with this run's ids in it; return what it printed.

        Args:
            command: The command.
            lines: The number of lines after which it is interrupted; None: it is not.
        """
        for shown_id, real in self.known.items():
            command = command.replace(shown_id, real)
        with subprocess.Popen(
            ["timeout", "--foreground", "120", "bash", "-c", command],
            env={**os.environ, **self.env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(lines or 0)]
            if lines is not None:
                process.send_signal(SIGINT)
            return "".join([*printed, process.stdout.read()])

    def compare(self, shown: str, printed: str, command: str) -> None:
        """Hold what was printed to what is shown, and learn the ids in it.

        Raises:
            AssertionError: They differ.
        """
        names: dict[str, str] = {}
        pattern = ""
        end = 0
        shown, printed = (
            _ON_THE_WAY.sub("", text).strip() for text in (shown, printed)
        )
        for match in _VARIES.finditer(shown):
            pattern += self._plain(shown[end : match.start()])
            end = match.end()
            match match.lastgroup:
                case "id" if match[0] in self.known:
                    pattern += re.escape(self.known[match[0]])
                case "id" if match[0] in names.values():
                    name = next(
                        n for n, shown_id in names.items() if shown_id == match[0]
                    )
                    pattern += f"(?P={name})"
                case "id":
                    name = f"id{len(names)}"
                    names[name] = match[0]
                    pattern += f"(?P<{name}>{_ID})"
                case "time":
                    pattern += f"(?:{_TIME})"
                case "any":
                    pattern += ".*?"
                case _:
                    pattern += r"\s+"
        pattern += self._plain(shown[end:])
        printed_match = re.fullmatch(pattern, printed, re.DOTALL)
        assert printed_match, f"$ {command}\nshown:\n{shown}\nprinted:\n{printed}"
        self.known |= {
            shown_id: printed_match[name] for name, shown_id in names.items()
        }

    def _plain(self, text: str) -> str:
        for shown_id, real in self.known.items():
            text = text.replace(shown_id, real)
        return re.escape(text)
