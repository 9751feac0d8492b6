"""Import every module asked for. Input: JSON {"names": [...] or null, "more": [...], "skip": [...]}; output: JSON."""

import contextlib
import importlib
import io
import json
import sys
import warnings

asked = json.load(sys.stdin)
names = asked["names"] or sorted(sys.stdlib_module_names)  # type: ignore[attr-defined,unused-ignore]
warnings.simplefilter("ignore")
broken = {}
done = 0
for name in [*names, *asked["more"]]:
    if name in asked["skip"] or name.split(".")[0] in asked["skip"]:
        continue
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
        done += 1
    except BaseException as error:  # noqa: BLE001, RUF100 - SystemExit too: whatever happens, name the module
        broken[name] = f"{type(error).__name__}: {error}"

import decimal  # noqa: E402
import hashlib  # noqa: E402

accelerated = decimal.Decimal is getattr(sys.modules.get("_decimal"), "Decimal", None)
hashes = sorted(hashlib.algorithms_guaranteed - hashlib.algorithms_available)
json.dump({"imported": done, "broken": broken, "c_decimal": accelerated, "missing_hashes": hashes}, sys.stdout)
