#!/usr/bin/env bash
# On a machine with a CUDA GPU: checks, the memory checker, and the measurements, which are written to a folder.
#   benchmarks/cuda.sh [folder] [step ...]     all steps, or those given: compile, checks, long, memcheck,
#                                              racecheck, synccheck, bench, table
# Each step ends by itself within ten minutes. `bench` goes on where it was cut off, so call it until it says
# that nothing is left. PYTHON names the interpreter: it has torch, numba and numba-cuda, maybe CuPy and JAX.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-benchmarks/results/cuda}
steps=("${@:2}")
[ ${#steps[@]} -eq 0 ] && steps=(compile checks memcheck racecheck synccheck bench table)
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
# Where the wheels bring no libNVVM, that of an installed toolkit is found here.
export CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
sanitizer=$(command -v compute-sanitizer || echo "$CUDA_HOME/bin/compute-sanitizer")
failed=()

run() {  # run NAME COMMAND...
    echo "== $1"
    timeout 590 "${@:2}" 2>&1 | tee "$out/$1.log" | tail -n 60
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$1")
}

sanitize() {  # sanitize TOOL
    if [ -x "$sanitizer" ]; then
        run "$1" "$sanitizer" --tool "$1" --report-api-errors no --error-exitcode 1 \
            "$python" tests/gpu/sanitize.py
    else
        echo "== $1: no compute-sanitizer"
    fi
}

for step in "${steps[@]}"; do
    case $step in
        compile) run compile "$python" benchmarks/first_call.py --out "$out" ;;
        checks) run checks "$python" tests/gpu/run.py ;;
        long) run long "$python" tests/gpu/run.py --long repeats_on elements ;;
        memcheck | racecheck | synccheck) sanitize "$step" ;;
        bench) run bench "$python" benchmarks/bench_cuda.py --out "$out" ;;
        table) run table "$python" benchmarks/bench_cuda.py --out "$out" --seconds 0 --readme README.md ;;
        *) echo "== no such step: $step" && failed+=("$step") ;;
    esac
    [ "$step" = compile ] && [ ${#failed[@]} -ne 0 ] && break  # nothing else can run
done

[ ${#failed[@]} -eq 0 ] && echo "== all passed" || { echo "== failed: ${failed[*]}"; exit 1; }
