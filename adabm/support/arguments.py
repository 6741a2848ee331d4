"""The parser of every command, of ``adabm`` and of ``pipelines``: no option is taken twice without a word."""

import argparse
import sys
from typing import NoReturn

from ..errors import one_line


class _Once(argparse._StoreAction):
    """Store an option's value; a second one, which would take the place of the first without a word, is an error."""

    def __call__(self, parser, namespace, values, option_string=None):
        given = vars(namespace).setdefault(_GIVEN, {})
        if option_string is not None and self.dest in given:
            both = " and ".join(dict.fromkeys((given[self.dest], option_string)))
            parser.error(f"argument {both}: is given twice; give it once")
        given[self.dest] = option_string
        super().__call__(parser, namespace, values, option_string)


_GIVEN = "_given"  # in a namespace while it is filled


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one short line, whatever an argument holds, and whose options take one value each."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name in (None, "store"):
            self.register("action", name, _Once)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does, which would take ``--tile=--`` for an option with an empty list as its value."""
        args = sys.argv[1:] if args is None else args
        for name, _, value in (word.partition("=") for word in args if word.startswith("--")):
            if value == "--":
                self.error(f"argument {name}: expected one argument")
        found, rest = super().parse_known_args(args, namespace)
        vars(found).pop(_GIVEN, None)
        return found, rest

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))
