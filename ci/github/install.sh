#!/usr/bin/env bash
# Installs the notch of this action into an environment of its own, where it is in nobody's way.
set -euo pipefail
folder="$RUNNER_TEMP/tallystick"
"${NOTCH_PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$GITHUB_ACTION_PATH"
"$folder/bin/notch" --version
