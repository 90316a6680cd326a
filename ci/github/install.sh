#!/usr/bin/env bash
# Installs the notch of this action into an environment of its own, where it is in nobody's way.
# Python runs isolated and outside the checkout, since a module of the change could else take the place of venv or pip.
set -euo pipefail
folder="$RUNNER_TEMP/tallystick"
python=$(command -v "${NOTCH_PYTHON:-python3}")
cd "$RUNNER_TEMP"
"$python" -I -m venv --clear "$folder"
"$folder/bin/python" -I -m pip install --quiet --disable-pip-version-check "$GITHUB_ACTION_PATH"
"$folder/bin/python" -I -m tallystick --version
