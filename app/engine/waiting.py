"""How the threads of llama.cpp wait for each other on a processor.

At each of some hundred places in a step all threads of OpenMP meet. One that goes to sleep there is woken by the
kernel, which on an idle machine takes longer than the others' work; one that spins keeps a core from whom it waits for,
where the cores are taken, and from decoding and OCR. So they spin for a few microseconds and sleep then
(docs/performance.md, *Threads that wait*).
"""

from collections.abc import Mapping

#: Rounds of GNU's OpenMP, a pause of the processor each: 10 to 50 ns.
_SPINS = 200
_SET_BY_OPERATORS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say so; none where an operator has said otherwise in `environment`."""
    if any(environment.get(name) for name in _SET_BY_OPERATORS):
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(_SPINS)}
