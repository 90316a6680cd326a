#!/usr/bin/env bash
# Runs what is missing, judges, keeps the evidence; ends with the gate's exit code.
set -uo pipefail
notch="${NOTCH:-$RUNNER_TEMP/tallystick/bin/notch}"
task=()
[ -z "${NOTCH_TASK:-}" ] || task=("$NOTCH_TASK")

if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
  echo "::warning title=notch::the checkout is shallow, so the base may not be found; use fetch-depth: 0"
fi

checked=0
if [ "${NOTCH_CHECK:-true}" = true ]; then
  jobs=()
  [ -z "${NOTCH_JOBS:-}" ] || jobs=(--jobs "$NOTCH_JOBS")
  # What the criteria print is their own: none of it is a command to the runner.
  token="notch-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
  echo "::stop-commands::$token"
  "$notch" check "${jobs[@]+"${jobs[@]}"}" "${task[@]+"${task[@]}"}" 2>&1
  checked=$?
  echo "::$token::"
fi

"$notch" gate --format github "${task[@]+"${task[@]}"}" 2> "$RUNNER_TEMP/notch-gate.txt"
judged=$?
if [ -s "$RUNNER_TEMP/notch-gate.txt" ]; then
  said=$(head -c 2000 "$RUNNER_TEMP/notch-gate.txt")
  said=${said//'%'/%25} said=${said//$'\r'/%0D} said=${said//$'\n'/%0A}
  echo "::error title=notch::$said"
fi

evidence="$RUNNER_TEMP/tallystick-evidence"
rm -rf "$evidence" && mkdir -p "$evidence"
if "$notch" backup "$evidence/ledger.db"; then
  named="${NOTCH_TASK:-${TALLYSTICK_TASK:-${GITHUB_HEAD_REF:-$GITHUB_REF_NAME}}}"
  "$notch" export "$named" --format bundle --artifacts --to "$evidence/evidence.bundle" ||
    echo "::warning title=notch::no bundle was written"
  echo "evidence=$evidence" >> "$GITHUB_OUTPUT"
else
  echo "::warning title=notch::the evidence could not be kept"
fi

# What kept check from coming to a verdict is told even where the gate is open without it.
[ "$judged" -ne 0 ] || [ "$checked" -le 1 ] || exit "$checked"
exit "$judged"
