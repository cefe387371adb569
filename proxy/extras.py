"""What a configuration asks for and this version, or this installation, has not."""

from __future__ import annotations

from proxy.config.available import unavailable
from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.embedding import embeds_of, lack_of, model_of


def lacking(settings: Settings) -> list[Problem]:
    """Every setting in use that is not acted on."""
    problems = unavailable(settings)
    for embed in embeds_of(settings).values():
        if message := lack_of(embed):
            problems.append(embed.problem("", message))
    return problems


def lacking_here(settings: Settings) -> list[Problem]:
    """As ``lacking``, after a look at models in this process.

    Raises ``ConfigError`` for one that cannot be used.
    """
    for embed in embeds_of(settings).values():
        if embed.upstream is None and not lack_of(embed):
            model_of(embed).close()
    return lacking(settings)
