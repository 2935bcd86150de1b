"""Which dtype policies this machine computes natively, and a policy for a while."""

import contextlib
import os
import pathlib
import platform

from kerasdnn import backend

import keras

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
# Any of them makes bfloat16 convolutions and products faster than float32: x86, then Arm.
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")


def precision_problem(policy):
    """Returns why a dtype policy is not worth trying on this machine, one phrase, or None."""
    if policy == "float32" or backend.current().has_gpu():
        return None
    if policy == "mixed_float16":
        return "CPUs compute float16 more slowly than float32"
    flags = cpu_flags()
    if not flags:
        return "this system does not tell whether the CPU computes bfloat16 natively"
    if flags.isdisjoint(_BFLOAT16_FLAGS):
        return "this CPU has no bfloat16 instructions (avx512_bf16, amx_bf16) and emulates it"
    return None


def cpu_flags():
    """Returns the instruction sets of the CPU, or an empty set where the system hides them."""
    return set(_cpu_field("flags", "Features").split())


def cpu_model():
    """Returns the name of the CPU, or its architecture where the system hides it."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def cpu_count():
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_field(*names):
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


@contextlib.contextmanager
def policy_scope(policy):
    """Sets the global dtype policy inside a `with` block and puts the old one back after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
