"""The command line in the reader's language: Click's own words, help texts, columns."""

import copy
import gettext as python_gettext
import inspect
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

from fashion_cnn.language import DOMAIN, LANGUAGE_VARIABLE, LANGUAGES, LOCALE, gettext, use_language

# The variables in which gettext looks for the reader's language, in its order.
LOCALE_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
FILLER = "\0"  # no text of a command line can hold it


def choose_language(args: Sequence[str]) -> None:
    """Use the language of --language, else of $FASHION_CNN_LANGUAGE, else of the locale.

    Click takes its own words from Python's gettext, which reads $LANGUAGE. So this sets that
    variable, gettext's domain and Click's formatter, for the process of the command line.
    """
    option = re.search(r"--language[ =](\w+)", " ".join(args))
    locale = next(filter(None, map(os.environ.get, LOCALE_VARIABLES)), "")
    choices = (
        option and option[1],
        os.environ.get(LANGUAGE_VARIABLE),
        "ko" if re.match("ko(?![a-z])", locale) else "en",  # kok is Konkani
    )
    language = next(choice for choice in choices if choice in LANGUAGES)
    use_language(language)
    os.environ["LANGUAGE"] = language
    python_gettext.bindtextdomain(DOMAIN, str(LOCALE))
    python_gettext.textdomain(DOMAIN)
    click.Context.formatter_class = _Formatter


def in_language(command: click.Command) -> click.Command:
    """Return a copy of a command, and of those below it, with its texts in the language in use."""
    command = copy.deepcopy(command)
    context = click.Context(command)
    if isinstance(command, click.Group):
        command.subcommand_metavar = gettext(command.subcommand_metavar)
    for each in (command, *getattr(command, "commands", {}).values()):
        each.help = _translated_help(each.help)
        each.options_metavar = gettext(each.options_metavar or "")
        for param in each.params:
            param.metavar = gettext(param.make_metavar(context))
            if isinstance(param, click.Option):
                param.help = _translated_help(param.help)
    return command


def paragraphs(text: str | None) -> list[str]:
    """Return the paragraphs of a help text, each as one line unless Click must not wrap it."""
    return [
        paragraph if paragraph.startswith("\b") else " ".join(paragraph.split())
        for paragraph in inspect.cleandoc(text or "").split("\n\n")
    ]


def _translated_help(text: str | None) -> str:
    lines = "\n\n".join(paragraphs(text)).split("\n")
    return "\n".join(gettext(line) if line else "" for line in lines)


def spread(text: str) -> str:
    """Return a text with a filler after each letter that takes two columns, as Hangul does.

    Its length is then its width, so it can be padded and wrapped; `gather` removes the fillers.
    """
    return "".join(c + FILLER * (unicodedata.east_asian_width(c) in "WF") for c in text)


def gather(text: str) -> str:
    """Return a text without the fillers of `spread`."""
    return text.replace(FILLER, "")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the lines of a table."""
    spread_rows = [[spread(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*spread_rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in spread_rows)
    return gather("\n".join(lines))


class _Formatter(click.HelpFormatter):
    """Wraps and aligns by the width of letters, not by their number."""

    def write_text(self, text: str) -> None:
        super().write_text(spread(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().write_dl([(spread(a), spread(b)) for a, b in rows], *args, **kwargs)

    def getvalue(self) -> str:
        return gather(super().getvalue())
