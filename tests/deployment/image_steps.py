"""The image's steps without a container: its installation in a folder, its command, its health check.

``python tests/deployment/image_steps.py`` takes what the Dockerfile says, line by line, with folders of this machine in
place of ``/opt/skillfleet`` and ``/work``, and with pip's own index.  It tells what the installation weighs, starts the
command as the image does, and asks it.  What it does not show: the base image, and a root file system that cannot be
written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"
WAIT_S = 120


def instructions(name: str) -> list[str]:
    """Return what every instruction of a name says, on one line each."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.+)$", text, flags=re.MULTILINE)


def variables() -> dict[str, str]:
    """Return the environment of the image."""
    pairs = re.findall(r"(\w+)=(\S+)", instructions("ENV")[-1])
    return {name: value for name, value in pairs if name != "PATH"}


def weight_mb(folder: Path) -> float:
    """Return how much the files of a folder hold, in millions of bytes."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir()) / 1e6


def tell(text: str) -> None:
    """Say something at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Install, start, ask; say what came of it."""
    with tempfile.TemporaryDirectory(prefix="skillfleet-image-") as name:
        place, work = Path(name) / "opt", Path(name) / "work"
        work.mkdir()
        for step in instructions("RUN"):
            if "/opt/skillfleet" in step:
                line = re.sub(r"--index-url \S+ ", "", step.replace("/opt/skillfleet", str(place)))
                line = line.replace("python -m venv", f"{sys.executable} -m venv")
                tell(f"$ {line}")
                subprocess.run(line, shell=True, check=True, cwd=ROOT)  # noqa: S602  the Dockerfile's own
        tell(f"installed: {weight_mb(place):.0f} MB")
        here = {key: re.sub(r"^/(work|tmp)\b", rf"{name}/\1", value) for key, value in variables().items()}
        env = {**os.environ, **here, "PATH": f"{place}/bin:{os.environ['PATH']}", "JUPYTER_TOKEN": "of-the-check"}
        command = [part.replace("=/work", f"={work}") for part in json.loads(instructions("CMD")[-1])]
        check = json.loads(re.sub(r"^.*?CMD\s+", "", instructions("HEALTHCHECK")[0]))
        server = subprocess.Popen([*command, "--ServerApp.allow_root=True"], cwd=work, env=env)
        try:
            until = time.monotonic() + WAIT_S
            while subprocess.run(check, env=env, check=False, capture_output=True).returncode:
                if time.monotonic() > until or server.poll() is not None:
                    tell("it is not healthy")
                    return 1
                time.sleep(0.5)
            tell("healthy")
            listed = subprocess.run(
                ["jupyter", "labextension", "list"], env=env, check=True, capture_output=True, text=True
            )
            assert "skillfleet-nb" in listed.stdout + listed.stderr
            demo = subprocess.run(
                ["skillfleet", "demo"], env=env, cwd=work, check=False, capture_output=True, text=True
            )
            tell(demo.stdout[-600:] or demo.stderr[-600:])
            return demo.returncode
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
