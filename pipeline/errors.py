"""The errors that cross a stage's border.

Every error of this project is a `TinyAgentError`: it says what went wrong in one line and, where the
person can do something about it, how to mend it. The command line prints both and never a traceback.
A stage refines it where its callers react differently; those classes stand beside the stage.
"""

from __future__ import annotations

from collections.abc import Iterable


class TinyAgentError(Exception):
    """Something went wrong that a person can be told about.

    Args:
        message: What is wrong and where, in one line, without a final full stop.
        fix: How to mend it, in one line, or None where nothing can be done.
    """

    #: The exit status of the command line when this error ends a command.
    exit_code = 1

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} ({self.fix})" if self.fix else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # By default it would be made anew from its message alone, which those with arguments of their own do not take.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[TinyAgentError], args: tuple[object, ...], state: dict[str, object]) -> TinyAgentError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigError(TinyAgentError):
    """A setting is wrong: a file, an environment variable or a command-line option."""

    exit_code = 2


class MissingExtra(TinyAgentError):
    """An optional dependency is needed that is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package {package!r}", fix=f"pip install 'tinyagent-edge[{extra}]'")


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a mend for a wrong name: the nearest known one, or `otherwise` where none is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
