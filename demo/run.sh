#!/bin/sh
# The main job on real input: three real ledgers imported, commands run on a clone of this very checkout, the
# gate shut and opened, and a copy of the ledger edited with plain SQL and caught. Everything happens in demo-work/.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$root/demo-work
rm -rf "$work"
mkdir "$work"
unset TALLYSTICK_LEDGER TALLYSTICK_TASK CI 2>/dev/null || true
export XDG_STATE_HOME="$work/state" GIT_CONFIG_NOSYSTEM=1

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold= plain=; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { printf '$ %s\n' "$*"; "$@" || code=$?; }
expect() { # expect CODE COMMAND…: shows it, and ends the demo where it does not return that code
    wanted=$1
    shift
    code=0
    run "$@"
    [ "$code" = "$wanted" ] || { echo "the demo expected exit code $wanted, and got $code" >&2; exit 1; }
}

say "A clone of this checkout, on a branch of its own. Its plan asks for two things."
git clone --quiet "$root" "$work/clone"
cd "$work/clone"
git config user.name demo && git config user.email demo@example.org
git checkout --quiet -B main && git remote remove origin
cp "$root/demo/tallystick.toml" tallystick.toml
git add -A && git commit --quiet -m "Ask for two things" && git checkout --quiet -b faster-merkle
expect 0 cat tallystick.toml

say "Three real session ledgers of another tool, read as they are, and written back byte for byte."
expect 0 notch import tests/data/scafld/add-cache.session.json tests/data/scafld/fix-sub.session.json \
    tests/data/scafld/drop-me.session.json
expect 0 notch export fix-sub --format scafld -o "$work/fix-sub.session.json"
expect 0 cmp "$work/fix-sub.session.json" tests/data/scafld/fix-sub.session.json
expect 0 notch status fix-sub

say "Nothing is shown yet for this branch. Every line says which command supplies what is missing."
expect 1 notch gate

say "Run what the plan says: the linter, and the tests of the Merkle tree."
expect 0 notch run -c lint
expect 0 notch run -c merkle
expect 0 notch gate

say "A bug slips in. Exactly one criterion lost its evidence, and the file is named."
sed -i.orig 's/    while trailing & 1:/    while trailing \& 2:/' src/tallystick/proof/merkle.py && rm src/tallystick/proof/merkle.py.orig
expect 1 notch gate
printf '$ notch run -c merkle   (its output is kept; the last lines of it)\n'
notch run -c merkle >"$work/merkle.log" 2>&1 && { echo "the demo expected the tests to fail" >&2; exit 1; }
tail -n 3 "$work/merkle.log"
expect 1 notch why merkle

say "Repaired: the content is what it was, so its evidence holds again. Nothing had to be run."
git checkout --quiet src/tallystick/proof/merkle.py
expect 0 notch gate

say "A test is deleted. What is left passes, and the gate stays shut, because fewer tests are told like a failure."
python - <<'EOF'
import ast
path = "tests/proof/test_proof_merkle.py"
source = open(path, encoding="utf-8").read()
test = next(node for node in ast.parse(source).body if getattr(node, "name", "").startswith("test_"))
lines = source.splitlines(keepends=True)
first = min([test.lineno, *(decorator.lineno for decorator in test.decorator_list)])
print(f"deleted {test.name} from {path}")
open(path, "w", encoding="utf-8").writelines(lines[: first - 1] + lines[test.end_lineno :])
EOF
expect 0 notch run -c merkle
expect 1 notch gate
git checkout --quiet tests

say "What was recorded, and that it is what was recorded."
expect 0 notch log faster-merkle
expect 0 notch verify

say "Now somebody edits a copy of the ledger with plain SQL: a failed result becomes a pass."
expect 0 notch backup "$work/copy.db"
python - "$work/copy.db" <<'EOF'
import sqlite3, sys

copy = sqlite3.connect(sys.argv[1])
triggers = copy.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
for name, _ in triggers:
    copy.execute(f'DROP TRIGGER "{name}"')
(changed,) = copy.execute("SELECT count(*) FROM record WHERE instr(record, '\"status\":\"fail\"')").fetchone()
copy.execute(
    "UPDATE record SET record = CAST(replace(CAST(record AS TEXT), '\"status\":\"fail\"', '\"status\":\"pass\"') AS BLOB)"
    " WHERE id = (SELECT max(id) FROM record WHERE instr(record, '\"status\":\"fail\"'))"
)
for _, sql in triggers:
    copy.execute(sql)
copy.commit()
print(f"{changed} failed results are in the copy; the newest now says that it passed")
EOF
expect 3 notch --ledger "$work/copy.db" verify faster-merkle
expect 0 notch verify faster-merkle

say "The copy was caught, the ledger itself is as it was. Look around in demo-work/clone, or remove demo-work/."
