"""muslabi run over the newest musllinux wheels of a fixed list of projects, on all architectures."""
