"""A compute target of a package that is not the toolkit's: processes, but with a name of their own."""

from toolkit.targets.kind import Kind
from toolkit.targets.local import LocalTarget
from toolkit.targets.settings import COMMON, POLICY, Setting, is_text

KIND = Kind(
    "acme_compute:AcmeTarget",
    {**COMMON, **POLICY, "site": Setting(is_text, "the name of a site")},
    summary="the machines of Acme",
    required=("site",),
    example={"site": "north"},
    check="acme_compute:check",
)


def check(name, settings, definition):
    return [f"'{definition['script']}' goes to Acme's site {settings['site']}"]


class AcmeTarget(LocalTarget):
    """As the local target, and tells scripts the site."""

    def __init__(self, name, settings, configuration, paths):
        super().__init__(name, settings, configuration, paths)
        self._site = settings["site"]
        self._addresses = {"north": "north.acme.example", "deaf": "deaf.acme.example"}

    def prepare(self, job):
        plan = super().prepare(job)
        plan.environment["ACME_SITE"] = self._site
        plan.environment["ACME_ADDRESS"] = self._addresses[self._site]
        return plan

    def cancel(self, handle, grace):
        if self._site != "deaf":
            super().cancel(handle, grace)
