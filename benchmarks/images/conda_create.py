"""`conda_create.py environment.yml PREFIX`, in the peer's image: what `micromamba create` does, by the same library.

No conda, mamba or micromamba can be installed here without a public channel.
"""

import asyncio
import subprocess
import sys

import yaml
from rattler import Channel, Gateway, SourceConfig, Subdir, VirtualPackage, install, solve

CACHE = "/root/.cache/conda"


async def create(channels: "list[str]", specs: "list[str]", prefix: str) -> None:
    gateway = Gateway(cache_dir=f"{CACHE}/channels", default_config=SourceConfig(sharded_enabled=False))
    records = await solve(
        sources=[Channel(name) for name in channels],
        specs=specs,
        gateway=gateway,
        platforms=[Subdir.current(), "noarch"],
        virtual_packages=[one.into_generic() for one in VirtualPackage.detect()],
    )
    await install(records, target_prefix=prefix, cache_dir=f"{CACHE}/packages", show_progress=False)


with open(sys.argv[1]) as file:
    document = yaml.safe_load(file)
specs = [one for one in document["dependencies"] if isinstance(one, str)]
wheels = [line for one in document["dependencies"] if isinstance(one, dict) for line in one["pip"]]
asyncio.run(create(document["channels"], specs, sys.argv[2]))
subprocess.run([f"{sys.argv[2]}/bin/python", "-m", "pip", "install", *wheels], check=True)
