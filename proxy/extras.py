"""What a configuration asks for and this version, or this installation, has not."""

from __future__ import annotations

from proxy.config.available import unavailable
from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.embedding import embeds_of, missing_package, model_of


def lacking(settings: Settings) -> list[Problem]:
    """Every setting in use that is not acted on."""
    problems = unavailable(settings)
    for embed in embeds_of(settings).values():
        package = missing_package(embed)
        if package:
            message = f"needs the package {package}: pip install 'sidestream[semantic]'"
            problems.append(Problem(embed.place, embed.where, message))
    return problems


def lacking_here(settings: Settings) -> list[Problem]:
    """As ``lacking``, after a look at models in this process.

    Raises ``ConfigError`` for one that cannot be used.
    """
    for embed in embeds_of(settings).values():
        if embed.upstream is None and not missing_package(embed):
            model_of(embed).close()
    return lacking(settings)
