"""Where package errors become one line on standard error and an exit code, and where logging is set up.

Exit codes: 0 success, 1 a failure, 2 wrong use, 130 after Ctrl-C and 143 after SIGTERM.
`R1OMNI_DEBUG=1` shows the traceback instead of the line.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from r1omni.core.errors import ConfigError, R1OmniError, StoppedError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""
TERMINATED = 143
"""Exit code after SIGTERM, likewise."""


def run(command: Callable[[], Any]) -> NoReturn:
    """Run a command and exit with its exit code.

    Args:
        command: the Typer application, which ends with SystemExit.
    """
    debug = bool(os.environ.get("R1OMNI_DEBUG"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Processes are forked after tokenizers ran; the tokenizers' threads would only warn about that.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not debug:
        warnings.simplefilter("ignore")
    try:
        command()
    except R1OmniError as error:
        if debug:
            raise
        print(f"r1omni: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        print("r1omni: interrupted; the same command resumes where it stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output closed the pipe (`| head`): not a failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def _exit_code(error: R1OmniError) -> int:
    if isinstance(error, StoppedError):
        return TERMINATED
    return 2 if isinstance(error, ConfigError) else 1
