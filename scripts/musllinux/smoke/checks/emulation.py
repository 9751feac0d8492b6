"""What runs the image's programs here: the processor, or an emulator that containers find and that computes right."""

from musllinux import emulation
from musllinux.model import ordinal
from musllinux.smoke.context import Context
from musllinux.smoke.registry import LeftOut, check, require

GROUP = "emulation"


@check(GROUP, "what runs its programs")
def handler(context: Context) -> str:
    """The floating point probe (group toolchain) shows whether it computes right; known faults are told here."""
    arch = context.image.arch
    if not emulation.emulated(arch):
        return "this machine's processor"
    if not emulation.engine_is_here():
        raise LeftOut("the engine is on another machine, whose handlers cannot be looked at")
    found = emulation.handler(arch.qemu)
    require(not found.problem, f"qemu-{arch.qemu}: {found.problem}: `make emulators` registers it")
    version = emulation.qemu_version(found.program)
    number = emulation.number(version)
    if arch.qemu_since and number:
        require(number >= ordinal(arch.qemu_since), f"{version}: wrong results before {arch.qemu_since}")
    return f"{version}, F flag"
