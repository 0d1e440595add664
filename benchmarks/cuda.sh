#!/usr/bin/env bash
# On a machine with a CUDA GPU: tests, the memory checker, and the measurements, which are written to a folder.
#   benchmarks/cuda.sh [folder]      PYTHON names the interpreter; it has what is imported below, and maybe CuPy
#   LONG=1 benchmarks/cuda.sh        also the tests that take minutes and gigabytes
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-benchmarks/results/cuda}
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
failed=()

step() {  # step NAME COMMAND...
    echo "== $1"
    "${@:2}" 2>&1 | tee "$out/$1.log" | tail -n 40
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$1")
}

"$python" -c "import hypothesis, ml_dtypes, numba_cuda, pytest, torch; assert torch.cuda.is_available()" || exit 1

step machine nvidia-smi
marks="gpu and not long"
[ -n "${LONG:-}" ] && marks="gpu"
step tests "$python" -m pytest tests/gpu -q -p no:cacheprovider -m "$marks"
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck synccheck; do
        step "$tool" timeout 200 compute-sanitizer --tool "$tool" --error-exitcode 1 \
            "$python" tests/gpu/sanitize.py
    done
fi
step bench "$python" benchmarks/bench_cuda.py --out "$out" --readme README.md

[ ${#failed[@]} -eq 0 ] && echo "== all passed" || { echo "== failed: ${failed[*]}"; exit 1; }
