"""Checkpoints of a run: Orbax writes the arrays, and a manifest verifies every bit of them.

One folder holds one run, with a subfolder for each checkpoint, named after its step. The subfolder
holds `arrays`, which Orbax reads without jaxgan, and `seal.json`, the manifest. A checkpoint
appears whole or not at all. `restore` uses the newest checkpoint whose digests all match.
"""

from jaxgan.checkpoint._manifest import DamagedCheckpointError
from jaxgan.checkpoint._read import Info, info, latest, restore, steps, verify
from jaxgan.checkpoint._save import save
from jaxgan.checkpoint._writer import SaveHandle

__all__ = [
    "DamagedCheckpointError",
    "Info",
    "SaveHandle",
    "info",
    "latest",
    "restore",
    "save",
    "steps",
    "verify",
]
