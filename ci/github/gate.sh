#!/usr/bin/env bash
# Runs what is missing (NOTCH_CHECK), judges (NOTCH_GATE), keeps the evidence; ends with the gate's exit code.
# Runs nothing of the checkout itself: that is for `notch check`. The step's outputs are written last.
set -uo pipefail

run_notch() {
  if [ -n "${NOTCH:-}" ]; then
    "$NOTCH" "$@"
  else
    # Isolated: neither PYTHONPATH nor the current folder may bring modules of the change.
    "$RUNNER_TEMP/tallystick/bin/python" -I -m tallystick "$@"
  fi
}

task=()
[ -z "${NOTCH_TASK:-}" ] || task=(-- "$NOTCH_TASK")
judging=()
[ -z "${NOTCH_BASE:-}" ] || judging+=(--base "$NOTCH_BASE")
[ "${NOTCH_ALLOW_NO_PLAN:-false}" != true ] || judging+=(--allow-no-plan-on-base)
[ "${NOTCH_TRUST_RECORDED:-false}" != true ] || judging+=(--trust-recorded)

# The ledger lies where no commit can bring one: outside the checkout, in a folder of this step or one that is named.
if [ -n "${NOTCH_LEDGER:-}" ]; then
  [ ! -d "$NOTCH_LEDGER" ] || NOTCH_LEDGER="$NOTCH_LEDGER/ledger.db"
  export TALLYSTICK_LEDGER="$NOTCH_LEDGER"
elif [ -z "${TALLYSTICK_LEDGER:-}" ]; then
  mkdir -p "$RUNNER_TEMP/tallystick-ledger"
  export TALLYSTICK_LEDGER="$RUNNER_TEMP/tallystick-ledger/ledger.db"
fi

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
  run_notch check "${jobs[@]+"${jobs[@]}"}" "${judging[@]+"${judging[@]}"}" "${task[@]+"${task[@]}"}" 2>&1
  checked=$?
  echo "::$token::"
fi

evidence="$RUNNER_TEMP/tallystick-evidence"
kept=""
keep_evidence() {
  rm -rf "$evidence" && mkdir -p "$evidence"
  if run_notch backup "$evidence/ledger.db"; then
    kept="$evidence"
    named="${NOTCH_TASK:-${TALLYSTICK_TASK:-${GITHUB_HEAD_REF:-$GITHUB_REF_NAME}}}"
    run_notch export --format bundle --artifacts --to "$evidence/evidence.bundle" -- "$named" ||
      echo "::warning title=notch::no bundle was written"
  else
    echo "::warning title=notch::the evidence could not be kept"
  fi
}

judged=0
verdict="$(mktemp "$RUNNER_TEMP/notch-verdict.XXXXXX")"
if [ "${NOTCH_GATE:-true}" = true ]; then
  GITHUB_OUTPUT="$verdict" run_notch gate --format github "${judging[@]+"${judging[@]}"}" "${task[@]+"${task[@]}"}" \
    2> "$RUNNER_TEMP/notch-gate.txt"
  judged=$?
  if [ -s "$RUNNER_TEMP/notch-gate.txt" ]; then
    said=$(head -c 2000 "$RUNNER_TEMP/notch-gate.txt")
    said=${said//'%'/%25} said=${said//$'\r'/%0D} said=${said//$'\n'/%0A}
    echo "::error title=notch::$said"
  fi
  keep_evidence
  # What kept check from coming to a verdict counts even if the gate is open without it.
  [ "$judged" -ne 0 ] || [ "$checked" -le 1 ] || judged="$checked"
else
  keep_evidence
  # Another job judges: a criterion that failed is evidence, and no failure of this step.
  [ "$checked" -le 1 ] || judged="$checked"
fi

# What commands of the change wrote into the step's files goes first.
for file in "${GITHUB_ENV:-}" "${GITHUB_PATH:-}" "${GITHUB_STATE:-}" "$GITHUB_OUTPUT"; do
  [ -z "$file" ] || : > "$file"
done
[ -z "$kept" ] || echo "evidence=$kept" >> "$GITHUB_OUTPUT"
cat "$verdict" >> "$GITHUB_OUTPUT"
exit "$judged"
