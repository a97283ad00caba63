"""How many examples a property test tries, and which.

``make test`` tries the same ones in every run: profile ``ci``. ``make check`` tries a tenth of them: profile ``check``.
``make fuzz`` tries new ones, many more of them: profile ``fuzz``. For a failure it prints the line that plays it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

USUAL_EXAMPLES = 100
"""What a test tries that does not say how many."""
FUZZ_EXAMPLES = "FUZZ_EXAMPLES"
"""The variable that says what such a test tries in ``make fuzz``."""

# How long an example takes, or its drawing, is the machine's affair: no test is about that.
_PATIENT = [HealthCheck.too_slow]


def register_profiles() -> None:
    """Make the profiles known; ``ci`` holds unless pytest is told ``--hypothesis-profile`` and another."""
    for name, number in (("ci", USUAL_EXAMPLES), ("check", USUAL_EXAMPLES // 10)):
        settings.register_profile(
            name,
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=number,
            suppress_health_check=_PATIENT,
        )
    settings.register_profile(
        "fuzz",
        derandomize=False,
        print_blob=True,
        deadline=None,
        max_examples=int(os.environ.get(FUZZ_EXAMPLES, 50 * USUAL_EXAMPLES)),
        suppress_health_check=_PATIENT,
    )
    settings.load_profile("ci")


def examples(number: int = USUAL_EXAMPLES, *, allow: Iterable[HealthCheck] = ()) -> settings:
    """``@examples(300)``: three times as many as usual, whatever the profile calls usual.

    ``allow`` are health checks that do not apply to the test.
    """
    return settings(
        max_examples=max(1, number * settings().max_examples // USUAL_EXAMPLES),
        suppress_health_check=[*_PATIENT, *allow],
    )


def forget_the_modules() -> None:
    """Draw the same examples whatever is imported.

    Hypothesis also draws the constants of the package's modules, of those that are imported so far: which ones depends
    on the tests that ran before in the same process.
    """
    if hasattr(providers, "_get_local_constants"):  # Hypothesis has no option for it
        providers._get_local_constants = lambda: providers._local_constants  # noqa: SLF001
