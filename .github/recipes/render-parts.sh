#!/bin/sh
# Many assets in several processes of one machine:  sh render-parts.sh 4
set -eu
parts=${1:-4}
seq "$parts" | xargs -P "$parts" -I {} wan render assets.toml --shard "{}/$parts" --max-cost 100credits
wan render assets.toml --check
