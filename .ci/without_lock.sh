#!/usr/bin/env bash
# What a user gets today: the newest version of everything, not that of uv.lock, in an environment of its own; not editable.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d "${TMPDIR:-/tmp}/tidewheel-without-lock.XXXXXX")
trap 'rm -rf "$folder"' EXIT

# A copy without what is ignored: an old build/ beside the sources would end in the wheel.
mkdir "$folder/source"
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read | tar -x -C "$folder/source"

python3 -m venv --without-pip "$folder/venv"
"${UV:-.venv/bin/uv}" pip install --quiet --python "$folder/venv/bin/python" \
  "tidewheel[delta,iceberg,lightgbm,nats,pandas,plot,polars,postgres,redis,sklearn] @ file://$folder/source"
PATH=$folder/venv/bin:$PATH
cd "$folder"
python -c 'import tidewheel as tw; assert "site-packages" in tw.__file__; tw.source'
tidewheel --version
tidewheel init bakery
cd bakery
tidewheel plan >plan.txt && { echo "a new project has an empty plan" >&2; exit 1; } || test $? = 2
tidewheel apply --yes
tidewheel plan
