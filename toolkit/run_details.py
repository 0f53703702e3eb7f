"""`RunDetails(run).show()`: a run as it goes, live in a notebook or a terminal."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from toolkit.run_view import View, as_html, as_table, as_text, view

if TYPE_CHECKING:
    from toolkit.run import Run

REFRESH_SECONDS = 1.0
SHARE_OF_TIME = 0.1  # looking at a run that logged a million values takes its time: never more of it than this
_URL_WORDS = "asked for …"


class RunDetails:
    """Shows a run: status, phases, the last value of each metric, child runs, and where it is in the MLflow UI.

    Args:
        run_instance: the run.
    """

    def __init__(self, run_instance: Run) -> None:
        self.run_instance = run_instance
        self._url = ""
        self._spent = 0.0  # seconds that the last look at the run took

    def show(self, render_lib: object = None, widget_settings: dict[str, Any] | None = None) -> None:
        """Show the run, each for its place:

        In a notebook, as a table that follows the run while the notebook goes on. In a terminal, as a table that
        follows it until it has ended; Ctrl-C leaves the run alone. Anywhere else, as it is now, in plain text.

        Args:
            render_lib, widget_settings: kept for Azure ML SDK v1 scripts, and not used.
        """
        if _in_notebook():
            self._show_in_notebook()
        elif sys.stdout.isatty():
            self._show_in_terminal()
        else:
            self._url = self.run_instance._url_or_reason()
            print(as_text(self._view()), flush=True)

    def get_widget_data(self, widget_settings: dict[str, Any] | None = None) -> dict[str, Any]:
        """What `show` shows, as plain values."""
        return self._view().to_dict()

    def _view(self) -> View:
        began = time.monotonic()
        seen = view(self.run_instance, self._url)
        self._spent = time.monotonic() - began
        return seen

    def _pause(self, seconds: float) -> None:
        time.sleep(max(seconds, self._spent / SHARE_OF_TIME))

    def _ask_for_url(self) -> None:
        """Ask for the URL beside everything else: it takes seconds where the MLflow UI has to start."""
        self._url = _URL_WORDS

        def ask() -> None:
            try:
                self._url = self.run_instance._url_or_reason()
            except Exception as error:  # who shows the run waits for an answer, whichever
                self._url = f"({error})"

        threading.Thread(target=ask, name="run-details-url", daemon=True).start()

    def _show_in_terminal(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._ask_for_url()
        try:
            with Live(as_table(self._view()), console=Console(), auto_refresh=False) as live:
                while not self._settled():
                    self._pause(REFRESH_SECONDS / 4)
                    live.update(as_table(self._view()), refresh=True)
                live.update(as_table(self._view()), refresh=True)
        except KeyboardInterrupt:
            print(f"The run goes on: `toolkit logs -f {self.run_instance.id}` shows its logs", file=sys.stderr)

    def _settled(self) -> bool:
        return self.run_instance._ended() and self._url != _URL_WORDS

    def _show_in_notebook(self) -> None:
        from IPython.display import HTML, display  # the notebook's own: not a dependency of the toolkit

        self._ask_for_url()
        shown = display(HTML(as_html(self._view())), display_id=True)
        threading.Thread(target=self._follow, args=(shown, HTML), name="run-details", daemon=True).start()

    def _follow(self, shown: Any, html: Any) -> None:
        ended = False
        while not ended:
            ended = self._settled()  # asked for before the last picture is drawn
            shown.update(html(as_html(self._view())))
            if not ended:
                self._pause(REFRESH_SECONDS)


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and getattr(shell, "kernel", None) is not None
