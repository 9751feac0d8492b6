"""What an interpreter says of itself, as JSON."""

import json
import os
import platform
import struct
import sys
import sysconfig

from packaging.tags import sys_tags

tags = list(sys_tags())
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
json.dump(
    {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "prefix": os.path.realpath(sys.prefix),
        "bits": struct.calcsize("P") * 8,
        "byteorder": sys.byteorder,
        "machine": platform.machine(),
        "time_t": sysconfig.get_config_var("SIZEOF_TIME_T"),
        "soabi": sysconfig.get_config_var("SOABI"),
        "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX"),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": gil,
        "abi": f"{tags[0].interpreter}-{tags[0].abi}",
        "platforms": list(dict.fromkeys(t.platform for t in tags if t.platform != "any")),
        "compiler": [sysconfig.get_config_var(name) for name in ("CC", "CXX", "LDSHARED")],
        "encoding": sys.getfilesystemencoding(),
    },
    sys.stdout,
)
