"""The help of a command with many options: in groups, each setting with its default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand

from sharpv_cli.commands.dashes import with_texts_behind

PANELS = ("Arguments", "Options", "Output", "Exports", "Video", "Model", "Pruning", "Answer")
OF_DEFAULTS = "A profile may set other defaults: `sharpv models show NAME` prints them."


class GroupedCommand(TyperCommand):
    """Draws the options under the names of their panels, which Typer does by Rich alone.

    A text that begins with a dash is understood where it can be no option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_texts_behind(args, self.get_params(ctx)))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        defaults = setting_defaults()
        rows: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                name, text = record
                default = defaults.get(parameter.name or "")
                rows[panel_of(parameter)].append((name, f"{text}  [default: {default}]" if default else text))
        for panel, records in rows.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(OF_DEFAULTS)


def panel_of(parameter: Any) -> str:
    """The group of an argument or option."""
    kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return str(getattr(parameter, "rich_help_panel", None) or kind)


def setting_defaults() -> dict[str, str]:
    """What a setting is where nothing sets it, by the parameter's name; those that are unset are left out."""
    return dict(_defaults())


def _defaults() -> Iterator[tuple[str, str]]:
    from sharpv_cli.settings import FLAGS, defaults

    values = defaults()
    uniform = {"fps"}  # of a strategy that is not the default one
    for flag, key in FLAGS.items():
        value = values[key]
        if value is not None and flag not in uniform:
            name = flag.replace("-", "_")
            yield (
                name,
                ("on" if value else "off") if isinstance(value, bool) else f"{value}".removesuffix(".0"),
            )
