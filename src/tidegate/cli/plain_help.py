"""Help that names arguments and options as other programs do, without the types and brackets of Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command: `tidegate up [OPTIONS] ENV…`. (Typer's own types of what it hands over are private to it.)"""

    def get_params(self, ctx: Any) -> list[Any]:
        """Each with what its help should show."""
        return _plain(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The metavar of an argument says itself whether it may be left out or repeated."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, TyperArgument)]
        return [self.options_metavar or "", *(param.metavar or str(param.name) for param in arguments)]


class PlainGroup(TyperGroup):
    """The program itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Each with what its help should show."""
        return _plain(super().get_params(ctx))


def _plain(params: Iterable[Any]) -> list[Any]:
    found = list(params)
    for param in found:
        if isinstance(param, TyperArgument):
            param.display_type_rich = _nothing  # type: ignore[method-assign]  # its name says it already
        elif param.is_flag and param.metavar is None:
            param.metavar = ""
    return found


def _nothing(ctx: Any) -> str | None:  # noqa: ARG001  (Typer gives it)
    return None
