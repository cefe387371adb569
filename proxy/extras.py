"""What a configuration asks for and this version, or this installation, has not."""

from __future__ import annotations

from proxy.config.available import unavailable
from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.embedding import embeds_of, folder_of, missing_package


def lacking(settings: Settings) -> list[Problem]:
    """Every setting in use that is not acted on."""
    problems = unavailable(settings)
    for embed in embeds_of(settings).values():
        package = missing_package(embed)
        if package:
            message = f"needs the package {package}: pip install 'sidestream[semantic]'"
            problems.append(Problem(embed.place, embed.where, message))
        elif embed.upstream is None and not folder_of(embed).is_dir():
            message = f"{folder_of(embed)}: no such folder"
            problems.append(Problem(embed.place, f"{embed.where}.model", message))
    return problems
