"""The lock for one part of a manifest: several are at work beside each other, in one folder or each in its own.

Each has a journal of its own, ``assets.lock.2-of-4.journal``, which it holds for its run. The journal of a run over all
is held only for a moment, when a part begins and when it is folded into ``assets.lock`` at its end: whoever holds that
one is the only process that writes the lock, removes a journal, or begins. A run over all is refused while a part is at
work, and so are parts of another number of parts, for one of those may have the same asset.

What a part left that crashed is folded when it is begun again, or by a run over all or over another number of parts.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from wan_cli.errors import WanError
from wan_cli.lock.file import Lock
from wan_cli.lock.grip import remove
from wan_cli.lock.journal import digest_of, part_journal, parts_of

PAUSE_S = 0.1
"""Between two looks at whether it is this one's turn."""
BEGIN_S, FOLD_S = 10.0, 600.0
"""How long a run over all is waited for, and how long other parts are, which fold 100,000 assets in some seconds."""


class Shard(Lock):
    """The lock for the run over one part of several; ``part`` is which, from 1, of how many."""

    def __init__(self, path: Path, part: tuple[int, int], *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Read ``path`` and the journals beside it. Raises ``UsageError``."""
        super().__init__(path)
        self.journal = part_journal(path, part)
        self._count = part[1]
        self._sleep = sleep

    def __enter__(self) -> Self:
        """Become the one process that changes this part. Raises ``StateUnusable`` where that cannot be."""
        with self._turn(FOLD_S if parts_of(self.path) else BEGIN_S) as whole:
            parts = parts_of(self.path).items()
            left = [path for path, part in parts if path == self.journal or part[1] != self._count]
            if left or os.fstat(whole).st_size:
                self._take_over(left, whole)
            elif self._was[0] != digest_of(self.path):
                self._read(())
            self._descriptor, self._changed = self._taken(self.journal), False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Fold the journal in, and let go. Where that cannot be done it stays, and the next run does it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            with contextlib.suppress(WanError, OSError), self._turn(FOLD_S) as whole:
                if self._changed:
                    self._read([self.journal])  # what the others write is theirs to fold, with their files
                    self._write()
                remove(descriptor, self.journal)
                if not any(map(self._is_at_work, parts_of(self.path))):
                    remove(whole, self.whole)
        finally:
            os.close(descriptor)

    def _is_at_work(self, journal: Path) -> bool:
        if (descriptor := self._grip(journal)) is None:
            return True
        os.close(descriptor)
        return False

    @contextlib.contextmanager
    def _turn(self, patience: float) -> Iterator[int]:
        """Be the only process that writes the lock for a moment. Raises ``StateUnusable`` where nobody else ends."""
        for _ in range(round(patience / PAUSE_S)):
            descriptor = self._grip(self.whole)
            if descriptor is not None:
                break
            self._sleep(PAUSE_S)
        else:
            raise self._busy(self.whole)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
