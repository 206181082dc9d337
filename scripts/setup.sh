#!/bin/sh
# Create the environment that `make demo` and `make test` use:  scripts/setup.sh VENV [EXTRA,EXTRA…]
#
# PYTHON       interpreter to create it with, 3.10 or newer
# TORCH        what pip installs for PyTorch. For a GPU, name the index that PyTorch's own install page gives for it:
#              make demo TORCH="--index-url <index> torch" TORCHVISION="--index-url <index> torchvision"
# TORCHVISION  the torchvision that belongs to it
set -eu
cd "$(dirname "$0")/.."
venv=$1
extras=${2:-}
torch=${TORCH:-torch==2.13.0}
torchvision=${TORCHVISION:-torchvision==0.28.0}

say() { printf '\n== %s\n' "$*"; }

pip_install() { "$venv/bin/python" -m pip --disable-pip-version-check -qq install --no-warn-conflicts "$@"; }

if [ ! -x "$venv/bin/python" ]; then
    say "creating $venv with $("${PYTHON:-python3}" --version)"
    "${PYTHON:-python3}" -m venv "$venv"
fi

say "installing $torch (for a GPU, see the top of scripts/setup.sh)"
# shellcheck disable=SC2086
pip_install $torch

# facexlib's own dependencies would bring the GUI build of OpenCV, numba and a CUDA torch: it needs none of them here.
say "installing facexlib and $torchvision without their dependencies"
# shellcheck disable=SC2086
pip_install --no-deps facexlib $torchvision

say "installing the other dependencies of pyproject.toml"
"$venv/bin/python" - "$extras" > "$venv/requirements.txt" <<'PYTHON'
import sys

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
elsewhere = ("torch", "facexlib", "comfyui-frontend-package")
needed = [name for name in project["dependencies"] if not name.startswith(elsewhere)]
for extra in filter(None, sys.argv[1].split(",")):
    needed += project["optional-dependencies"][extra]
sys.stdout.write("\n".join(needed) + "\n")
PYTHON
pip_install -r "$venv/requirements.txt"

if ! "$venv/bin/python" -c "import torchvision" 2>/dev/null; then
    say "torchvision's C++ operators do not load beside this torch: adding scripts/torchvision_cpu.py to $venv"
    packages=$("$venv/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
    cp scripts/torchvision_cpu.py "$packages/torchvision_cpu.py"
    echo "import torchvision_cpu" > "$packages/torchvision_cpu.pth"
    "$venv/bin/python" -c "import torchvision"
fi

say "installing osdface itself"
pip_install --no-deps -e .
say "ready: $venv/bin/osdface"
