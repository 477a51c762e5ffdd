#!/usr/bin/env bash
# Measures handgrad on a machine with an accelerator, whose Python has JAX for it.
#
#   tools/accelerator.sh OUT [SECONDS]
#
# leaves JSON and logs in the folder OUT: the main comparison, the benchmark within SECONDS (240 if
# not given), and one training. Packages are taken from the folder WHEELS (.wheels if not set) if
# there is one, without a network; PYTHON chooses the interpreter (python3).
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?"usage: tools/accelerator.sh OUT [SECONDS]"} seconds=${2:-240}
python=${PYTHON:-python3} wheels=${WHEELS:-.wheels}
mkdir -p "$out"
if compgen -G "$wheels/*.whl" >/dev/null; then
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl || exit
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
# PyTorch, where it is installed, needs some of the device's memory.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
failed=0

# Runs one command of handgrad; its output goes to OUT/NAME.log, and its seconds to the terminal.
measured() {
  local name=$1 start=$SECONDS code=0
  shift
  "$python" -m compare "$@" >"$out/$name.log" 2>"$out/$name.err" || code=$?
  echo "$name: exit code $code, $((SECONDS - start)) s: $(tail -n 1 "$out/$name.log")"
  [ "$code" -eq 0 ] || failed=1
}

measured gradients gradients mnist --json "$out/gradients.json"
measured train train mnist --method both --epochs 3 --json "$out/train.json"
measured bench bench --seconds "$seconds" --json "$out/bench.json"
exit "$failed"
