"""Jinja's templates, one way for every page: a name that is not given is an error, and HTML is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str, *, html: bool = True) -> Environment:
    """The templates in `package`/templates/. Without `html` nothing is escaped: for text that is no page."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=html,  # noqa: S701 - off for Markdown from our own figures and names of params.yaml
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
