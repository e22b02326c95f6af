"""Bring workers to a deployment one by one, and back where one of them does not start with it.

The next worker is replaced when the one before is ready, so all but one work at any time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest import logs
from ingest.contract import WorkerState
from ingest.supervisor.replacement import Phase

if TYPE_CHECKING:
    from ingest.supervisor.deployment import Deployment
    from ingest.supervisor.replacement import Replacement
    from ingest.supervisor.worker_post import WorkerPost

_log = logs.get_logger(__name__)


class Rollout:
    """Goes over the workers once, and in case back over those that were replaced."""

    def __init__(
        self, posts: Sequence[WorkerPost], target: Deployment, fallback: Deployment
    ) -> None:
        """Take one deployment as both where workers are only renewed: nothing is undone then."""
        self._posts = posts
        self.target = target
        """What the workers are brought to."""
        self._fallback = fallback
        self._waiting = deque(posts)
        self._replaced: list[WorkerPost] = []
        self._current: WorkerPost | None = None
        self._replacement: Replacement | None = None
        self.failed_worker: int | None = None
        """The first worker that could not be replaced."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self._current is None and not self._waiting

    def tend(self, now: float) -> None:
        """Begin with the next worker where the one before is done."""
        while not self.is_over:
            if self._current is None:
                self._current = self._waiting.popleft()
            if self._replacement is None:
                if self._current.slot.state is WorkerState.STARTING:
                    return  # it will be ready, or gone
                self._replacement = self._current.replace(self.target, self._fallback, now)
            if not self._replacement.is_over:
                return
            post, phase = self._current, self._replacement.phase
            self._current = self._replacement = None
            if phase is Phase.DONE:
                self._replaced.append(post)
            else:
                self._go_back(post)

    def _go_back(self, failed: WorkerPost) -> None:
        if self.failed_worker is not None:
            _log.error(
                "A worker keeps the new configuration until it is replaced.", worker=failed.index
            )
            return
        self.failed_worker = failed.index
        self._waiting.clear()
        if self.target is not self._fallback:
            self.target = self._fallback
            self._waiting.extend(reversed(self._replaced))
            for post in self._posts:
                if post not in self._replaced:
                    post.adopt(self._fallback)
