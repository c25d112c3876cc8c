"""The command line in the reader's language: Click's own words, help texts, columns.

Click looks its words up when it prints them, and so do the classes here with the help texts and
the names of values: what is written in the source, and stored by Click, is English.
"""

import contextlib
import gettext as python_gettext
import inspect
import os
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

import click

from fashion_cnn.language import LANGUAGE_VARIABLE, LANGUAGES, gettext, ngettext, use_language

# The variables in which gettext looks for the reader's language, in its order.
LOCALE_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
FILLER = "\0"  # no text of a command line can hold it


def choose_language(option: str | None) -> None:
    """Use the language of the option, else of `$FASHION_CNN_LANGUAGE`, else of the locale."""
    choices = (option, os.environ.get(LANGUAGE_VARIABLE), _language_of_the_locale())
    use_language(next((choice for choice in choices if choice in LANGUAGES), "en"))
    _translate_click()


def _language_of_the_locale() -> str | None:
    values = filter(None, map(os.environ.get, LOCALE_VARIABLES))
    # Such as ko_KR.UTF-8:en, of which the first that exists here counts.
    languages = (name[:2] for name in next(values, "").split(":") if name[2:3] in ("", *"_.@"))
    return next((language for language in languages if language in LANGUAGES), None)


def _translate_click() -> None:
    """Let Click's modules look their words up in the package's catalogue.

    They take both functions from Python's gettext, which would need compiled files. To be called
    when the language is known, since Click looks some words up as soon as an option is created.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("click."):
            if getattr(module, "_", None) is python_gettext.gettext:
                module._ = gettext  # type: ignore[attr-defined]
            if getattr(module, "ngettext", None) is python_gettext.ngettext:
                module.ngettext = ngettext  # type: ignore[attr-defined]


def spread(text: str) -> str:
    """Return a text with a filler after each letter that takes two columns, as Hangul does.

    So its length is its width, which is what pads and wraps it; then `gather` it.
    """
    return "".join(c + FILLER * (unicodedata.east_asian_width(c) in "WF") for c in text)


def gather(text: str) -> str:
    """Return a text without the fillers of `spread`."""
    return text.replace(FILLER, "")


class _Translated:
    """An attribute that is set in English and read in the language in use."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.place = f"_english_{name}"

    def __set__(self, instance: object, text: str | None) -> None:
        setattr(instance, self.place, text)

    def __get__(self, instance: object, owner: type) -> str | None:
        text = getattr(instance, self.place)
        return None if text is None else "\n\n".join(map(_paragraph, paragraphs(text)))


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text, each as one line unless Click must not wrap it."""
    return [
        paragraph if paragraph.startswith("\b") else " ".join(paragraph.split())
        for paragraph in inspect.cleandoc(text).split("\n\n")
    ]


def _paragraph(paragraph: str) -> str:
    return "\n".join(map(gettext, paragraph.split("\n")))


class _Formatter(click.HelpFormatter):
    """Wraps and aligns by the width of letters, not by their number."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        usage = f"{gettext('Usage:')} " if prefix is None else prefix
        super().write_usage(prog, spread(args), spread(usage))

    def write_text(self, text: str) -> None:
        super().write_text(spread(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().write_dl([(spread(a), spread(b)) for a, b in rows], *args, **kwargs)

    def getvalue(self) -> str:
        return gather(super().getvalue())


class _Context(click.Context):
    formatter_class = _Formatter


class Option(click.Option):
    """An option whose help text and name of its value are in the language in use."""

    help: Any = _Translated()

    def make_metavar(self, ctx: click.Context) -> str:
        """Return the name of the value."""
        return gettext(super().make_metavar(ctx))


class Argument(click.Argument):
    """An argument whose name is in the language in use."""

    def make_metavar(self, ctx: click.Context) -> str:
        """Return the name of the argument."""
        return gettext(super().make_metavar(ctx))


class Command(click.Command):
    """A command whose help is in the language in use."""

    context_class = _Context
    help: Any = _Translated()
    options_metavar: Any = _Translated()

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the help option, which Click creates in English."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = gettext("Show this message and exit.")
        return option


class Group(Command, click.Group):
    """A group of commands that knows the language before it says anything."""

    command_class = Command
    subcommand_metavar: Any = _Translated()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Choose the language, wherever --language stands, and then parse."""
        choose_language(None)  # for the mistakes that keep the option from being read
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        with contextlib.suppress(click.UsageError):  # what follows reports it
            choose_language(parser.parse_args([*args])[0].get("language"))
        return super().parse_args(ctx, args)
