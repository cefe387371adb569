"""What a configuration asks for and this version, or this installation, has not."""

from __future__ import annotations

from proxy.config.available import unavailable
from proxy.config.nodes import Problem
from proxy.config.schema import Settings
from proxy.embedding import embeds_of, missing_package


def lacking(settings: Settings) -> list[Problem]:
    """Every setting in use that is not acted on."""
    problems = unavailable(settings)
    for name, embed in embeds_of(settings).items():
        package = missing_package(embed)
        semantic = settings.cache[name].semantic
        if package and semantic is not None:
            message = f"needs the package {package}: pip install 'sidestream[semantic]'"
            problems.append(Problem(semantic.place, f"{semantic.where}.mode", message))
    return problems
