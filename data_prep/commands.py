"""What the commands of this folder share: how they tell a mistake, show progress and use two cores."""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def parser(page):
    """Makes the parser of a command.

    Args:
        page: the command's docstring, which is its help.

    Returns:
        An `argparse.ArgumentParser`.
    """
    return argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)


@contextlib.contextmanager
def mistakes_told(arguments):
    """Ends the command with one sentence where the user made a mistake, without a traceback.

    Args:
        arguments: the command's parser.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        arguments.exit(1, f"Error: {error}\n")


def bar(shown=True):
    """Makes a progress bar on standard error, with counts and the time that is left.

    Args:
        shown: whether it is to be seen.

    Returns:
        A `rich.progress.Progress`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)


def processes(count):
    """Makes a pool of processes that are started afresh: a copy of one that runs TensorFlow's threads could hang.

    Args:
        count: number of processes.

    Returns:
        A `concurrent.futures.ProcessPoolExecutor`.
    """
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def in_order(pool, function, items, ahead=32):
    """Runs a function over items in a pool, with few of them on the way, so that memory stays bounded.

    Args:
        pool: a `concurrent.futures.Executor`.
        function: what to run.
        items: iterable of (item, tuple of arguments), taken one by one.
        ahead: how many may be on the way.

    Yields:
        (item, result), in the order of the items.
    """
    waiting = deque()
    try:
        for item, arguments in items:
            waiting.append((item, pool.submit(function, *arguments)))
            if len(waiting) >= ahead:
                item, answer = waiting.popleft()
                yield item, answer.result()
        while waiting:
            item, answer = waiting.popleft()
            yield item, answer.result()
    finally:
        for _, answer in waiting:
            answer.cancel()


def digest(value):
    """Gives 16 hexadecimal digits that stand for a value.

    Args:
        value: anything that JSON can hold.
    """
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def agree(path, settings, what):
    """Keeps a folder to the settings that it was begun with, so that a second run goes on where the first stopped.

    Args:
        path: JSON file with the settings; written where it is missing.
        settings: dict.
        what: what the settings are of, for the error.

    Raises:
        ValueError: the file tells other settings.
    """
    from rainbownet.data.files import write_atomically

    path = Path(path)
    if path.is_file():
        before = json.loads(path.read_text())
        if before != settings:
            changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
            raise ValueError(
                f"{path.parent} holds {what} made with other settings (differing in {', '.join(sorted(changed))}, see "
                f"{path.name}); choose another folder, or remove this one."
            )
        return
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")
