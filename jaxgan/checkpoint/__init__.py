"""Saves and restores checkpoints: Orbax writes the arrays, and a manifest holds their digests.

One folder holds one run, with a subfolder for each checkpoint, named after its step. The subfolder
holds `arrays`, which Orbax can read without jaxgan, and `seal.json`, the manifest. A save is
atomic. `restore` uses the newest checkpoint whose digests all match.
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
