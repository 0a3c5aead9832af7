#!/bin/sh
# Makes echarts.min.js anew, with what echarts.entry.js names of Apache ECharts and nothing else. Needs Node.js and npm. The packages
# are checked against the hashes below, which are those of the npm registry; the result is the same, byte for byte.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/echarts.entry.js" "$work/"
cd "$work"

fetch() { # package, SHA-512 as npm writes it
    file=$(npm pack --silent "$1")
    sum=$(openssl dgst -sha512 -binary "$file" | openssl base64 -A)
    [ "$sum" = "$2" ] || { echo "$1: the package is not the one that was looked at" >&2; exit 1; }
}
fetch echarts@6.1.0 q0yaFPggC9FUdsWH4blavRWFmxdrIodbkoKNAjJudAI6CA9gNPxHtV2RcZNEepZVlk4yvBYkOkbk6HIVpIyHZA==
fetch zrender@6.1.0 oEGMDB6pOP2S6OwRR4PdVv610zrjnA3Bh+JnSG12fYJlBKjtNAoEb5fSUoCOOINlH96I2fU38/A2UpRKs67xYQ==
fetch tslib@2.3.0 N82ooyxVNm6h1riLCoyS9e3fuJ3AMG2zIZs2Gd1ATcSFjSA23Q0fzjjZeh0jbJvWVDZ0cJT8yaNNaaXHzueNjg==
npm install --silent --no-save --no-audit --no-fund ./*.tgz esbuild@0.28.2
npx esbuild echarts.entry.js --bundle --minify --format=iife --global-name=echarts --charset=ascii --target=es2020 \
    --legal-comments=none --define:process.env.NODE_ENV='"production"' \
    --banner:js='/*! Apache ECharts 6.1.0, Apache-2.0; zrender 6.1.0, BSD-3-Clause; tslib 2.3.0, 0BSD; see vendor/NOTICE */' \
    --outfile="$here/echarts.min.js"
