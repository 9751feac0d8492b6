"""The audit of musl wheels: which musl a file really needs, and what it mixes. Stands alone.

from muslabi import audit_wheel
report = audit_wheel("dist/thing-1.0-cp313-cp313-musllinux_1_2_x86_64.whl")
report.verdict    # "pass", "warn", "fail" or "skip"
report.findings   # what and why, with remedies
"""

__version__ = "0.1.0"

from muslabi.audit import audit_wheel
from muslabi.findings import Finding
from muslabi.report import WheelReport
from muslabi.terms import Terms

__all__ = ["Finding", "Terms", "WheelReport", "__version__", "audit_wheel"]
